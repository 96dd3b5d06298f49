"""Training one run in its folder, from run.json to the status in its journal."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace

from genloss.errors import FOREIGN, NonFiniteError, RecordError
from genloss.experiment.schema import Run
from genloss.launch import fingerprint
from genloss.launch.attempt import Attempt, Pruned, Pruner, Report
from genloss.launch.failure import conclude, fail
from genloss.launch.outcome import Outcome
from genloss.record.events import Status
from genloss.record.folder import RunFolder, StudyFolder
from genloss.record.journal import Journal
from genloss.record.owner import LOCK_SECONDS
from genloss.training.memory import PeakMemory
from genloss.training.trainer import Interrupted


def execute(
    folder: RunFolder,
    report: Report,
    should_stop: Callable[[], bool],
    *,
    drift: str = "",
    is_pruned: Pruner | None = None,
) -> Outcome:
    """Train the run, from its beginning or from where its record allows, and report how that ended.

    Args:
        folder: with the run's run.json.
        report: told of progress, at most about once a second; from another thread, too.
        should_stop: asked before each step.
        drift: what has changed since the study began, if that is accepted.
        is_pruned: asked after each evaluation whether the run is ended there, if it is a trial of a search.
    """
    outcome = Outcome(Status.FAILED)
    try:
        with folder.locked(LOCK_SECONDS):
            run = read_run(folder)
            with Journal(folder.journal) as journal:
                outcome = _execute(run, folder, journal, report, should_stop, drift, is_pruned)
    except (RecordError, OSError) as error:
        message = error.message if isinstance(error, RecordError) else str(error)
        hint = error.hint or "" if isinstance(error, RecordError) else ""
        if outcome.status != Status.FAILED or not outcome.message:
            outcome = Outcome(Status.FAILED, message, hint)
        return replace(outcome, recorded=False)
    return outcome


def read_run(folder: RunFolder) -> Run:
    """The run to train.

    Raises:
        RecordError: run.json is missing or damaged.
    """
    try:
        return Run.model_validate_json(folder.run.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"`{folder.run}` cannot be read: {error}") from error


def _execute(
    run: Run,
    folder: RunFolder,
    journal: Journal,
    report: Report,
    should_stop: Callable[[], bool],
    drift: str,
    is_pruned: Pruner | None,
) -> Outcome:
    memory = PeakMemory(run.device)
    attempt = Attempt(run, folder, journal, report, should_stop, drift, is_pruned)
    try:
        if not drift:
            fingerprint.check_run(StudyFolder(folder.path.parent), run)
        weights = attempt.train()
    except Interrupted as interruption:
        return conclude(journal, Outcome(Status.INTERRUPTED, interruption.message), peak_memory=memory.read())
    except Pruned as pruned:
        outcome = conclude(journal, Outcome(Status.PRUNED, pruned.message), peak_memory=memory.read())
    except NonFiniteError as error:
        kept = attempt.keep_last_finite(error)
        return fail(folder, journal, run, error, peak_memory=memory.read(), **kept)
    except FOREIGN as error:
        return fail(folder, journal, run, error, peak_memory=memory.read())
    else:
        outcome = conclude(journal, Outcome(Status.FINISHED), weights=weights, peak_memory=memory.read())
    if outcome.recorded:
        shutil.rmtree(folder.checkpoints, ignore_errors=True)  # of no use once it has come to its end
    return outcome
