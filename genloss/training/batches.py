"""Batches: an endless stream whose order depends on the seed alone, so that objectives share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from genloss.contracts.dataset import Fields
from genloss.contracts.stored import CHUNK, SMALL, Stored, Where
from genloss.errors import DefinitionError
from genloss.training import seeds
from genloss.training.drawing import Place, SeededItems
from genloss.training.permutation import Permutation

CPU = torch.device("cpu")

DEVICE_LIMIT = 2**30
"""Bytes up to which a data set lives whole on a device other than the CPU."""

HELD = 2**24
"""Examples whose order is held in memory, 8 bytes each; that of more is computed batch by batch."""

LABELS_AT_ONCE = 64
"""Examples that are read at a time where only their labels are wanted."""

GROUP = 2**18
"""Bytes of batches that are gathered at once: for a small one, beginning takes longer than gathering."""


class Order:
    """Endless batches of indices: a new permutation each epoch, its last incomplete batch left out.

    Drawn on the CPU, so that all devices see one order; kept on the device, so that a step copies nothing.

    Attributes:
        seed: of what a data set draws in this epoch.
    """

    def __init__(self, size: int, batch_size: int, seed: int, device: torch.device = CPU) -> None:
        if batch_size > size:
            raise DefinitionError(f"no batch of {batch_size} can be drawn from {size} examples")
        self._size = size
        self._whole = size - size % batch_size
        self._batch_size = batch_size
        self._generator = torch.Generator().manual_seed(seed)
        self._device = device
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._epoch = self._generator.get_state()
        self._permutation = (
            torch.randperm(self._size, generator=self._generator).to(self._device)
            if self._size <= HELD
            else Permutation(self._size, self._generator, self._device)
        )
        self._taken = 0
        ahead = torch.Generator()  # the order itself draws nothing more
        ahead.set_state(self._generator.get_state())
        self.seed = int(torch.randint(2**62, (), generator=ahead))

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def examples(self) -> Iterator[list[Place]]:
        """The batches, each example with a seed of its own."""
        for indices in self:
            start = (self._taken - 1) * self._batch_size
            seeded = [seeds.of_example(self.seed, start + i) for i in range(self._batch_size)]
            yield list(zip(indices.tolist(), seeded, strict=True))

    def __next__(self) -> Tensor:
        indices, _ = self.group(1)
        self.take()
        return indices

    def group(self, batches: int) -> tuple[Tensor, int]:
        """The indices of several batches, and how many of them come before the next one.

        Groups begin at multiples of `batches` within an epoch, so that a batch lies at the same place of its
        group wherever a run goes on: where tensors lie in memory can decide last bits.
        """
        if self._taken * self._batch_size == self._whole:
            self._begin_epoch()
        number, place = divmod(self._taken, batches)
        length = batches * self._batch_size
        return self._permutation[number * length : min((number + 1) * length, self._whole)], place

    def take(self) -> None:
        """Count a batch as taken."""
        self._taken += 1

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch, "taken": self._taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._generator.set_state(state["epoch"])
        self._begin_epoch()
        self._taken = state["taken"]


class Batches:
    """An endless stream of training batches on the device.

    Args:
        data: named tensors, or a map-style Dataset (read through a DataLoader).
        batch_size: examples in a batch.
        seed: of the order.
        device: where the batches are wanted.
        dtype: of their floating-point fields.
    """

    def __init__(
        self,
        data: Fields | Dataset[Any],
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._device = device
        self._dtype = dtype
        self._batch_size = batch_size
        self._data: Stored | Dataset[Any] = data if isinstance(data, Dataset) else Stored(data)
        held = self._is_held(self._data)
        if held:
            self._data = Stored(gather(self._data, device=device, dtype=dtype))
        self._order = Order(length(data), batch_size, seed, device if held else CPU)
        self._stream = self._begin()

    def _is_held(self, data: Stored | Dataset[Any]) -> bool:
        """Return whether the data lives on the device whole, in the wanted precision."""
        if not isinstance(data, Stored):
            return False
        first = data.read(slice(0, 1))
        moved = self._move(first)
        size = len(data) * sum(tensor.nbytes for tensor in moved.values())
        if self._device.type != "cpu":
            return size <= DEVICE_LIMIT
        copied = not data.is_plain or any(moved[name].dtype != tensor.dtype for name, tensor in first.items())
        return not copied or size <= SMALL

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return self

    def __next__(self) -> dict[str, Tensor]:
        return next(self._stream)

    def first(self) -> dict[str, Tensor]:
        """The first examples as they lie; taken from no stream."""
        return next(whole(self._data, self._batch_size, device=self._device, dtype=self._dtype))

    def _begin(self) -> Iterator[dict[str, Tensor]]:
        """The batches from where the order is."""
        return self._gather(self._data) if isinstance(self._data, Stored) else self._load(self._data)

    def _gather(self, data: Stored) -> Iterator[dict[str, Tensor]]:
        batch_size = self._batch_size
        batches = max(1, GROUP // sum(tensor.nbytes for tensor in self.first().values()))
        while True:
            indices, place = self._order.group(batches)
            group = self._move(data.read(indices))
            fields = [torch.split(tensor, batch_size) for tensor in group.values()]
            for batch in list(zip(*fields, strict=True))[place:]:
                self._order.take()
                yield dict(zip(group, batch, strict=True))

    def _load(self, data: Dataset[Any]) -> Iterator[dict[str, Tensor]]:
        for batch in _loader(data, batch_sampler=self._order.examples()):
            yield self._move(batch)

    def _move(self, batch: Fields) -> dict[str, Tensor]:
        return _to(batch, self._device, self._dtype)

    def state_dict(self) -> dict[str, Any]:
        return self._order.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._order.load_state_dict(state)
        self._stream = self._begin()


def whole(
    data: Fields | Dataset[Any], batch_size: int, *, device: torch.device, dtype: torch.dtype
) -> Iterator[dict[str, Tensor]]:
    """All examples once, in their order, in batches of which the last may be smaller."""
    if isinstance(data, Dataset) and not isinstance(data, Stored):
        for batch in _loader(data, batch_size=batch_size):
            yield _to(batch, device, dtype)
        return
    for start in range(0, length(data), batch_size):
        yield chosen(data, slice(start, start + batch_size), device=device, dtype=dtype)


def chosen(
    data: Fields | Dataset[Any], where: Where, *, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The examples of a slice, or of some indices."""
    if isinstance(data, Dataset) and not isinstance(data, Stored):
        indices = list(range(length(data))[where]) if isinstance(where, slice) else where.tolist()
        return _to(next(iter(_loader(data, batch_sampler=[indices]))), device, dtype)
    stored = data if isinstance(data, Stored) else Stored(data)
    return _to(stored.read(where if isinstance(where, slice) else where.cpu()), device, dtype)


def gather(data: Fields | Dataset[Any], *, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """All examples in one batch."""
    if isinstance(data, Stored) and data.is_plain:
        data = data.fields
    if not isinstance(data, Dataset):
        return _to(data, device, dtype)
    first = chosen(data, slice(0, 1), device=device, dtype=dtype)
    found = {name: tensor.new_empty((length(data), *tensor.shape[1:])) for name, tensor in first.items()}
    size = max(1, CHUNK // sum(tensor.nbytes for tensor in first.values()))
    start = 0
    for batch in whole(data, size, device=device, dtype=dtype):
        for name, tensor in batch.items():
            found[name][start : start + len(tensor)] = tensor
        start += len(batch["x"])
    return found


def known_labels(data: Fields | Dataset[Any]) -> Tensor | None:
    """The field `label` of all examples, on the CPU, where no example has to be read for it."""
    if isinstance(data, Stored):
        return data.only("label").whole()["label"] if "label" in data.fields else None
    if not isinstance(data, Dataset):
        return data.get("label")
    found = getattr(data, "labels", None)
    return found if isinstance(found, Tensor) and found.shape == (length(data),) else None


def labels(data: Fields | Dataset[Any]) -> Tensor | None:
    """The field `label` of all examples, on the CPU, if there is one."""
    known = known_labels(data)
    if known is not None:
        return known
    if not isinstance(data, Dataset) or "label" not in data[0]:
        return None
    batches = whole(data, LABELS_AT_ONCE, device=CPU, dtype=torch.float32)
    return torch.cat([batch["label"].clone() for batch in batches])


def length(data: Fields | Dataset[Any]) -> int:
    """Number of examples."""
    return len(data) if isinstance(data, Dataset) else len(data["x"])  # type: ignore[arg-type]


def _loader(data: Dataset[Any], **how: Any) -> DataLoader[Any]:
    # Without a generator of its own it draws from torch's, and shifts the noise of all that comes after.
    return DataLoader(SeededItems(data), generator=torch.Generator(), **how)


def _to(batch: Fields, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    return {
        name: tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype, non_blocking=True)
        for name, tensor in batch.items()
    }
