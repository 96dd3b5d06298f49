"""Listing and removing the studies of a working directory."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from genloss.errors import RecordError, RequestError
from genloss.record import owner
from genloss.record.folder import ROOT, StudyFolder

REMOVED = ".removed-"
"""What the name of a folder begins with that is being removed."""


@dataclass(frozen=True)
class Kept:
    """A study's records.

    Attributes:
        age: seconds since something was recorded.
        size: bytes on the disk.
        finished: how many runs finished.
        planned: how many runs it has; 0 if study.json cannot be read.
        pending: bytes that MLflow has not got.
        alive: whether it is being trained or shipped.
    """

    folder: StudyFolder
    age: float
    size: int
    finished: int
    planned: int
    pending: int
    alive: bool


def studies(root: Path = ROOT) -> list[Kept]:
    """The studies here, the oldest first."""
    found = [look(StudyFolder(path.parent)) for path in root.glob("*/study.json")]
    return sorted(found, key=lambda kept: kept.age, reverse=True)


def find(name: str, root: Path = ROOT) -> Kept:
    """A study here.

    Raises:
        RequestError: there is none of that name in this folder.
    """
    folder = StudyFolder.find(name, root)
    if folder.path.parent != root:
        raise RequestError(f"`{name}` is not the name of a study in this folder")
    return look(folder)


def remove(folder: StudyFolder, *, pending: bool = False) -> None:
    """Remove a study's records; links are removed, not followed.

    Args:
        folder: the study's.
        pending: whether it may go though its records say that MLflow has not got all of it.

    Raises:
        RecordError: the study is a link, is being trained or shipped, or MLflow has not got all of it.
    """
    if folder.path.is_symlink():
        raise RecordError(f"`{folder.path}` is a link", hint="remove it yourself")
    with folder.locked(), owner.held(folder.tracker_lock, f"ships study `{folder.name}`"):
        if not pending and folder.pending():
            raise RecordError(f"MLflow has not got all of study `{folder.name}`")
        grave = folder.path.with_name(f"{REMOVED}{folder.name}-{time.time_ns()}")
        try:
            folder.path.rename(grave)
        except OSError as error:
            raise RecordError(f"`{folder.path}` cannot be removed: {error.strerror}") from error
        StudyFolder(grave).study.unlink(missing_ok=True)  # it is not a study any more, if this is cut off
    # What was left of an earlier removal goes, too.
    for grave in folder.path.parent.glob(f"{REMOVED}*"):
        shutil.rmtree(grave, ignore_errors=True)


def look(folder: StudyFolder) -> Kept:
    """What there is of a study."""
    planned = finished = 0
    try:
        planned = len(folder.names())
        finished = planned - len(folder.unfinished())
    except RecordError:
        pass
    newest = max(map(_changed, [run.journal for run in folder.runs()]), default=_changed(folder.path))
    return Kept(
        folder,
        time.time() - newest,
        _size(folder.path),
        finished,
        planned,
        folder.pending(),
        folder.is_alive() or owner.is_held(folder.tracker_lock),
    )


def _changed(path: Path) -> float:
    """When it was changed; long ago where that cannot be seen, as of a link that leads nowhere."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(folder: Path) -> int:
    """Bytes of its files; what links point to does not count."""
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):  # removed in the meantime
                total += Path(path, name).lstat().st_size
    return total
