"""Samples as a person reads them: sequences of tokens as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from genloss.contracts.dataset import DataSpec

SHOWN = 16
LONGEST = 2000
"""Tokens of a sample that are shown."""


def write(samples: Tensor, data: DataSpec, path: Path) -> bool:
    """Write the first samples `[count, tokens]` as text; return whether this kind of data can be read.

    Tokens are shown by the data's alphabet, and as numbers where there is none; what no page can show (a
    control character, say) is escaped.

    Args:
        samples: generated examples.
        data: what they are examples of.
        path: the file to write.
    """
    if data.kind != "tokens":
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = samples[:SHOWN].flatten(1).long().tolist()
    parts = [
        f"sample {number} of {len(samples)}:\n{text(tokens, data.alphabet)}\n"
        for number, tokens in enumerate(shown, start=1)
    ]
    path.write_text("\n".join(parts), encoding="utf-8", newline="\n")
    return True


def text(tokens: Sequence[int], alphabet: Sequence[str] | None) -> str:
    """The text of a sequence of tokens, of a long one its beginning."""
    rest = " …" if len(tokens) > LONGEST else ""
    tokens = tokens[:LONGEST]
    if alphabet is None:
        return " ".join(map(str, tokens)) + rest
    # A model may give what is not a token.
    texts = [alphabet[token] if 0 <= token < len(alphabet) else f"<{token}>" for token in tokens]
    return "".join(map(_shown, "".join(texts))) + rest


def _shown(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    return character.encode("unicode_escape").decode()
