"""Fork servers: what they fork are workers whose end is known, and nothing outlives a study."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

import pytest

from genloss.launch import forkserver
from genloss.launch.forkserver import ForkServers, Process, settings
from genloss.planning.plan import plan
from tests.faults.traps.killing import family

EXPERIMENT = {
    "name": "forks",
    "data": {"name": "gaussian_ring", "size": 200, "held_out": 20},
    "model": {"name": "gan", "hidden": [8]},
    "objectives": {
        "plain": {"discriminator": "minimax_discriminator", "generator": "non_saturating_generator"}
    },
    "training": {"steps": 2, "batch_size": 8},
    "seeds": 1,
    "devices": "cpu",
}

needs_fork = pytest.mark.skipif(not forkserver.FORKS, reason="this system does not go on after a fork")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[IO[bytes]]:
    with (tmp_path / "log").open("wb") as log:
        yield log


def end(process: Process, connection: Connection) -> int:
    """A worker ends by itself when its launcher is gone; its exit code."""
    connection.close()
    return process.wait(timeout=300)


@needs_fork
def test_one_server_is_started_for_all_workers_of_a_plan(log: IO[bytes]) -> None:
    with ForkServers() as servers:
        plan(EXPERIMENT, overrides=["seeds=2", "workers=2"], once_read=servers.expect)
        (server,) = servers._servers.values()
        first, second = servers.start(settings(1), log), servers.start(settings(1), log)
        assert list(servers._servers.values()) == [server]
        made = {first[0].pid, second[0].pid}
        assert set(family(server.process.pid)) == {server.process.pid, *made}
        assert first[0].poll() is None
        assert end(*first) == 0
        assert second[0].poll() is None, "it is not ended by the end of another"
        assert end(*second) == 0


@needs_fork
def test_another_environment_is_another_server(log: IO[bytes]) -> None:
    with ForkServers() as servers:
        started = [
            servers.start(variables, log)
            for variables in (settings(1), settings(2), {**settings(1), "CUBLAS_WORKSPACE_CONFIG": ":4096:8"})
        ]
        assert len(servers._servers) == 3
        variables = [Path(f"/proc/{process.pid}/environ").read_text().split("\0") for process, _ in started]
        assert [["OMP_NUM_THREADS=2" in words] for words in variables] == [[False], [True], [False]]
        assert "CUBLAS_WORKSPACE_CONFIG=:4096:8" in variables[2]
        assert [end(*one) for one in started] == [0, 0, 0]


@pytest.mark.parametrize("forks", [pytest.param(True, marks=needs_fork), False])
def test_how_a_worker_ends_is_known(forks: bool, log: IO[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forkserver, "FORKS", forks)
    with ForkServers() as servers:
        (killed, pipe), other = servers.start(settings(1), log), servers.start(settings(1), log)
        assert bool(servers._servers) is forks
        with pytest.raises(subprocess.TimeoutExpired):
            killed.wait(timeout=0.01)
        os.kill(killed.pid, signal.SIGSEGV)
        assert killed.wait(timeout=300) == -signal.SIGSEGV
        killed.kill()  # nothing happens
        other[0].kill()
        assert other[0].wait(timeout=300) == -signal.SIGKILL
        for connection in (pipe, other[1]):
            connection.close()


@needs_fork
def test_a_worker_whose_server_has_died_is_ended_and_another_one_does_without(log: IO[bytes]) -> None:
    with ForkServers() as servers:
        process, connection = servers.start(settings(1), log)
        pid = process.pid
        (server,) = servers._servers.values()
        server.process.kill()
        server.process.wait()
        assert process.wait(timeout=300) == -signal.SIGKILL
        while family(pid):
            os.sched_yield()
        other, pipe = servers.start(settings(1), log)
        assert isinstance(other, subprocess.Popen)
        assert end(other, pipe) == 0
        connection.close()


@needs_fork
def test_a_server_that_dies_before_it_has_forked(log: IO[bytes]) -> None:
    with ForkServers() as servers:
        servers.start(settings(1), log)[1].close()
        (server,) = servers._servers.values()
        os.kill(server.process.pid, signal.SIGSTOP)
        process, connection = servers.start(settings(1), log)
        server.process.kill()
        assert process.wait(timeout=300) == -signal.SIGKILL
        with pytest.raises(ProcessLookupError):
            process.pid  # noqa: B018 - it raises
        process.kill()  # nothing happens
        connection.close()


SECOND_FORK_FAILS = """
import errno, os, sys
real, made = os.fork, []
def fork():
    made.append(True)
    if len(made) == 2:
        raise OSError(errno.EAGAIN, "there are too many processes")
    return real()
os.fork = fork
from genloss.launch.worker import main
main()
"""


@needs_fork
def test_a_fork_that_fails_costs_one_worker(log: IO[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-P", "-c", SECOND_FORK_FAILS]
    monkeypatch.setattr(forkserver.subprocesses, "command", lambda _, *arguments: [*command, *arguments])
    with ForkServers() as servers:
        first, lost, third = [servers.start(settings(1), log) for _ in range(3)]
        assert lost[0].wait(timeout=300) == -signal.SIGKILL
        lost[1].close()
        assert (first[0].poll(), third[0].poll()) == (None, None)
        assert (end(*first), end(*third)) == (0, 0)


@needs_fork
def test_servers_end_with_the_plan_that_fails() -> None:
    with pytest.raises(ZeroDivisionError), ForkServers() as servers:  # noqa: PT012 - what fails is inside
        plan(EXPERIMENT, once_read=servers.expect)
        (server,) = servers._servers.values()
        1 / 0  # noqa: B018
    assert server.process.returncode == -signal.SIGKILL


@needs_fork
def test_a_server_ends_when_its_launcher_is_killed() -> None:
    code = """
import os, signal
from genloss.launch.forkserver import ForkServers, settings
servers = ForkServers()
print(servers._server(settings(1)).process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    # Its output ends once the server, which has it, too, has ended.
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    server = int(done.stdout)
    while family(server):
        os.sched_yield()


def test_what_a_worker_prints_goes_to_its_log(tmp_path: Path) -> None:
    code = f"""
import subprocess, sys
from pathlib import Path
from genloss.launch.worker import print_to
print_to({str(tmp_path / "no" / "log")!r})
print("before", flush=True)
print_to({str(tmp_path / "log")!r})
print("behind", flush=True)
subprocess.run([sys.executable, "-c", "import sys; print('child'); print('error', file=sys.stderr)"])
"""
    (tmp_path / "log").write_text("there\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("before\n", "")
    assert sorted((tmp_path / "log").read_text().split()) == ["behind", "child", "error", "there"]


@pytest.mark.slow
@needs_fork
def test_a_study_has_its_workers_from_the_server_that_was_started_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment.yaml").write_text(json.dumps(EXPERIMENT))
    code = """
import atexit
from genloss.commands import main
from genloss.launch import forkserver
started = []
popen = forkserver._popen
forkserver._popen = lambda *given: started.append(given[-1]) or popen(*given)
atexit.register(lambda: print(started))
main()
"""
    command = [sys.executable, "-c", code, "run", "experiment.yaml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['--forks']"
