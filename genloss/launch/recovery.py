"""Recovering from a launcher that died: report it, close its runs in MLflow, repair its folder."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable

from genloss.errors import GenlossError, RecordError
from genloss.launch import subprocesses
from genloss.record import journal, owner
from genloss.record.cursor import Cursor
from genloss.record.events import SILENT, Ended, Status
from genloss.record.files import publish
from genloss.record.folder import ROOT, RunFolder, StudyFolder, read_state
from genloss.record.journal import Journal
from genloss.text import joined
from genloss.tracking import address, allowed

PATIENCE = 30.0
"""Seconds in which a worker whose launcher has died is to have ended."""

KILLING_SECONDS = 10.0
TRACKER_SECONDS = 60.0


def tell_crashed(note: Callable[[str], None], uri: str | None = None) -> None:
    """Tell which studies here were left unfinished by a launcher that died.

    Their runs are closed, and a tracker says so in MLflow, for which nobody waits.

    Args:
        note: told what the user should know.
        uri: a store that the user names now, besides what settings and files do.
    """
    for path in sorted(ROOT.glob("*/study.json")):
        folder = StudyFolder(path.parent)
        if not folder.has_crashed():
            continue
        try:
            unfinished = folder.unfinished()
            for name in unfinished:
                close(folder.run(name))
            if folder.pending():
                _track(folder, allowed.store_of(folder, folder.read(), also=(uri,) if uri else ()))
        except GenlossError as error:
            note(error.message)
            if error.hint:
                note(f"  {error.hint}")
            continue
        if unfinished:
            names = joined([f"`{name}`" for name in unfinished])
            note(f"{names} of study `{folder.name}` did not finish, as its launcher died; go on with")
            note(f"  genloss resume {folder.name}")


def _track(folder: StudyFolder, uri: str) -> None:
    """Start a tracker that ships what there is, and end."""
    with subprocesses.log(folder.path / "tracker.log") as log:
        process = subprocess.Popen(
            subprocesses.command("genloss.tracking.tracker", str(folder.path), *subprocesses.parent()),
            env=subprocesses.environment(**{address.SETTING: uri}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    process.returncode = 0  # nobody waits for it: Python would complain that it is forgotten before it ends


def wait_for_workers(
    folder: StudyFolder, names: Iterable[str], note: Callable[[str], None], give_up: Callable[[], bool]
) -> None:
    """Wait until no process trains these runs; kill those that do not end in time.

    Raises:
        RecordError: a process still trains there, and is not ours to end.
    """
    left = _trained(folder.run(name) for name in names)
    if left:
        listed = joined([f"`{run.path.name}`" for run in left])
        note(f"waiting up to {PATIENCE:.0f} s for the workers of the last launcher to end {listed}")
    left = _wait(left, PATIENCE, give_up)
    for run in left:
        trainer = owner.read(run.lock)
        if trainer is not None and trainer.kill():
            note(f"{trainer}, which still trained in `{run.path}`, was ended")
    left = _wait(left, KILLING_SECONDS, give_up)
    if left and not give_up():
        who = owner.read(left[0].lock) or "another process"
        raise RecordError(
            f"{who} trains in `{left[0].path}`", hint="end it there, then resume the study again"
        )


def _trained(runs: Iterable[RunFolder]) -> list[RunFolder]:
    return [run for run in runs if run.is_trained()]


def _wait(runs: list[RunFolder], seconds: float, give_up: Callable[[], bool]) -> list[RunFolder]:
    """The folders in which a process still trains after this many seconds."""
    deadline = time.monotonic() + seconds
    while (runs := _trained(runs)) and time.monotonic() < deadline and not give_up():
        time.sleep(0.1)
    return runs


def close(run: RunFolder) -> bool:
    """Append INTERRUPTED to the journal of a run whose process died silently; return whether it did."""
    try:
        if not run.journal.exists() or read_state(run).status != Status.RUNNING:
            return False
        with run.locked(), Journal(run.journal) as opened:
            opened.event(Ended(status=Status.INTERRUPTED, message=SILENT))
    except RecordError:
        return False  # damaged, or somebody still trains there
    return True


def damage(run: RunFolder) -> str | None:
    """Why a run cannot go on where it was; None if it can."""
    if not run.path.is_dir():
        return None
    if not run.journal.exists():
        return f"the journal of `{run.path.name}` is missing" if run.begun() else None
    end = 0
    try:
        for _, end in journal.read(run.journal):  # noqa: B007 - the last frame's end is what is wanted
            continue
    except RecordError as error:
        return error.message
    cursor = Cursor.read(run.shipped)
    if cursor is not None and cursor.offset > end:  # what is computed again would be there twice
        return f"the journal of `{run.path.name}` ends before what MLflow has of it"
    return None


def set_aside(run: RunFolder) -> RunFolder:
    """Rename a run's folder to the first free of `….damaged-1`, `….damaged-2`, …, and make it again."""
    for number in range(1, 10_000):
        path = run.path.with_name(f"{run.path.name}.damaged-{number}")
        if not path.exists():
            run.path.rename(path)
            break
    else:
        raise RecordError(f"`{run.path}` was damaged ten thousand times")
    run.path.mkdir()
    publish(run.run, RunFolder(path).run.read_bytes())
    return RunFolder(path)


def wait_for_tracker(folder: StudyFolder, give_up: Callable[[], bool]) -> None:
    """Wait until no tracker of a launcher that died reads the study's journals.

    Raises:
        RecordError: one still does.
    """
    lock = folder.tracker_lock
    deadline = time.monotonic() + TRACKER_SECONDS
    while owner.is_held(lock) and not give_up():
        if time.monotonic() > deadline:
            raise RecordError(f"a tracker still ships study `{folder.name}`", hint="try again in a minute")
        time.sleep(0.1)
