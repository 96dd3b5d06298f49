"""Writing files atomically."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
"""The modes of records: they may hold what others on the machine are not to read."""


def publish(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole, or as it was before."""
    with published(path) as part:
        part.write_bytes(content)


@contextmanager
def published(path: Path) -> Iterator[Path]:
    """Return another name to write to; afterwards the file has its own, on the disk, whole, and is private.

    Where writing it fails, the file is as it was before.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT, PRIVATE_FILE))
        yield part
        sync(part)
        part.replace(path)
    except BaseException:  # also Ctrl-C: half a file is not kept
        part.unlink(missing_ok=True)
        raise
    sync(path.parent)  # the name, too


def sync(path: Path) -> None:
    """Wait until a file is on the disk, or the names in a folder."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


class Descriptor:
    """An open file, to be known again: code that closes it may get its number for a file of its own.

    Args:
        number: of the file.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._file = self._now()

    def is_own(self) -> bool:
        """Return whether the number is still that of the same file."""
        return self._now() == self._file

    def _now(self) -> tuple[int, int] | None:
        try:
            found = os.fstat(self._number)
        except OSError:
            return None
        return found.st_dev, found.st_ino
