"""Files that a journal names, which are sent only if they are the run's own."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

LONGEST = 150
"""Characters of a name; MLflow adds some, and most file systems take 255 bytes."""


class Refused(Exception):
    """A file that is not sent, and why."""


def own(folder: Path, name: str) -> Path:
    """The file or folder of that name in a run's folder.

    Args:
        folder: the run's.
        name: as the journal has it.

    Raises:
        Refused: it is not there, cannot be read, or lies elsewhere: by its name, or by a link.
    """
    path = folder / name
    try:
        _check(path, folder.resolve())
        if path.is_dir():
            for inner, folders, files in os.walk(path):
                for each in [*folders, *files]:
                    _check(Path(inner, each), folder.resolve())
    except FileNotFoundError as error:
        raise Refused("it is not there") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise Refused(f"it cannot be read: {error}") from error
    return path


def destination(name: str) -> str:
    """A name among a run's artifacts, or of a kind of picture.

    Raises:
        Refused: it leads elsewhere, or no file can have it: what MLflow says then is as if the store were out
            of order.
    """
    parts = PurePath(name).parts
    if name.startswith("/") or ".." in parts or not name.isprintable() or len(name) > LONGEST:
        raise Refused(
            f"it is to be sent as {name[:LONGEST]!r}, which is not a name among the run's artifacts"
        )
    return name


def _check(path: Path, folder: Path) -> None:
    # A link that goes round in circles is an OSError or a RuntimeError, a name with a zero is a ValueError.
    if not path.resolve(strict=True).is_relative_to(folder):
        raise Refused("it lies outside of the run's folder")
    if path.is_file():
        with path.open("rb"):
            pass
    elif not path.is_dir():
        raise Refused("it is not a file")
