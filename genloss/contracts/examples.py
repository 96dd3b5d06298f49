"""Examples as metrics read them: a few at a time, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import torch
from torch import Tensor

from genloss.contracts.dataset import digest
from genloss.contracts.stored import CHUNK, SMALL, Where


class Examples:
    """Examples of a part of the data, read when they are asked for.

    A metric gets `held_out` or `train` as these where it annotates the parameter so, and as one tensor where
    it annotates a tensor.

    Args:
        size: how many there are.
        read: gives those of a slice, or of some indices (int64), `[batch, *event]`; all of `slice(None)`.
        content: gives what identifies them.
    """

    def __init__(self, size: int, read: Callable[[Where], Tensor], content: Callable[[], str]) -> None:
        self._size = size
        self._read = read
        self._content = content

    @classmethod
    def of(cls, x: Tensor) -> Examples:
        """Those of a tensor `[examples, *event]`."""

        def read(where: Where) -> Tensor:
            return x[where] if isinstance(where, slice) else x[where.to(x.device)]

        return cls(len(x), read, lambda: digest({"x": x}))

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, where: Where) -> Tensor:
        """Those of a slice, or of some indices."""
        return self._read(where)

    def batches(self, size: int | None = None) -> Iterator[Tensor]:
        """All of them in their order.

        Args:
            size: examples in a batch, of which the last may be smaller. By default all, up to 192 MiB of
                them; of more, 32 MiB at a time.
        """
        if size is None:
            each = self._first.nbytes
            size = len(self) if len(self) * each <= SMALL else max(1, CHUNK // each)
        for start in range(0, len(self), size):
            yield self._read(slice(start, start + size))

    @property
    def shape(self) -> torch.Size:
        """`[examples, *event]`."""
        return torch.Size((len(self), *self._first.shape[1:]))

    @property
    def dtype(self) -> torch.dtype:
        return self._first.dtype

    @property
    def is_small(self) -> bool:
        """Whether they are few enough to be held in one tensor, and in some copies of it."""
        return len(self) * self._first.nbytes <= SMALL

    @cached_property
    def whole(self) -> Tensor:
        """All of them, `[examples, *event]`: they are kept in memory from then on."""
        return self._read(slice(None))

    @cached_property
    def digest(self) -> str:
        """What identifies them, computed once."""
        return self._content()

    @cached_property
    def _first(self) -> Tensor:
        return self._read(slice(0, 1))
