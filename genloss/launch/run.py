"""Running a study, from its experiment to its results."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from genloss.comparison.comparison import Comparison
from genloss.comparison.from_records import comparison_of
from genloss.errors import RecordError, told
from genloss.experiment.search import with_trials
from genloss.launch import git
from genloss.launch.forkserver import ForkServers
from genloss.launch.outcome import Outcome
from genloss.launch.preparation import prepare
from genloss.launch.progress import Display, Silence, Steady
from genloss.launch.recovery import tell_crashed
from genloss.launch.result import StudyResult, UnfinishedWarning
from genloss.launch.scheduler import Scheduler
from genloss.launch.search import search_of
from genloss.launch.signals import Signals
from genloss.launch.study import Study
from genloss.launch.tracker_process import TrackerProcess
from genloss.planning.plan import Plan, plan, runs
from genloss.planning.remarks import RemarkWarning
from genloss.record.folder import StudyFolder
from genloss.registry.plugin import refuse_while_loading
from genloss.tracking import address

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
    """Run an experiment: all its objectives with all its seeds.

    A run that fails is not an exception, since the others have their results: it is an `UnfinishedWarning`,
    and has its place in the result. So is an interruption by Ctrl-C. `genloss.resume` finishes what is
    missing.

    Args:
        experiment: a YAML file, or what one would hold.
        plugins: plugin files.
        overrides: values that replace the experiment's: `{"training.steps": 50}`, or `["training.steps=50"]`.
        objectives: only these.
        display: told how it goes on; nobody by default.

    Raises:
        RequestError: the experiment is wrong; nothing was trained.
    """
    refuse_while_loading("genloss.run")
    with ForkServers() as servers:
        planned = plan(
            experiment, plugins=plugins, overrides=overrides, objectives=objectives, once_read=servers.expect
        )
        for remark in planned.remarks:
            warnings.warn(str(remark), RemarkWarning, stacklevel=2)
        result = launch(planned, Steady(display or Silence()), servers)
    if problem := result.summary():
        warnings.warn(problem, UnfinishedWarning, stacklevel=2)
    return result


def launch(planned: Plan, display: Display, servers: ForkServers) -> StudyResult:
    """Train a plan's runs, and wait until MLflow has them.

    Args:
        planned: the plan.
        display: told how it goes on.
        servers: fork servers, of which it has its workers.

    Raises:
        RecordError: the study's folder cannot be written.
    """
    planned = replace(planned, experiment=with_trials(planned.experiment))
    experiment = planned.experiment
    uri = address.resolve(experiment.tracking.uri)
    tell_crashed(display.note, uri)
    repository = git.state(planned.source.folder, with_diff=experiment.tracking.git_diff)
    if repository.problem:
        display.note(repository.problem)
    folder = StudyFolder.create(f"{experiment.name}-{time.strftime('%Y%m%d-%H%M%S')}")
    with ExitStack() as stack:
        try:
            begin = stack.enter_context(folder.locked())
            todo = runs(planned, folder.name)
            prepare(folder, planned, todo, repository)
        except BaseException as error:
            shutil.rmtree(folder.path, ignore_errors=True)
            if isinstance(error, OSError):
                raise RecordError(f"`{folder.path}` could not be filled: {error}") from error
            raise
        search = search_of(
            folder, experiment, todo, todo, planned.source, planned.catalogue, planned.data, display.note
        )
        study = Study(
            folder, experiment, planned.catalogue, planned.data, planned.devices, todo, search=search
        )
        begin()
        with Signals() as signals:
            return conduct(study, uri, display, signals, servers)


def conduct(study: Study, uri: str, display: Display, signals: Signals, servers: ForkServers) -> StudyResult:
    """Train what is left of a study, and wait until the store of that address has it."""
    folder = study.folder
    with TrackerProcess(folder, display.note, uri=uri) as tracker:
        scheduler = Scheduler(study, display, signals, tracker, servers)
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
    """Write the report into the study's folder, while the tracker ships what it has yet to; return its path.

    What goes wrong there is no reason to lose the study's end.
    """
    try:
        from genloss.comparison import report
        from genloss.comparison.artifacts import RecordArtifacts

        comparison = _completed(comparison_of(study.folder), unrecorded)
        return report.write(comparison, RecordArtifacts(study.folder), study.folder.path)
    except Exception as error:
        display.note(f"the report could not be made: {told(error)}")
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
