"""Text as windows of characters or bytes: Python's own documentation, and a user's file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import genloss
from genloss.errors import RequestError
from genloss_builtin.datasets._files import Share, require_file
from genloss_builtin.datasets._tokens import (
    BYTES,
    Length,
    Level,
    Stride,
    divide,
    from_bytes,
    tokenize,
    windows,
)


@genloss.dataset
def python_docs(
    *,
    length: Length = 128,
    level: Level = "character",
    held_out: Share = 0.1,
    stride: Stride | None = None,
) -> genloss.Data:
    """Some 460,000 characters of Python's documentation, which ship with every CPython.

    Fields: `x` `[batch, length]`, tokens. They are windows of the topics of Python's `help()`, in the order
    of their names, a blank line between two topics.

    The text is that of the Python that runs genloss: another version has another text, another digest and
    perhaps another vocabulary, so compare likelihoods within one version only. Some topics repeat
    paragraphs of others, so a few held-out passages also stand in the training part.

    Options:
        length: tokens in a window; 128 by default.
        level: what a token is: "character" (those of the whole text are the vocabulary), or "byte" of
            UTF-8 (vocabulary 256); "character" by default.
        held_out: share of the text, at its end, that is not trained on; 0.1 by default.
        stride: tokens from the beginning of a training window to that of the next; `length` by default.

    Source: `pydoc_data.topics` of CPython's standard library (Python Software Foundation License).

    Raises:
        RequestError: a part of the text is shorter than a window.
    """
    from pydoc_data.topics import topics

    text = "\n\n".join(topics[name].strip("\n") for name in sorted(topics))
    tokens, alphabet = tokenize(text, level)
    train, unseen = divide(tokens, held_out)
    return windows(train, unseen, alphabet, length=length, stride=stride, source="`python_docs`")


def _example(folder: Path) -> Mapping[str, Any]:
    lines = [f"{number} squared is {number**2}\n" for number in range(400)]
    (folder / "squares.txt").write_text("".join(lines))
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
    """A text file of yours.

    Fields: `x` `[batch, length]`, tokens. The file is read as it is, its line ends too; of its characters,
    a byte order mark is left out. A token takes eight bytes of memory.

    Options:
        path: of the file, relative to the experiment; UTF-8 for characters, anything for bytes.
        length: tokens in a window; 128 by default.
        level: what a token is: "character" (those of the whole file are the vocabulary), or "byte"
            (vocabulary 256); "character" by default.
        held_out: share of the file, at its end, that is not trained on; 0.1 by default.
        stride: tokens from the beginning of a training window to that of the next; `length` by default.

    Raises:
        RequestError: the file cannot be read, is no UTF-8 text, or a part of it is shorter than a window.
    """
    content = _read(path)
    tokens, alphabet = (
        (from_bytes(content), BYTES) if level == "byte" else tokenize(_decode(content, path.name), level)
    )
    train, unseen = divide(tokens, held_out)
    return windows(train, unseen, alphabet, length=length, stride=stride, source=f"`{path.name}`")


def _read(path: Path) -> bytes:
    require_file(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RequestError(f"`{path.name}` cannot be read: {error.strerror}") from error
    if not content:
        raise RequestError(f"`{path.name}` is empty", hint="give a file with some text in it")
    return content


def _decode(content: bytes, name: str) -> str:
    hint = "convert it to UTF-8, or say `level: byte` to model its bytes as they are"
    try:
        decoded = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(
            f"`{name}` is no UTF-8 text: {error.reason} at byte {error.start:,}", hint=hint
        ) from error
    if "\0" in decoded:
        raise RequestError(f"`{name}` is no text: byte {content.index(0):,} is zero", hint=hint)
    return decoded
