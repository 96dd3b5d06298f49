"""Worker processes, forked from one that has imported torch already.

Importing torch takes a second or two of a core. A fork server is started as soon as an experiment has been
read, imports torch while the launcher checks the rest, and then makes a worker process in a few hundredths of
a second whenever one is wanted. It loads no plugin, computes nothing and has no thread of its own, so a
worker is what a process that had imported torch itself would be; the memory of what it imported is shared.

macOS does not let a process go on after a fork; each worker is started by itself there.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import IO, Any, Protocol, Self

from genloss.experiment.schema import Experiment
from genloss.launch import subprocesses
from genloss.training.devices import guess, requested, shares

FORKS = sys.platform == "linux"

NUMBER = struct.Struct("q")
"""What a fork server reports of a worker: its process id, and finally its exit code."""


class Process(Protocol):
    """A worker's process: as much of `subprocess.Popen` as is used."""

    returncode: Any

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


class ForkServers:
    """The fork servers of a study, one for each environment; they end when it is left."""

    def __init__(self) -> None:
        self._servers: dict[frozenset[tuple[str, str]], ForkServer] = {}

    def expect(self, experiment: Experiment) -> None:
        """Start those that an experiment will probably need."""
        said = experiment.threads or requested()
        names, runs = guess(experiment.devices), experiment.run_count
        expected = shares(names, runs=runs, workers=experiment.workers, threads=said)
        for name, (_, threads) in expected.items():
            # Most models have one thread.
            self._server(settings(1 if name == "cpu" and said is None else threads))

    def start(self, variables: Mapping[str, str], log: IO[bytes]) -> tuple[Process, Connection]:
        """Start a worker's process.

        Args:
            variables: those of its environment that the launcher's does not have, or has otherwise.
            log: what it prints goes there, until it is told of a run.

        Returns:
            The process, and the launcher's end of its pipe.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            server = self._server(variables)
            process = server.fork(theirs.fileno(), log.fileno()) if server is not None else None
            if process is None:
                process = _popen(theirs.fileno(), variables, log)
        return process, Connection(ours.detach())

    def end(self) -> None:
        """End them; workers live on."""
        for server in self._servers.values():
            server.end()
        self._servers.clear()

    def _server(self, variables: Mapping[str, str]) -> ForkServer | None:
        if not FORKS:
            return None
        key = frozenset(variables.items())
        if key not in self._servers:
            self._servers[key] = ForkServer(variables)
        return self._servers[key]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class ForkServer:
    """A process that has imported torch, and forks workers."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._requests, theirs = socket.socketpair()
        with theirs:
            self.process = _popen(theirs.fileno(), variables, subprocess.DEVNULL, "--forks")

    def fork(self, pipe: int, log: int) -> Process | None:
        """A worker with this end of a pipe, which prints to this file; None if the server has died."""
        status, theirs = os.pipe()
        try:
            socket.send_fds(self._requests, [b"f"], [pipe, log, theirs])
        except OSError:
            os.close(status)
            return None
        finally:
            os.close(theirs)
        return Forked(status)

    def end(self) -> None:
        self._requests.close()
        self.process.kill()
        self.process.wait()


class Forked:
    """A process that a fork server has made, of which that tells by a pipe."""

    def __init__(self, status: int) -> None:
        self._status = Connection(status, writable=False)
        self._pid: int | None = None
        self.returncode: int | None = None

    @property
    def pid(self) -> int:
        """Its id.

        Raises:
            ProcessLookupError: the server died before it was made.
        """
        while self._pid is None and self.returncode is None:
            self._hear()
        if self._pid is None:
            raise ProcessLookupError("the fork server has died")
        return self._pid

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; its exit code.

        Raises:
            TimeoutExpired: it has not.
        """
        while self.returncode is None:
            if not wait([self._status], timeout):
                raise subprocess.TimeoutExpired("worker", timeout or 0)
            self._hear()
        return self.returncode

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            if self.poll() is None:
                os.kill(self.pid, signal.SIGKILL)

    def _hear(self) -> None:
        """Take what the server tells next: the id, then the exit code."""
        told = os.read(self._status.fileno(), NUMBER.size)
        if not told:  # the server has died, and nobody will tell how the worker ends
            self.returncode = -signal.SIGKILL
            if self._pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
        elif self._pid is None:
            (self._pid,) = NUMBER.unpack(told)
        else:
            (self.returncode,) = NUMBER.unpack(told)
        if self.returncode is not None:
            self._status.close()


def serve(number: int, work: Callable[[int], None]) -> None:
    """Forks workers as it is asked to, and tells how they end; ends when the launcher is gone.

    Returns in a worker alone, when that has done its work.

    Args:
        number: the descriptor of its end of the launcher's pipe.
        work: what a worker does, given the descriptor of its own pipe.
    """
    # A worker that is told to end wants to say how it has ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ended, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    import genloss.launch.execute  # noqa: F401 - and torch with it

    workers: dict[int, int] = {}
    is_complete = False
    with socket.socket(fileno=number) as requests:
        while True:
            ready = wait([requests, ended], None if is_complete else 0)
            if not ready:
                _complete()
                is_complete = True
            if ended in ready:
                os.read(ended, 1024)
                _tell_ended(workers)
            if requests in ready:
                asked, descriptors, *_ = socket.recv_fds(requests, 1, 3)
                if not asked:
                    os._exit(0)
                pipe, log, status = descriptors
                try:
                    pid = os.fork()
                except OSError:  # too many processes: this worker is lost, as its pipes tell, and no other
                    for descriptor in descriptors:
                        os.close(descriptor)
                    continue
                if not pid:
                    break
                os.close(pipe)
                os.close(log)
                workers[pid] = status
                _tell(status, pid)
    for descriptor in (ended, woken, status, *workers.values()):
        os.close(descriptor)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()  # so that what it starts can be ended with it
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    work(pipe)


def settings(threads: int) -> dict[str, str]:
    """The environment variables of a worker with this many threads."""
    return {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def _complete() -> None:
    """Import what a run needs at its end; not before somebody waits for a worker."""
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401

    gc.freeze()  # else collecting garbage would copy the memory that is shared


def _tell_ended(workers: dict[int, int]) -> None:
    """Tell how those have ended that have."""
    while workers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        descriptor = workers.pop(pid)
        _tell(descriptor, os.waitstatus_to_exitcode(status))
        os.close(descriptor)


def _tell(descriptor: int, number: int) -> None:
    with suppress(OSError):  # the launcher is gone
        os.write(descriptor, NUMBER.pack(number))


def _popen(
    number: int, variables: Mapping[str, str], log: IO[bytes] | int, *more: str
) -> subprocess.Popen[bytes]:
    """Start a worker, or a fork server, as a process that imports all by itself."""
    return subprocess.Popen(
        subprocesses.command("genloss.launch.worker", str(number), *more),
        pass_fds=[number],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,  # Ctrl-C in the terminal reaches the launcher alone
        env=subprocesses.environment(PYTHONUNBUFFERED="1", **variables),
        umask=0o077,  # what a worker writes is a record, and private
    )
