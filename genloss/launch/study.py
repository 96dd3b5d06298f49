"""A study: all runs of one `genloss run`, trained side by side in worker processes."""

from __future__ import annotations

import json
import signal
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from genloss.comparison.table import RunResult, Table, named, read_table
from genloss.errors import TrackingError
from genloss.experiment.plan import Plan, command, plan, runs
from genloss.experiment.schema import Retry, Run
from genloss.launch.pool import Pool, Worker
from genloss.launch.preparation import prepare, write_run
from genloss.launch.signals import Signals
from genloss.launch.tracker import TrackerProcess
from genloss.record.files import publish
from genloss.record.folder import StudyFolder, read_record


class Display(Protocol):
    """Who is told how a study goes on."""

    def began(self, folder: StudyFolder, plan: Plan, runs: Sequence[Run]) -> None:
        """The workers are being started."""

    def progress(self, run: Run, message: Mapping[str, Any]) -> None:
        """A run has come so far: `step` and the `values` there, or `evaluating`."""

    def ended(self, run: Run, status: str, message: str) -> None:
        """A run has ended."""

    def stopping(self) -> None:
        """The runs are being ended before their last step."""

    def note(self, text: str) -> None:
        """Something that a person should know."""

    def close(self) -> None:
        """Nothing more will be told."""


class Silence:
    """A display that shows nothing."""

    def began(self, folder: StudyFolder, plan: Plan, runs: Sequence[Run]) -> None: ...
    def progress(self, run: Run, message: Mapping[str, Any]) -> None: ...
    def ended(self, run: Run, status: str, message: str) -> None: ...
    def stopping(self) -> None: ...
    def note(self, text: str) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class StudyResult:
    """What a study came to.

    Attributes:
        name: the study's name.
        folder: its records.
        table: the results.
        signal: what ended it early: SIGINT or SIGTERM.
        shipped: whether MLflow has all of it.
        page: the comparison's address, if MLflow is a server.
        problem: why MLflow's store cannot be used, if it cannot; what was trained is in the folder then.
        rest: the shell's line that trains the seeds that are left, if it was ended early.
    """

    name: str
    folder: Path
    table: Table
    signal: signal.Signals | None = None
    shipped: bool = True
    page: str | None = None
    problem: TrackingError | None = None
    rest: str | None = None

    def __repr__(self) -> str:
        done = len(self.runs) - len(self.table.unfinished())
        return f"<study {self.name}: {done} of {len(self.runs)} runs finished, in {self.folder}>"

    def _repr_html_(self) -> str:
        return self.table._repr_html_()

    @property
    def runs(self) -> tuple[RunResult, ...]:
        return self.table.runs

    def summary(self) -> str:
        """What is missing, in a sentence; nothing if all runs finished and MLflow has them."""
        unfinished = self.table.unfinished()
        said = []
        if unfinished:
            said.append(f"{len(unfinished)} of {len(self.runs)} runs of study `{self.name}` did not finish")
            said += [f"{named(alike)} failed: {alike[0].message}" for alike in self.table.failures()[:3]]
        if self.problem is not None:
            said.append(self.problem.message)
        elif not self.shipped:
            said.append(f"MLflow has not got all of study `{self.name}`; its records are in `{self.folder}`")
        return "; ".join(said)

    @property
    def exit_code(self) -> int:
        """0 if all runs finished, 1 if one failed, 130 or 143 if it was interrupted or terminated."""
        if self.signal is not None:
            return 128 + self.signal
        return 1 if self.problem or self.table.unfinished() else 0


class UnfinishedWarning(UserWarning):
    """Not all runs of a study finished, or MLflow has not got all of them."""


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
    has its place in the result. So is an interruption by Ctrl-C.

    Args:
        experiment: a YAML file, or what one would hold.
        plugins: plugin files.
        overrides: values that replace the experiment's: `{"training.steps": 50}`, or `["training.steps=50"]`.
        objectives: only these.
        display: told how it goes on; nobody by default.

    Raises:
        RequestError: the experiment is wrong; nothing was trained.
    """
    result = launch(
        plan(experiment, plugins=plugins, overrides=overrides, objectives=objectives), display or Silence()
    )
    if problem := result.summary():
        warnings.warn(problem, UnfinishedWarning, stacklevel=2)
    return result


def launch(planned: Plan, display: Display) -> StudyResult:
    """Trains a plan's runs, and waits until MLflow has them."""
    experiment = planned.experiment
    folder = StudyFolder.create(f"{experiment.name}-{time.strftime('%Y%m%d-%H%M%S')}")
    todo = runs(planned, folder.name)
    prepare(folder, planned, todo)
    with Signals() as signals, TrackerProcess(folder, display.note) as tracker:
        study = Study(folder, planned, todo, display, signals, tracker)
        try:
            study.train()
        finally:
            display.close()
        ended_by, before = signals.first, signals.count
        shipped = tracker.finish(lambda: signals.count > before)
    table = read_table(folder)
    rest = None
    if ended_by is not None and (unfinished := {run.seed for run in table.unfinished()}):
        seeds = [seed for seed in experiment.seeds if seed in unfinished]
        rest = command(planned, folder.name, planned.chosen, seeds)
    return StudyResult(folder.name, folder.path, table, ended_by, shipped, tracker.page, tracker.error, rest)


@dataclass
class Study:
    """The runs that are left, and the workers that train them."""

    folder: StudyFolder
    plan: Plan
    todo: Sequence[Run]
    display: Display
    signals: Signals
    tracker: TrackerProcess
    _pending: list[Run] = field(init=False)
    _stopping: bool = False

    def train(self) -> None:
        """Trains until nothing is left, or a signal or `on_failure: stop` ends it."""
        self._pending = list(self.todo)
        self.display.began(self.folder, self.plan, self.todo)
        # A daemon: the process does not wait for it after a second signal.
        floors = threading.Thread(target=self._write_floors, daemon=True)
        with Pool(self.plan.devices, self.folder) as pool:
            self._assign(pool)
            floors.start()
            while pool.busy():
                for worker, message in pool.messages(timeout=0.2):
                    self._hear(worker, message)
                if (self.signals.count or self.tracker.error) and not self._stopping:
                    self._stopping = True
                    self._pending.clear()
                    pool.stop()
                    self.display.stopping()
                    if self.signals.first is not None:
                        name = "Ctrl-C" if self.signals.first is signal.SIGINT else self.signals.first.name
                        self.display.note(
                            f"{name}: the runs end after their step; once more ends them at once"
                        )
                if self.signals.count > 1:
                    for worker in pool.kill():
                        self._end(worker, "KILLED", "ended at once by a second signal")
                self._check_timeouts(pool)
                self._assign(pool)
        while floors.is_alive() and self.signals.count < 2:
            floors.join(timeout=0.2)

    def _assign(self, pool: Pool) -> None:
        for worker in pool.free():
            mine = next((run for run in self._pending if run.device == worker.device), None)
            if mine is not None:
                self._pending.remove(mine)
                worker.begin(mine, self.folder)

    def _hear(self, worker: Worker, message: Mapping[str, Any]) -> None:
        if worker.run is None:
            return
        if "status" in message:
            self._end(worker, message["status"], "")
        elif "died" in message:
            killed = self.signals.count > 1
            self._end(worker, "KILLED" if killed else "FAILED", message["died"])
        else:
            self.display.progress(worker.run, message)

    def _end(self, worker: Worker, status: str, reason: str) -> None:
        """Closes the run that a worker had; `reason` is set where the worker could not do so itself."""
        run = worker.end(self.folder, status, reason)
        self.display.ended(run, status, read_record(self.folder.run(run.name), values=False).message)
        if status == "FAILED" and worker.device != "cpu":
            worker.close()  # the error may have left the device's context unusable
        if status != "FAILED" or self._stopping:
            return
        on_failure = self.plan.experiment.on_failure
        if on_failure == "stop":
            self._pending.clear()
        elif isinstance(on_failure, Retry) and run.attempt <= on_failure.retry:
            name = f"{run.name.split('.retry-')[0]}.retry-{run.attempt}"
            again = run.model_copy(update={"name": name, "attempt": run.attempt + 1})
            write_run(self.folder, again)
            self._pending.append(again)

    def _check_timeouts(self, pool: Pool) -> None:
        for worker in pool.workers:
            run = worker.run
            timeout = run.objective.training.timeout if run else None
            if timeout is not None and time.monotonic() - worker.heard > timeout:
                worker.kill()
                self._end(worker, "FAILED", f"no progress for {timeout:g} s (`training.timeout`)")

    def _write_floors(self) -> None:
        """Computes what a perfect model would get."""
        settings = self.plan.experiment.evaluation
        if settings is None:
            return
        from genloss.launch.execute import CACHE
        from genloss.training.evaluation import floor, judges

        found: dict[str, float] = {}
        for judge in judges(settings, self.plan.catalogue.metrics):
            try:
                found |= floor(judge, self.plan.data, settings.samples, CACHE)
            except Exception as error:  # the runs that the metric fails in keep the traceback
                name, kind = judge.metric.name, type(error).__name__
                self.display.note(f"metric `{name}` has no floor: {kind}: {error}")
            publish(self.folder.floors, json.dumps(found).encode())
