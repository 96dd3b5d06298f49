"""Turn text into windows of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Int64, Shaped
from torch import Tensor

import genloss
from genloss.contracts.dataset import digest
from genloss.contracts.stored import SMALL
from genloss.errors import RequestError

Level = Literal["character", "byte"]
Length = Annotated[int, Ge(2)]
Stride = Annotated[int, Ge(1)]
Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]
Alphabet = tuple[str, ...]

BYTES: Alphabet = tuple(
    chr(byte) if chr(byte) in "\t\n\r" or 32 <= byte < 127 else f"\\x{byte:02x}" for byte in range(256)
)
"""The text of each byte: its character if it is printable ASCII, else an escape sequence."""


PIECE = 2**22
"""Number of characters or bytes processed at a time."""

CHARACTERS = 0x110000


@dataclass(frozen=True)
class Tokens:
    """A stored stream of tokens.

    Attributes:
        stored: one number per token, in the smallest dtype.
        alphabet: the text of each token.
        token: the token that each stored number stands for, if not the number itself.
    """

    stored: Shaped[Tensor, "tokens"]
    alphabet: Alphabet
    token: Int64[Tensor, "numbers"] | None = None

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, where: slice) -> Tokens:
        return replace(self, stored=self.stored[where])

    def decode(self, stored: Tensor) -> Int64[Tensor, "..."]:
        """Return the tokens that stored numbers stand for."""
        return stored.long() if self.token is None else self.token[stored.long()]

    def examples(self, x: Tensor) -> genloss.Stored:
        """Return stored numbers as examples."""
        return genloss.Stored({"x": x}, {"x": self.decode})


def tokenize(text: str, level: Level) -> Tokens:
    """Return the tokens of a text: its characters, in Unicode order, or its bytes."""
    if level == "byte":
        return from_bytes(np.frombuffer(text.encode(), np.uint8))
    return from_pieces(lambda: (text[start : start + PIECE] for start in range(0, len(text), PIECE)))


def from_pieces(pieces: Callable[[], Iterable[str]]) -> Tokens:
    """Return the characters of a text that comes in pieces; `pieces` is called twice."""
    seen = np.zeros(CHARACTERS, np.bool_)
    count = 0
    for piece in pieces():
        seen[_codes(piece)] = True
        count += len(piece)
    found = np.flatnonzero(seen)
    numbers = np.zeros(CHARACTERS, np.min_scalar_type(max(0, len(found) - 1)))
    numbers[found] = np.arange(len(found))
    stored = np.empty(count, numbers.dtype)
    start = 0
    for piece in pieces():
        stored[start : start + len(piece)] = numbers[_codes(piece)]
        start += len(piece)
    return Tokens(torch.from_numpy(stored), tuple(map(chr, found.tolist())))


def _codes(piece: str) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.frombuffer(piece.encode("utf-32-le"), dtype="<u4")


def from_bytes(content: Bytes) -> Tokens:
    """Return bytes as tokens."""
    return Tokens(_tensor(content), BYTES)


def from_ascii(content: Bytes, present: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Tokens:
    """Return the characters of an ASCII text, without copying it.

    Args:
        content: the bytes of the text.
        present: which bytes occur in it.
    """
    found = np.flatnonzero(present)
    token = torch.zeros(256, dtype=torch.int64)
    token[torch.from_numpy(found)] = torch.arange(len(found))
    return Tokens(_tensor(content), tuple(map(chr, found.tolist())), token)


def bytes_in(content: Bytes) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which bytes occur, `[256]`."""
    present = np.zeros(256, np.bool_)
    for start in range(0, len(content), PIECE):
        present |= np.bincount(content[start : start + PIECE], minlength=256) > 0
    return present


def _tensor(content: Bytes) -> Shaped[Tensor, "tokens"]:
    return torch.from_numpy(content if content.flags.writeable else content.copy())


def divide(tokens: Tokens, held_out: float) -> tuple[Tokens, Tokens]:
    """Split off the last share of the tokens: return the rest, and that share."""
    count = round(held_out * len(tokens))
    return tokens[: len(tokens) - count], tokens[len(tokens) - count :]


def windows(train: Tokens, held_out: Tokens, *, length: int, stride: int | None, source: str) -> genloss.Data:
    """Cut tokens into windows of `length` tokens each.

    Training windows begin every `stride` tokens, held-out windows every `length`, so that each held-out token
    counts once. Windows are views of the tokens: overlapping ones take no extra memory.

    Args:
        train, held_out: the tokens in order, with one alphabet.
        length: tokens per window.
        stride: tokens from the start of one training window to the start of the next; `length` if None.
        source: where the tokens come from, for error messages.

    Raises:
        RequestError: a part is shorter than a window.
    """
    for what, part in (("training", train), ("held-out", held_out)):
        if len(part) < length:
            raise RequestError(
                f"the {what} part of {source} has {len(part):,} tokens, fewer than a window of {length:,}",
                hint="give a longer text or a smaller `length`, or change `held_out`",
            )
    stride = stride or length
    parts = [part.examples(part.stored) for part in (train, held_out)]
    fields = [
        _windows(part, content, length, step)
        for part, content, step in zip((train, held_out), parts, (stride, length), strict=True)
    ]
    size = len(train.stored.unfold(0, length, stride))
    alphabet = train.alphabet
    return genloss.Data(
        genloss.DataSpec((length,), "tokens", size=size, vocabulary=len(alphabet), alphabet=alphabet),
        train=fields[0],
        held_out=fields[1],
        digest=lambda: digest(*parts, {"windows": torch.tensor([length, stride])}),
    )


def _windows(
    part: Tokens, content: genloss.Stored, length: int, step: int
) -> genloss.Stored | dict[str, Tensor]:
    if content.nbytes <= SMALL:
        return {"x": content.whole()["x"].unfold(0, length, step)}
    return part.examples(part.stored.unfold(0, length, step))
