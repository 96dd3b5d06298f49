"""MLflow's server as a child process, for as long as it is used."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genloss.errors import RequestError, TrackingError
from genloss.tracking import watched

HOST = "127.0.0.1"
PORT = 5000
PATIENCE_SECONDS = 60.0
GRACE_SECONDS = 5.0
SETTLING_SECONDS = 30.0
LISTENING = b"Uvicorn running on"
"""What the server writes once the port is its own."""

# The server is on this machine, whatever proxy the environment names.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port(wanted: int | None) -> int:
    """The wanted port; if it is all the same, MLflow's own, or one that is free.

    Raises:
        RequestError: the wanted port is taken.
    """
    if _can_bind(wanted or PORT):
        return wanted or PORT
    if wanted is not None:
        raise RequestError(f"port {wanted} is taken", hint="leave `--port` out, or name another")
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(uri: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run MLflow's server on loopback until the block is left; then nothing of it is left.

    Raises:
        TrackingError: it does not come up.
    """
    environment = {
        **os.environ,
        # Not among the arguments, which every user of the machine can read.
        "MLFLOW_BACKEND_STORE_URI": uri,
        # With this and one worker there are two processes, beside the one that watches, instead of ten.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    python, where = [sys.executable, "-P"], f"--host {HOST} --port {port}"
    with tempfile.NamedTemporaryFile() as output:
        process = subprocess.Popen(
            [*python, watched.__file__, *python, *f"-m mlflow server --workers 1 {where}".split()],
            env=environment,
            stdin=subprocess.PIPE,  # which ends with this process
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            _await(process, port, Path(output.name))
            yield process
        finally:
            _end(process)
            if process.stdin is not None:
                process.stdin.close()


def _await(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    """Wait until the server answers, and not another one that took the port while this one was starting.

    Which one answers is told by what ours has written. If it writes something else in its place one day, an
    answer counts that ours has outlived.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    answered: float | None = None
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(port):
            answered = answered or time.monotonic()
            if LISTENING in output.read_bytes() or time.monotonic() - answered > SETTLING_SECONDS:
                return
        time.sleep(0.1)
    lines = output.read_text(errors="replace", encoding="utf-8").strip().splitlines()
    raise TrackingError("\n".join(["MLflow's server did not come up", *lines[-20:]]))


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        # As the server does: a connection that was closed a moment ago does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _answers(port: int) -> bool:
    with suppress(OSError), _opener.open(f"http://{HOST}:{port}/health", timeout=2) as answer:
        return bool(answer.status == 200)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole process group, which may outlive its leader."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + GRACE_SECONDS
        with suppress(ProcessLookupError, PermissionError):  # macOS: a group of zombies may not be asked
            os.killpg(process.pid, number)
            while time.monotonic() < deadline:
                process.poll()
                os.killpg(process.pid, 0)
                time.sleep(0.05)
            continue
        return
