"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def publish(path: Path, content: bytes) -> None:
    """Writes a file so that it is there whole, or as it was before."""
    with published(path) as part:
        part.write_bytes(content)


@contextmanager
def published(path: Path) -> Iterator[Path]:
    """Gives another name to write to; afterwards the file has its own, on the disk, whole.

    Where writing it fails, the file is as it was before.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        sync(part)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync(path.parent)  # the name, too


def sync(path: Path) -> None:
    """Waits until a file is on the disk, or the names in a folder."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
