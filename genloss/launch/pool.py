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
from genloss.launch import children
from genloss.launch.spares import Spares, settings, start
from genloss.record.folder import StudyFolder
from genloss.training.devices import Device

if TYPE_CHECKING:
    from genloss.launch.scheduler import Study

DETERMINISTIC = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""What cuBLAS wants to be told before it is loaded, to give the same bits twice."""

STARTING_SECONDS = 60.0
"""What a process may take to import torch before `training.timeout` counts."""

ENDING_SECONDS = 10.0
"""What a process may take to end once its pipe is closed."""

LAST_WORDS = 4000
"""Characters of a dead worker's output that are kept as its run's traceback."""


class Worker:
    """A process that trains one run at a time; it is started with its first run, and again if it died.

    Attributes:
        device: the device that it trains on.
        run: what it trains now.
        heard: when it was last heard of, by the monotonic clock.
    """

    def __init__(
        self, number: int, device: Device, study: StudyFolder, more: Mapping[str, str], spares: Spares
    ) -> None:
        self.device = device.name
        self.run: Run | None = None
        self.heard = 0.0
        self._variables = {**settings(device.threads), **more}
        self._study = study
        self._spares = spares
        self._log = study.path / "logs" / f"worker-{number}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.connection: Connection | None = None

    def begin(self, run: Run, drift: str, *, judged: bool = False) -> None:
        """Hands it a run; a judged one waits after each evaluation for an answer."""
        self.heard = time.monotonic()
        if self._process is None:
            self._start()
            self.heard += STARTING_SECONDS
        assert self.connection is not None
        self.run = run
        # Absolute: a plugin may have gone to another folder.
        request = {
            "run": str(self._study.run(run.name).path.absolute()),
            "threads": run.threads,
            "drift": drift,
            "judged": judged,
            "log": str(self._log.absolute()),
        }
        # If it has died already, the pool hears of that, and the run ends as failed.
        with suppress(OSError):
            self.connection.send_bytes(json.dumps(request).encode())

    def _start(self) -> None:
        process = self._spares.take(self._variables)
        if process is None:
            with children.log(self._log) as log:
                process = start(self._variables, log)
        self._process, self.connection = process.popen, process.connection

    def stop(self) -> None:
        """Asks it to end its run after the step it is in."""
        if self.run is not None and self.connection is not None:
            with suppress(OSError):
                self.connection.send_bytes(b'{"stop": true}')

    def answer(self, *, pruned: bool) -> None:
        """Tells its run whether it is ended after the evaluation that it has told of."""
        if self.connection is not None:
            with suppress(OSError):
                self.connection.send_bytes(json.dumps({"pruned": pruned}).encode())

    def kill(self) -> None:
        """Ends the process at once, and those that it has started."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def hang_up(self) -> None:
        """Closes its pipe, upon which the process ends."""
        if self.connection is not None:
            self.connection.close()

    def close(self) -> None:
        """Lets the process end."""
        self.hang_up()
        if self._process is not None:
            self._wait()
            self._reap()

    def has_ended(self) -> bool:
        """Whether its process has. The pipe need not say so: a process that it has forked holds it, too."""
        return self._process is not None and self._process.poll() is not None

    def died(self) -> str:
        """How the process ended; it is started anew for the next run."""
        assert self._process is not None
        self._wait()
        code = self._process.returncode
        self._reap()
        if code < 0:
            return f"the worker was ended by {children.signal_name(code)}"
        return f"the worker ended by itself with exit code {code}"

    def take_off(self) -> Run:
        """Takes the run off it, which has ended."""
        run = self.run
        assert run is not None
        self.run = None
        return run

    def last_words(self) -> str:
        """The end of what its processes printed."""
        return self._log.read_bytes()[-LAST_WORDS:].decode(errors="replace") if self._log.exists() else ""

    def _wait(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(timeout=ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            with suppress(ProcessLookupError, PermissionError):  # those that it has started: its group
                os.killpg(self._process.pid, signal.SIGKILL)
        if self.connection is not None:
            self.connection.close()
        self._process = self.connection = None


class Pool:
    """All workers of a study; ends them when it is left."""

    def __init__(self, study: Study, deterministic: bool, spares: Spares) -> None:
        with suppress(OSError):  # a full disk
            (study.folder.path / "logs").mkdir(exist_ok=True)
        more = DETERMINISTIC if deterministic else {}
        slots = [device for device in study.devices for _ in range(device.workers)]
        self.workers = [
            Worker(number, device, study.folder, more, spares) for number, device in enumerate(slots)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:  # all end at the same time
            worker.hang_up()
        for worker in self.workers:
            worker.close()

    def free(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.run is None]

    def busy(self) -> bool:
        return any(worker.run is not None for worker in self.workers)

    def messages(self, timeout: float) -> Iterator[tuple[Worker, dict[str, Any]]]:
        """What the workers say within so many seconds; `{"died": how}` for one that has."""
        open_ones = {worker.connection: worker for worker in self.workers if worker.connection is not None}
        ended = [worker for worker in self.workers if worker.has_ended()]
        heard = []
        for ready in wait(list(open_ones), 0 if ended else timeout):
            worker = open_ones[ready]  # type: ignore[index]
            heard.append(worker)
            try:
                message = json.loads(worker.connection.recv_bytes())  # type: ignore[union-attr]
                # An evaluation says nothing until it is done.
                worker.heard = math.inf if message.get("evaluating") else time.monotonic()
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
        """Ends all processes; gives the workers that had a run."""
        had = [worker for worker in self.workers if worker.run is not None]
        for worker in had:
            worker.kill()
        return had
