"""Text as windows of characters or bytes: Python's documentation, and the user's own file."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import genloss
from genloss.errors import RequestError
from genloss_builtin.datasets._files import Share, content_of, require_file
from genloss_builtin.datasets._notes import with_notes
from genloss_builtin.datasets._tokens import (
    PIECE,
    Bytes,
    Length,
    Level,
    Stride,
    Tokens,
    bytes_in,
    divide,
    from_ascii,
    from_bytes,
    from_pieces,
    tokenize,
    windows,
)

HINT = "convert it to UTF-8, or set `level: byte` to model its bytes"


@genloss.dataset
def python_docs(
    *,
    length: Length = 128,
    level: Level = "character",
    held_out: Share = 0.1,
    stride: Stride | None = None,
) -> genloss.Data:
    """About 460,000 characters of Python's documentation, which ships with every CPython.

    Fields: `x` `[batch, length]`, tokens: windows of the topics of Python's `help()`, sorted by name and
    separated by blank lines.

    The text is that of the running Python: other versions have another text, another digest and possibly
    another vocabulary, so compare likelihoods within one version only. Some topics repeat paragraphs of
    others, so a few held-out passages also occur in the training part.

    Options:
        length: tokens per window; 128 by default.
        level: what a token is: "character" (the vocabulary is the characters of the whole text), or "byte"
            of UTF-8 (vocabulary 256); "character" by default.
        held_out: share of the text to hold out, at its end; 0.1 by default.
        stride: tokens from the start of one training window to the start of the next; `length` by default.

    Source: `pydoc_data.topics` of CPython's standard library (Python Software Foundation License).

    Raises:
        RequestError: a part of the text is shorter than a window.
    """
    from pydoc_data.topics import topics

    text = "\n\n".join(topics[name].strip("\n") for name in sorted(topics))
    train, unseen = divide(tokenize(text, level), held_out)
    return windows(train, unseen, length=length, stride=stride, source="`python_docs`")


def _example(folder: Path) -> Mapping[str, Any]:
    lines = [f"{number} squared is {number**2}\n" for number in range(400)]
    (folder / "squares.txt").write_text("".join(lines), encoding="utf-8")
    return {"path": folder / "squares.txt", "length": 32}


@genloss.dataset(example=_example)
def text(
    *,
    path: Path,
    length: Length = 128,
    level: Level = "character",
    held_out: Share = 0.1,
    stride: Stride | None = None,
) -> genloss.Data:
    """The user's own text file.

    Fields: `x` `[batch, length]`, tokens. The file is read verbatim, including line endings; a byte order
    mark is not among its characters.

    A large file is memory-mapped: do not change it during training. Only a file with non-ASCII characters is
    kept in memory, in one, two or four bytes per character.

    Options:
        path: the file, relative to the experiment; UTF-8 for characters, anything for bytes.
        length: tokens per window; 128 by default.
        level: what a token is: "character" (the vocabulary is the characters of the whole file), or "byte"
            (vocabulary 256); "character" by default.
        held_out: share of the file to hold out, at its end; 0.1 by default.
        stride: tokens from the start of one training window to the start of the next; `length` by default.

    Raises:
        RequestError: the file cannot be read, is not UTF-8 text, or a part of it is shorter than a window.
    """
    content = _read(path)
    tokens = from_bytes(content) if level == "byte" else _characters(content, path.name)
    train, unseen = divide(tokens, held_out)
    data = windows(train, unseen, length=length, stride=stride, source=f"`{path.name}`")
    return with_notes(data, f"the last {held_out:g} of the text")


def _read(path: Path) -> Bytes:
    require_file(path)
    try:
        size = path.stat().st_size
        content = content_of(path, np.dtype(np.uint8), (size,)) if size else None
    except OSError as error:
        raise RequestError(f"`{path.name}` cannot be read: {error.strerror}") from error
    if content is None:
        raise RequestError(f"`{path.name}` is empty", hint="give a file that contains text")
    return content


def _characters(content: Bytes, name: str) -> Tokens:
    mark = len(BOM_UTF8) if content[: len(BOM_UTF8)].tobytes() == BOM_UTF8 else 0
    present = bytes_in(content[mark:])
    if not present[128:].any():
        tokens = from_ascii(content[mark:], present)
    else:
        tokens = from_pieces(lambda: _decoded(content, mark, name))
    if present[0]:
        at = content.tobytes().index(0)
        raise RequestError(f"`{name}` is not text: byte {at:,} is zero", hint=HINT)
    return tokens


def _decoded(content: Bytes, start: int, name: str) -> Iterator[str]:
    """Yield the text in pieces, starting at a byte offset."""
    while start < len(content):
        end = start + PIECE
        for _ in range(3):  # a character has at most three continuation bytes
            if end < len(content) and content[end] & 0xC0 == 0x80:
                end -= 1
        try:
            yield content[start:end].tobytes().decode()
        except UnicodeDecodeError as error:
            raise RequestError(
                f"`{name}` is not UTF-8 text: {error.reason} at byte {start + error.start:,}", hint=HINT
            ) from error
        start = end
