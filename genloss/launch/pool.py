"""The worker processes of a study."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Self

from genloss.experiment.schema import Run
from genloss.launch import subprocesses
from genloss.launch.forkserver import ForkServers, Process, settings
from genloss.record.folder import StudyFolder
from genloss.training.devices import Device

if TYPE_CHECKING:
    from genloss.launch.study import Study

DETERMINISTIC = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""What cuBLAS wants to be told before it is loaded, to give the same bits twice."""

STARTING_SECONDS = 60.0
"""How long a process may take to import torch before `training.timeout` counts."""

STOPPING_SECONDS = 10.0
"""How long an interrupted run may take to finish its step."""

ENDING_SECONDS = 10.0
"""How long a process may take to end once its pipe is closed."""

LAST_WORDS = 4000
"""Bytes of a dead worker's output that are kept as its run's traceback."""

POLL_SECONDS, LEAVING_POLL_SECONDS = 0.2, 0.02
"""How long messages are waited for: a shorter time where a process's end is waited for, too."""

TICK_SECONDS = 1.0
"""What a round of the launcher's loop counts for at most in a worker's silence: where it takes longer, the
launcher itself was stopped, or the machine slept, and the worker with it."""


class Worker:
    """A process that trains one run at a time; it is started with its first run, and again if it ended.

    Attributes:
        device: the device that it trains on.
        run: what it trains now.
        variables: those of its process's environment.
        evaluating: what of an evaluation its run is at; empty while it trains.
        silence: seconds for which nothing has been heard of it.
    """

    def __init__(
        self, number: int, device: Device, study: StudyFolder, more: Mapping[str, str], servers: ForkServers
    ) -> None:
        self.device = device.name
        self.run: Run | None = None
        self.variables = {**settings(device.threads), **more}
        self.evaluating = ""
        self.silence = 0.0
        self._study = study
        self._servers = servers
        self._log = study.path / "logs" / f"worker-{number}.log"
        self._process: Process | None = None
        self._leaving: tuple[Process, float] | None = None  # and when it is to have ended
        self.connection: Connection | None = None

    def begin(self, run: Run, drift: str, *, prunable: bool = False) -> None:
        """Hand it a run; a prunable one waits after each evaluation for an answer."""
        self.evaluating, self.silence = "", 0.0
        if self._process is None:
            self._start()
            self.silence = -STARTING_SECONDS
        assert self.connection is not None
        self.run = run
        # Absolute: a plugin may have gone to another folder.
        request = {
            "run": str(self._study.run(run.name).path.absolute()),
            "threads": run.threads,
            "drift": drift,
            "prunable": prunable,
            "log": str(self._log.absolute()),
        }
        # If it has died already, the pool hears of that, and the run ends as failed.
        with suppress(OSError):
            self.connection.send_bytes(json.dumps(request).encode())

    def _start(self) -> None:
        with subprocesses.log(self._log) as log:
            self._process, self.connection = self._servers.start(self.variables, log)

    def stop(self) -> None:
        """Ask it to end its run after the step it is in."""
        self.silence = 0.0
        if self.run is not None and self.connection is not None:
            with suppress(OSError):
                self.connection.send_bytes(b'{"stop": true}')

    def answer(self, *, pruned: bool) -> None:
        """Tell its run whether it is pruned after the evaluation that it reported."""
        if self.connection is not None:
            with suppress(OSError):
                self.connection.send_bytes(json.dumps({"pruned": pruned}).encode())

    def kill(self) -> None:
        """End the process at once, and those that it has started."""
        if self._process is not None:
            self._process.kill()
            self._reap()
        if self._leaving is not None:
            self._leaving[0].kill()

    def retire(self) -> None:
        """Close its pipe, which ends the process; the next run gets a new one."""
        if self.connection is not None:
            self.connection.close()
        if self._process is not None:
            self._leaving = self._process, time.monotonic() + ENDING_SECONDS
        self._process = self.connection = None

    def is_leaving(self) -> bool:
        """Return whether its last process is still ending; one that does not end in time is ended."""
        if self._leaving is None:
            return False
        process, deadline = self._leaving
        if process.poll() is None and time.monotonic() < deadline:
            return True
        process.kill()
        _end(process)
        self._leaving = None
        return False

    def close(self) -> None:
        """Let the process end, and wait for that."""
        self.retire()
        while self.is_leaving():
            time.sleep(LEAVING_POLL_SECONDS)

    def has_ended(self) -> bool:
        """Return whether its process has. The pipe need not say so: a process that it has forked holds it,
        too.
        """
        return self._process is not None and self._process.poll() is not None

    def died(self) -> str:
        """How the process ended; it is started again for the next run."""
        assert self._process is not None
        self._wait()
        code = self._process.returncode
        self._reap()
        if code < 0:
            return f"the worker was ended by {subprocesses.signal_name(code)}"
        return f"the worker ended by itself with exit code {code}"

    def take_off(self) -> Run:
        """Take the run off it, which has ended."""
        run = self.run
        assert run is not None
        self.run = None
        return run

    def last_words(self) -> str:
        """The end of what its processes printed."""
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_WORDS))
                return log.read(LAST_WORDS).decode(errors="replace")
        except OSError:
            return ""

    def _wait(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(timeout=ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _reap(self) -> None:
        if self._process is not None:
            _end(self._process)
        if self.connection is not None:
            self.connection.close()
        self._process = self.connection = None


def _end(process: Process) -> None:
    """Wait for a process that ends, and end those that it has started: its group."""
    process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class Pool:
    """All workers of a study; ends them when it is left."""

    def __init__(self, study: Study, deterministic: bool, servers: ForkServers) -> None:
        with suppress(OSError):  # a full disk
            (study.folder.path / "logs").mkdir(exist_ok=True)
        more = DETERMINISTIC if deterministic else {}
        slots = [device for device in study.devices for _ in range(device.workers)]
        self.workers = [
            Worker(number, device, study.folder, more, servers) for number, device in enumerate(slots)
        ]
        self._looked = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:  # all end at the same time
            worker.retire()
        for worker in self.workers:
            worker.close()

    def free(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.run is None and not worker.is_leaving()]

    def busy(self) -> bool:
        """Return whether a run is trained, or a process ends whose worker may get the next one."""
        return any(worker.run is not None or worker.is_leaving() for worker in self.workers)

    def messages(self) -> Iterator[tuple[Worker, dict[str, Any]]]:
        """What the workers say within a moment; `{"died": how}` for one that has."""
        now = time.monotonic()
        for worker in self.workers:
            worker.silence += min(now - self._looked, TICK_SECONDS)
        self._looked = now
        leaving = any(worker.is_leaving() for worker in self.workers)
        timeout = LEAVING_POLL_SECONDS if leaving else POLL_SECONDS
        open_ones = {worker.connection: worker for worker in self.workers if worker.connection is not None}
        ended = [worker for worker in self.workers if worker.has_ended()]
        heard = []
        for ready in wait(list(open_ones), 0 if ended else timeout):
            worker = open_ones[ready]  # type: ignore[index]
            heard.append(worker)
            try:
                message = json.loads(worker.connection.recv_bytes())  # type: ignore[union-attr]
                # Nothing is lost for want of time while what was computed is saved.
                worker.silence = -math.inf if message.get("saving") else 0.0
                if "step" in message:
                    worker.evaluating = message.get("evaluating", "")
            except (EOFError, OSError):
                message = {"died": worker.died()}
            yield worker, message
        for worker in ended:
            if worker not in heard:  # it has nothing more to say
                yield worker, {"died": worker.died()}

    def stop(self) -> None:
        for worker in self.workers:
            worker.stop()

    def kill(self) -> list[Worker]:
        """End all processes; return the workers that had a run."""
        had = [worker for worker in self.workers if worker.run is not None]
        for worker in self.workers:
            worker.kill()
        return had
