"""Recording how a run failed: in its journal, with its traceback and a command that reproduces it."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from genloss.contracts.definition import Definition
from genloss.errors import GenlossError, RecordError, RequestError, writable
from genloss.experiment.schema import Run
from genloss.launch.outcome import Outcome
from genloss.record.events import ArtifactWritten, Ended, Status
from genloss.record.files import publish
from genloss.record.folder import RunFolder
from genloss.record.journal import Journal
from genloss.record.owner import LOCK_SECONDS
from genloss.registry import origin
from genloss.registry.catalogue import catalogue

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def fail(
    folder: RunFolder,
    journal: Journal,
    run: Run,
    error: BaseException | Outcome,
    trace: str = "",
    **more: Any,
) -> Outcome:
    """Write how a run failed: an artifact with the traceback and a line that reproduces it, and a status.

    Args:
        folder: the run's.
        journal: its journal.
        run: what was trained.
        error: what went wrong, or how it is to be told.
        trace: where, if the error does not know.
        more: what else the status says.
    """
    outcome = (
        Outcome(Status.FAILED, _said(error, run), _hint(error)) if isinstance(error, BaseException) else error
    )
    if isinstance(error, BaseException):
        trace = "".join(traceback.format_exception(error))
    with suppress(OSError, RecordError):
        folder.artifacts.mkdir(exist_ok=True)
        text = f"{trace.rstrip()}\n\nTo reproduce it:\n  {run.reproduce}\n"
        publish(folder.artifacts / "traceback.txt", writable(text).encode())
        journal.event(ArtifactWritten(path="artifacts/traceback.txt"))
    return conclude(journal, outcome, **more)


def close(folder: RunFolder, run: Run, outcome: Outcome, trace: str = "") -> Outcome:
    """Write for a process that has died how its run ended."""
    try:
        with folder.locked(LOCK_SECONDS), Journal(folder.journal) as journal:
            if outcome.status == Status.FAILED:
                return fail(folder, journal, run, outcome, f"{outcome.message}\n\n{trace}")
            return conclude(journal, outcome)
    except (OSError, RecordError):
        return replace(outcome, recorded=False)


def conclude(journal: Journal, outcome: Outcome, **more: Any) -> Outcome:
    """Write how a run ended; if the journal cannot be written, the outcome says so."""
    try:
        journal.event(Ended(status=outcome.status, message=outcome.message, hint=outcome.hint, **more))
        journal.sync()
    except RecordError:
        return replace(outcome, recorded=False)
    return outcome


def _said(error: BaseException, run: Run) -> str:
    """What went wrong, in one line, and in which plugin's code."""
    message = writable(error.message) if isinstance(error, GenlossError) else origin.describe(error)
    try:
        found = origin.culprit(error, _definitions(run))
    except RequestError:  # a plugin is not what it was when the run was planned
        found = None
    return (f"{found}: {message}" if found else message).split("\n", 1)[0]


def _hint(error: BaseException) -> str:
    if isinstance(error, GenlossError):
        return writable(error.hint or "")
    if isinstance(error, OSError) and error.errno in FULL:
        return "make room; `genloss resume` goes on from the newest checkpoint"
    return ""


def _definitions(run: Run) -> Iterator[Definition]:
    """All that a run takes from plugins."""
    known = catalogue(*run.plugins)
    yield known.datasets[run.data.name]
    yield known.models[run.objective.model.name]
    yield from (known.losses[term.loss] for terms in run.objective.players.values() for term in terms)
    yield from (known.metrics[metric.name] for metric in (run.evaluation.metrics if run.evaluation else ()))
