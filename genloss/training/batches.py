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
        self._batches = torch.split(permutation, self._batch_size)
        self._left = self._size // self._batch_size
        self._taken = 0

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        if self._taken == self._left:
            self._begin_epoch()
        self._taken += 1
        return self._batches[self._taken - 1]

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
        self._data = data
        if isinstance(data, Dataset):
            self._order = Order(length(data), batch_size, seed)
            self._stream = self._load(data)
        else:
            fits = sum(tensor.nbytes for tensor in data.values()) <= DEVICE_LIMIT
            if fits:
                data = self._data = self._move(data)
            self._order = Order(length(data), batch_size, seed, data["x"].device)
            self._stream = self._index(data) if fits else map(self._move, self._index(data))

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return self._stream

    def __next__(self) -> dict[str, Tensor]:
        return next(self._stream)

    def first(self) -> dict[str, Tensor]:
        """The first examples as they lie; taken from no stream."""
        return next(whole(self._data, self._batch_size, device=self._device, dtype=self._dtype))

    def _index(self, data: Fields) -> Iterator[dict[str, Tensor]]:
        for indices in self._order:
            yield {name: tensor.index_select(0, indices) for name, tensor in data.items()}

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
