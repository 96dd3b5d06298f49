"""Worker processes that are started before it is known what they will train.

A worker takes a second or two to import torch. Those of a study are started as soon as the experiment has
been read, and import it while the launcher does the same and checks the rest.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import IO, Self

from genloss.experiment.schema import Experiment
from genloss.launch import children
from genloss.training.devices import cores, guess, shares


@dataclass(frozen=True)
class Process:
    """A worker's process.

    Attributes:
        popen: the process.
        connection: the launcher's end of its pipe.
        variables: those of its environment that the launcher's does not have, or has otherwise.
    """

    popen: subprocess.Popen[bytes]
    connection: Connection
    variables: Mapping[str, str]


def start(variables: Mapping[str, str], output: IO[bytes] | int) -> Process:
    """Starts a worker's process.

    Args:
        variables: of its environment.
        output: what it prints goes there, until it is told of a run.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        popen = subprocess.Popen(
            children.command("genloss.launch.worker", str(theirs.fileno())),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C in the terminal reaches the launcher alone
            env=children.environment(PYTHONUNBUFFERED="1", **variables),
        )
    return Process(popen, Connection(ours.detach()), variables)


def settings(threads: int) -> dict[str, str]:
    """The variables of a worker that has so many threads."""
    return {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


@dataclass
class Spares:
    """Processes that wait for a run; those that got none are ended when it is left."""

    _waiting: list[Process] = field(default_factory=list)

    def expect(self, experiment: Experiment) -> None:
        """Starts as many as an experiment will probably need; what was guessed wrong is not taken."""
        runs = experiment.run_count
        expected = shares(guess(experiment.devices), runs=runs, workers=experiment.workers).values()
        for threads in [threads for count, threads in expected for _ in range(count)][: cores()]:
            self._waiting.append(start(settings(threads), subprocess.DEVNULL))

    def take(self, variables: Mapping[str, str]) -> Process | None:
        """One that lives and was started with these variables, if there is one."""
        for process in self._waiting:
            if process.variables == variables and process.popen.poll() is None:
                self._waiting.remove(process)
                return process
        return None

    def end(self) -> None:
        """Ends those that nobody took."""
        for process in self._waiting:
            process.popen.kill()
            process.popen.wait()
            process.connection.close()
        self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
