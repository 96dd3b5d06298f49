"""Examples as they are stored: kept in their own dtype, and converted when they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from types import MappingProxyType

import torch
from torch import Tensor
from torch.utils.data import Dataset

from genloss.errors import DefinitionError

Where = slice | Tensor
"""Which examples: some in a row, or those of some indices (int64)."""

Convert = Callable[[Tensor], Tensor]

SMALL = 192 * 2**20
"""Bytes up to which examples are converted at once and kept."""

CHUNK = 32 * 2**20
"""Bytes of converted examples that are held at a time where there are more."""

AS_IT_IS: Mapping[str, Convert] = MappingProxyType({})


class Stored(Dataset[dict[str, Tensor]]):
    """Examples that stay as they are stored, in memory or in a mapped file, until a batch is drawn.

    A file that is mapped lies once in memory, however many processes read it:

        images = torch.from_numpy(np.load(path, mmap_mode="c"))  # uint8 [N, C, H, W]
        genloss.Stored({"x": images}, {"x": lambda levels: levels.float() / 255})

    Args:
        fields: named tensors of equal length on the CPU, the examples first: `x`, and what goes with it.
        convert: by the name of a field, what makes of a batch of it what losses see (for `x` float32, or
            int64 for tokens), each example by itself; other fields are given as they are.
        indices: which of the examples there are, int64 `[examples]`; all by default.

    Raises:
        DefinitionError: the fields differ in length, or `convert` names one that is missing.
    """

    def __init__(
        self,
        fields: Mapping[str, Tensor],
        convert: Mapping[str, Convert] = AS_IT_IS,
        *,
        indices: Tensor | None = None,
    ) -> None:
        lengths = {name: len(tensor) for name, tensor in fields.items()}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"`{name}` {length}" for name, length in lengths.items())
            raise DefinitionError(f"the fields of `Stored` differ in length: {said}")
        if missing := convert.keys() - fields.keys():
            raise DefinitionError(f"`convert` names `{min(missing)}`, and there is no such field")
        self.fields = dict(fields)
        self.convert = dict(convert)
        self.indices = indices

    def __len__(self) -> int:
        if self.indices is not None:
            return len(self.indices)
        return len(next(iter(self.fields.values()), ()))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        where = torch.tensor([range(len(self))[index]])
        return {name: tensor[0] for name, tensor in self.read(where).items()}

    def read(self, where: Where) -> dict[str, Tensor]:
        """Some examples, converted. What lies in a row and needs no conversion is not copied."""
        if self.indices is not None:
            where = self.indices[where]
        return {name: self._read(name, where) for name in self.fields}

    def _read(self, name: str, where: Where) -> Tensor:
        tensor = self.fields[name]
        found = tensor[where] if isinstance(where, slice) else tensor.index_select(0, where)
        return self.convert[name](found).contiguous() if name in self.convert else found

    def chosen(self, indices: Tensor) -> Stored:
        """Some of the examples, none of which is read or copied."""
        return Stored(
            self.fields, self.convert, indices=indices if self.indices is None else self.indices[indices]
        )

    def only(self, name: str) -> Stored:
        """One field alone."""
        convert = {name: self.convert[name]} if name in self.convert else AS_IT_IS
        return Stored({name: self.fields[name]}, convert, indices=self.indices)

    @property
    def is_plain(self) -> bool:
        """Whether its fields are what it gives."""
        return not self.convert and self.indices is None

    @property
    def example_bytes(self) -> int:
        """Of one converted example."""
        return sum(tensor.nbytes for tensor in self.read(slice(0, 1)).values())

    @property
    def nbytes(self) -> int:
        """Of all examples, converted."""
        return len(self) * self.example_bytes

    def chunks(self) -> Iterator[dict[str, Tensor]]:
        """All examples in their order, converted: a few at a time, so that memory does not grow."""
        size = max(1, CHUNK // max(1, self.example_bytes))
        for start in range(0, len(self), size):
            yield self.read(slice(start, start + size))

    def whole(self) -> dict[str, Tensor]:
        """All examples, converted."""
        if self.is_plain:
            return self.fields
        whole = {
            name: torch.empty((len(self), *tensor.shape[1:]), dtype=tensor.dtype)
            for name, tensor in self.read(slice(0, 1)).items()
        }
        start = 0
        for chunk in self.chunks():
            for name, tensor in chunk.items():
                whole[name][start : start + len(tensor)] = tensor
            start += len(tensor)
        return whole


def pieces(tensor: Tensor) -> Iterator[Tensor]:
    """A tensor's elements in their order, a few at a time, each piece without gaps."""
    if tensor.is_contiguous():
        yield from torch.split(tensor.reshape(-1), max(1, CHUNK // tensor.element_size()))
        return
    size = max(1, CHUNK // max(1, prod(tensor.shape[1:]) * tensor.element_size()))
    for piece in torch.split(tensor, size):
        yield piece.reshape(-1)
