"""A study: all runs of one `genloss run`, from its experiment to its results."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genloss.comparison.comparison import Comparison
from genloss.comparison.records import comparison_of
from genloss.errors import RecordError
from genloss.experiment.plan import Plan, plan, runs
from genloss.experiment.search import with_trials
from genloss.launch.crashed import tell_crashed
from genloss.launch.display import Display, Silence
from genloss.launch.outcome import Outcome
from genloss.launch.preparation import prepare
from genloss.launch.result import StudyResult, UnfinishedWarning
from genloss.launch.scheduler import Scheduler, Study
from genloss.launch.search import search_of
from genloss.launch.signals import Signals
from genloss.launch.spares import Spares
from genloss.launch.tracker import TrackerProcess
from genloss.record.folder import StudyFolder

HURRY_SECONDS = 2.0
"""What the tracker gets after a second signal; it goes on by itself."""


def run(
    experiment: str | Path | Mapping[str, Any],
    *,
    plugins: Sequence[str | Path] = (),
    overrides: Sequence[str] | Mapping[str, Any] = (),
    objectives: Sequence[str] = (),
    display: Display | None = None,
) -> StudyResult:
    """Runs an experiment: all its objectives with all its seeds.

    A run that fails is no exception, since the others have their results: it is an `UnfinishedWarning`, and
    has its place in the result. So is an interruption by Ctrl-C. `genloss.resume` finishes what is missing.

    Args:
        experiment: a YAML file, or what one would hold.
        plugins: plugin files.
        overrides: values that replace the experiment's: `{"training.steps": 50}`, or `["training.steps=50"]`.
        objectives: only these.
        display: told how it goes on; nobody by default.

    Raises:
        RequestError: the experiment is wrong; nothing was trained.
    """
    with Spares() as spares:
        planned = plan(
            experiment, plugins=plugins, overrides=overrides, objectives=objectives, once_read=spares.expect
        )
        result = launch(planned, display or Silence(), spares)
    if problem := result.summary():
        warnings.warn(problem, UnfinishedWarning, stacklevel=2)
    return result


def launch(planned: Plan, display: Display, spares: Spares) -> StudyResult:
    """Trains a plan's runs, and waits until MLflow has them.

    Args:
        planned: the plan.
        display: told how it goes on.
        spares: processes for its workers.

    Raises:
        RecordError: the study's folder cannot be written.
    """
    planned = replace(planned, experiment=with_trials(planned.experiment))
    experiment = planned.experiment
    tell_crashed(display.note)
    folder = StudyFolder.create(f"{experiment.name}-{time.strftime('%Y%m%d-%H%M%S')}")
    with folder.locked():
        todo = runs(planned, folder.name)
        try:
            prepare(folder, planned, todo)
        except OSError as error:
            shutil.rmtree(folder.path, ignore_errors=True)
            raise RecordError(f"`{folder.path}` could not be filled: {error}") from error
        search = search_of(
            folder, experiment, todo, todo, planned.source, planned.catalogue, planned.data, display.note
        )
        study = Study(
            folder, experiment, planned.catalogue, planned.data, planned.devices, todo, search=search
        )
        with Signals() as signals:
            return conduct(study, display, signals, spares)


def conduct(study: Study, display: Display, signals: Signals, spares: Spares) -> StudyResult:
    """Trains what is left of a study, and waits until MLflow has it."""
    folder = study.folder
    with TrackerProcess(folder, display.note) as tracker:
        scheduler = Scheduler(study, display, signals, tracker, spares)
        try:
            scheduler.train()
        finally:
            display.close()
        ended_by, before = signals.first, signals.count
        report = None if ended_by else _report(study, scheduler.unrecorded, display)
        since = time.monotonic()
        shipped = tracker.finish(
            lambda: signals.count > before or (before > 1 and time.monotonic() > since + HURRY_SECONDS)
        )
    comparison = _completed(comparison_of(folder), scheduler.unrecorded)
    line = None
    if comparison.unfinished():
        line = f"genloss resume {folder.name}" + (" --allow-drift" if study.drift else "")
    return StudyResult(
        folder.name,
        folder.path,
        comparison,
        ended_by,
        shipped,
        tracker.page,
        tracker.error,
        line,
        report,
    )


def _report(study: Study, unrecorded: Mapping[str, Outcome], display: Display) -> Path | None:
    """Writes the report into the study's folder, while the tracker ships what it has yet to; gives its path.

    What goes wrong there is no reason to lose the study's end.
    """
    try:
        from genloss.comparison import report
        from genloss.comparison.sources import RecordSource

        comparison = _completed(comparison_of(study.folder), unrecorded)
        return report.write(comparison, RecordSource(study.folder), study.folder.path)
    except Exception as error:
        display.note(f"the report could not be made: {type(error).__name__}: {error}")
        return None


def _completed(comparison: Comparison, unrecorded: Mapping[str, Outcome]) -> Comparison:
    """The comparison with what the journals of some runs could not take."""
    return replace(
        comparison,
        runs=tuple(
            replace(run, status=how.status, message=how.message, hint=how.hint)
            if (how := unrecorded.get(run.name))
            else run
            for run in comparison.runs
        ),
    )
