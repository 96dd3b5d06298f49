"""Batches: an endless stream whose order depends on the seed alone, so that objectives share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from genloss.contracts.dataset import Fields
from genloss.errors import DefinitionError

CPU = torch.device("cpu")

DEVICE_LIMIT = 2**30
"""Bytes up to which a data set lives on the device whole."""

GROUP = 2**18
"""Bytes of batches that are gathered at once: for a small one, beginning takes longer than gathering."""


class Order:
    """Endless batches of indices: a new permutation each epoch, its last incomplete batch left out.

    Drawn on the CPU, so that all devices see one order; kept on the device, so that a step copies nothing.
    """

    def __init__(self, size: int, batch_size: int, seed: int, device: torch.device = CPU) -> None:
        if batch_size > size:
            raise DefinitionError(f"no batch of {batch_size} can be drawn from {size} examples")
        self._size = size
        self._batch_size = batch_size
        self._generator = torch.Generator().manual_seed(seed)
        self._device = device
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._epoch = self._generator.get_state()
        permutation = torch.randperm(self._size, generator=self._generator).to(self._device)
        self._permutation = permutation[: self._size - self._size % self._batch_size]
        self._taken = 0

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        indices, _ = self.group(1)
        self.take()
        return indices

    def group(self, batches: int) -> tuple[Tensor, int]:
        """The indices of several batches, and how many of them come before the next one.

        Groups begin at multiples of `batches` within an epoch, so that a batch lies at the same place of its
        group wherever a run goes on: where tensors lie in memory can decide last bits.
        """
        if self._taken * self._batch_size == len(self._permutation):
            self._begin_epoch()
        number, place = divmod(self._taken, batches)
        length = batches * self._batch_size
        return self._permutation[number * length : (number + 1) * length], place

    def take(self) -> None:
        """Counts a batch as taken."""
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
        self._fits = not isinstance(data, Dataset) and sum(t.nbytes for t in data.values()) <= DEVICE_LIMIT
        self._data = self._move(data) if self._fits and not isinstance(data, Dataset) else data
        self._order = Order(length(data), batch_size, seed, device if self._fits else CPU)
        self._stream = self._begin()

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return self

    def __next__(self) -> dict[str, Tensor]:
        return next(self._stream)

    def first(self) -> dict[str, Tensor]:
        """The first examples as they lie; taken from no stream."""
        return next(whole(self._data, self._batch_size, device=self._device, dtype=self._dtype))

    def _begin(self) -> Iterator[dict[str, Tensor]]:
        """The batches from where the order is."""
        if isinstance(self._data, Dataset):
            return self._load(self._data)
        batches = self._gather(self._data)
        return batches if self._fits else map(self._move, batches)

    def _gather(self, data: Fields) -> Iterator[dict[str, Tensor]]:
        batch_size = self._batch_size
        batches = max(1, GROUP // sum(tensor[:batch_size].nbytes for tensor in data.values()))
        while True:
            indices, place = self._order.group(batches)
            fields = [torch.split(tensor.index_select(0, indices), batch_size) for tensor in data.values()]
            for batch in list(zip(*fields, strict=True))[place:]:
                self._order.take()
                yield dict(zip(data, batch, strict=True))

    def _load(self, data: Dataset[Any]) -> Iterator[dict[str, Tensor]]:
        sampler = (indices.tolist() for indices in self._order)
        for batch in _loader(data, batch_sampler=sampler):
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
    if isinstance(data, Dataset):
        for batch in _loader(data, batch_size=batch_size):
            yield _to(batch, device, dtype)
        return
    for start in range(0, len(data["x"]), batch_size):
        yield _to({name: tensor[start : start + batch_size] for name, tensor in data.items()}, device, dtype)


def gather(data: Fields | Dataset[Any], *, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """All examples in one batch."""
    return next(whole(data, length(data), device=device, dtype=dtype))


def length(data: Fields | Dataset[Any]) -> int:
    """Number of examples."""
    return len(data) if isinstance(data, Dataset) else len(data["x"])  # type: ignore[arg-type]


def _loader(data: Dataset[Any], **how: Any) -> DataLoader[Any]:
    # Without a generator of its own it draws from torch's, and shifts the noise of all that comes after.
    return DataLoader(data, generator=torch.Generator(), **how)


def _to(batch: Fields, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    return {
        name: tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype, non_blocking=True)
        for name, tensor in batch.items()
    }
