"""From text to windows of tokens."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Int64
from torch import Tensor

import genloss
from genloss.contracts.dataset import digest
from genloss.errors import RequestError

Level = Literal["character", "byte"]
Length = Annotated[int, Ge(2)]
Stride = Annotated[int, Ge(1)]
Stream = Int64[Tensor, "tokens"]
Alphabet = tuple[str, ...]

BYTES: Alphabet = tuple(
    chr(byte) if chr(byte) in "\t\n\r" or 32 <= byte < 127 else f"\\x{byte:02x}" for byte in range(256)
)
"""The text of each byte: the character of a printable one of ASCII, and an escape for any other."""


def tokenize(text: str, level: Level) -> tuple[Stream, Alphabet]:
    """The tokens of a text, and the text of each token: its characters in the order of Unicode, or bytes."""
    if level == "byte":
        return from_bytes(text.encode()), BYTES
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    found, tokens = np.unique(codes, return_inverse=True)
    return torch.from_numpy(tokens.astype(np.int64)), tuple(map(chr, found.tolist()))


def from_bytes(content: bytes) -> Stream:
    """Bytes as tokens."""
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8).astype(np.int64))


def divide(tokens: Stream, held_out: float) -> tuple[Stream, Stream]:
    """All but the last share of the tokens, and that share."""
    count = round(held_out * len(tokens))
    return tokens[: len(tokens) - count], tokens[len(tokens) - count :]


def windows(
    train: Stream, held_out: Stream, alphabet: Alphabet, *, length: int, stride: int | None, source: str
) -> genloss.Data:
    """Data of windows of `length` tokens each.

    Windows of the training part begin every `stride` tokens, those of the held-out part every `length`, so
    that each held-out token counts once. They are views of the tokens: overlapping ones cost no memory.

    Args:
        train, held_out: tokens in their order.
        alphabet: the text of each token.
        length: tokens in a window.
        stride: tokens from the beginning of a training window to that of the next; `length` where it is None.
        source: where they come from, for messages.

    Raises:
        RequestError: a part is shorter than a window.
    """
    for what, part in (("training", train), ("held-out", held_out)):
        if len(part) < length:
            raise RequestError(
                f"the {what} part of {source} has {len(part):,} tokens, and a window has {length:,}",
                hint="give a longer text, a smaller `length`, or another `held_out`",
            )
    stride = stride or length
    x = train.unfold(0, length, stride)
    return genloss.Data(
        genloss.DataSpec((length,), "tokens", size=len(x), vocabulary=len(alphabet), alphabet=alphabet),
        train={"x": x},
        held_out={"x": held_out.unfold(0, length, length)},
        digest=digest({"x": train}, {"x": held_out}, {"windows": torch.tensor([length, stride])}),
    )
