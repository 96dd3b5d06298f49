"""Files named by an experiment."""

from __future__ import annotations

import os
from pathlib import Path

from genloss.errors import ExperimentError, Location, did_you_mean
from genloss.experiment.nodes import show
from genloss.text import one_line


def existing(name: str, folder: Path, *, where: Location, what: str = "file", pattern: str = "*") -> str:
    """A file's path, given relative to a folder, as an absolute one.

    Args:
        name: as the user wrote it; `~` and `$VARIABLES` stand for what they do in a shell, unless there is a
            file of that very name.
        folder: absolute.
        where: the place of the name.
        what: what it should be, for the message.
        pattern: what may have been meant, if it is not there.

    Raises:
        ExperimentError: it is not there.
    """
    path = Path(os.path.normpath(folder / name))
    expanded = os.path.expandvars(os.path.expanduser(name))  # noqa: PTH111  (Path raises for an unknown user)
    try:
        if path.exists():
            return str(path)
        if expanded != name:
            path = Path(os.path.normpath(folder / expanded))
            if path.exists():
                return str(path)
        near = did_you_mean(path.name, [file.name for file in path.parent.glob(pattern)])
    except (OSError, ValueError):  # a name that no file can have
        near = None
    raise ExperimentError(
        f"there is no {what} {show(name)}",
        where=where,
        hint=near or f"it was looked for in `{one_line(str(folder), 200)}`",
    )
