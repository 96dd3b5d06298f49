"""Scheduling a study's runs on worker processes, until all are done or something stops it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genloss.experiment.schema import Retry, Run
from genloss.launch import failure
from genloss.launch.forkserver import ForkServers
from genloss.launch.isolation import needs_own_process
from genloss.launch.outcome import Outcome
from genloss.launch.pool import STOPPING_SECONDS, Pool, Worker
from genloss.launch.progress import Display
from genloss.launch.queue import Queue
from genloss.launch.references import References
from genloss.launch.signals import Signals
from genloss.launch.study import Study
from genloss.launch.tracker_process import TrackerProcess
from genloss.record.events import Status


@dataclass
class Scheduler:
    """Hands a study's runs to its workers.

    Attributes:
        unrecorded: how runs ended whose journals could not take it.
    """

    study: Study
    display: Display
    signals: Signals
    tracker: TrackerProcess
    servers: ForkServers
    unrecorded: dict[str, Outcome] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)
    _stopping: bool = False

    def __post_init__(self) -> None:
        self._queue = self.study.search or Queue(self.study.runs)

    def train(self) -> None:
        """Train until nothing is left, or a signal or `on_failure: stop` ends it."""
        self.display.began(self.study)
        references = References(self.study, self.display.note)
        with Pool(self.study, self._deterministic(), self.servers) as pool:
            self._assign(pool)
            references.start()
            while self._assign(pool):
                for worker, message in pool.messages():
                    self._hear(worker, message)
                if (self.signals.count or self.tracker.error) and not self._stopping:
                    self._stop(pool)
                if self.signals.count > 1:
                    for worker in pool.kill():
                        self._close(worker, Outcome(Status.INTERRUPTED, "ended at once by a second signal"))
                self._check_silence(pool)
        self.servers.end()  # nothing is trained while the report is made
        references.wait(self.signals)
        self._record_again()

    def _deterministic(self) -> bool:
        return any(run.objective.training.deterministic for run in self.study.runs)

    def _stop(self, pool: Pool) -> None:
        self._stopping = True
        self._queue.clear()
        pool.stop()
        self.display.stopping()
        if self.signals.first is not None:
            name = "Ctrl-C" if self.signals.first is signal.SIGINT else self.signals.first.name
            self.display.note(
                f"{name}: the runs end after their step, {STOPPING_SECONDS:g} s from now at the latest; "
                "once more ends them at once"
            )

    def _assign(self, pool: Pool) -> bool:
        """Hand out what waits; return whether anything is trained, or may be yet."""
        # Asked for first: a process that ends between the two leaves a worker that is to get the next run.
        busy = pool.busy()
        if not self.signals.count:
            for worker in pool.free():
                mine = self._queue.next(worker.device)
                if mine is not None:
                    worker.begin(mine, self.study.drift, prunable=self._queue.is_prunable(mine))
        return busy or pool.busy()

    def _is_isolated(self, run: Run) -> bool:
        return needs_own_process(run, self.study.catalogue)

    def _hear(self, worker: Worker, message: Mapping[str, Any]) -> None:
        if worker.run is None:
            return
        if "status" in message:
            self._end(worker, Outcome(**{**message, "status": Status(message["status"])}))
        elif "died" in message:
            killed = self.signals.count > 1
            self._close(worker, Outcome(Status.INTERRUPTED if killed else Status.FAILED, message["died"]))
        elif "warning" in message:
            self.display.note(f"{worker.run.name}: {message['warning']}")
        elif "evaluation" in message:
            numbers = message["evaluation"]
            worker.answer(pruned=self._queue.is_pruned(worker.run, message["step"], numbers))
        else:
            self.display.progress(worker.run, message)

    def _close(self, worker: Worker, outcome: Outcome) -> None:
        """End the run of a process that could not say itself how it ended."""
        assert worker.run is not None
        folder = self.study.folder.run(worker.run.name)
        self._end(worker, failure.close(folder, worker.run, outcome, worker.last_words()))

    def _end(self, worker: Worker, outcome: Outcome) -> None:
        run = worker.take_off()
        self.unrecorded.pop(run.name, None)
        if not outcome.recorded:
            self.unrecorded[run.name] = outcome
        self.display.ended(run, outcome.status, outcome.message)
        self._queue.ended(run, outcome.status)
        # An error may have left the device's context unusable.
        if self._is_isolated(run) or (outcome.status == Status.FAILED and worker.device != "cpu"):
            worker.retire()
        if outcome.status != Status.FAILED or self._stopping:
            return
        self._failures[run.name] = self._failures.get(run.name, 0) + 1
        on_failure = self.study.experiment.on_failure
        if on_failure == "stop":
            self._queue.clear()
        elif isinstance(on_failure, Retry) and self._failures[run.name] <= on_failure.retry:
            self._queue.again(run)

    def _check_silence(self, pool: Pool) -> None:
        """End runs that have not reported for too long."""
        for worker in pool.workers:
            if worker.run is None:
                continue
            at = worker.evaluating
            key, timeout = "training.timeout", worker.run.objective.training.timeout
            if at:
                assert worker.run.evaluation is not None
                key, timeout = "evaluation.timeout", worker.run.evaluation.timeout
            if self.signals.count and worker.silence > STOPPING_SECONDS:
                where = f"evaluating ({at})" if at else "training"
                said = f"interrupted while {where}, which did not end within {STOPPING_SECONDS:g} s"
                worker.kill()
                self._close(worker, Outcome(Status.INTERRUPTED, said))
            elif timeout is not None and worker.silence > timeout:
                where = f" in {at}" if at else ""
                worker.kill()
                self._close(worker, Outcome(Status.FAILED, f"no progress for {timeout:g} s{where} (`{key}`)"))

    def _record_again(self) -> None:
        """Try once more to write how runs ended: the disk may have room again."""
        for run in self.study.runs:
            if run.name in self.unrecorded:
                folder = self.study.folder.run(run.name)
                if failure.close(folder, run, self.unrecorded[run.name]).recorded:
                    del self.unrecorded[run.name]
