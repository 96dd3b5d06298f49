"""What a data set draws when an example is read: flips, crops, noise of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset

from genloss.training import seeds

Place = int | tuple[int, int]
"""An example's index, with a seed if the same example is drawn differently each time."""


class SeededItems(Dataset[Any]):
    """A map-style data set each of whose items draws from a stream of its own.

    So an item is the same whatever else draws in between, and takes nothing from the noise of models and
    losses. One that reads a whole batch at once (`__getitems__`) gets the stream of the first example in it.
    """

    def __init__(self, data: Dataset[Any]) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)  # type: ignore[arg-type]

    def __getitems__(self, places: Sequence[Place]) -> Any:
        drawn = [(place, seeds.of_example(0, place)) if isinstance(place, int) else place for place in places]
        with seeds.kept():
            if getattr(self._data, "__getitems__", None):
                seeds.sow_host(drawn[0][1])
                return self._data.__getitems__([index for index, _ in drawn])  # type: ignore[attr-defined]
            items = []
            for index, seed in drawn:
                seeds.sow_host(seed)
                items.append(self._data[index])
            return items
