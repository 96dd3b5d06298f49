"""Processes that wait for a run: those that fit are taken, the others are ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from genloss.experiment.plan import plan
from genloss.launch.spares import Spares, settings
from genloss.training.devices import cores

EXPERIMENT = {
    "name": "spares",
    "data": {"name": "gaussian_ring", "size": 200, "held_out": 20},
    "model": {"name": "gan", "hidden": [8]},
    "objectives": {
        "plain": {"discriminator": "minimax_discriminator", "generator": "non_saturating_generator"}
    },
    "training": {"steps": 2, "batch_size": 8},
    "seeds": 1,
    "devices": "cpu",
}


def test_a_plan_is_checked_while_they_start() -> None:
    with Spares() as spares:
        plan(EXPERIMENT, once_read=spares.expect)
        assert spares.take(settings(cores() + 1)) is None
        assert spares.take({**settings(cores()), "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}) is None
        taken = spares.take(settings(cores()))
        assert taken is not None
        assert taken.popen.poll() is None
        assert spares.take(settings(cores())) is None
        taken.connection.close()
        assert taken.popen.wait(timeout=60) == 0  # its launcher is gone


def test_those_that_nobody_takes_are_ended_with_the_plan_that_fails() -> None:
    with pytest.raises(ZeroDivisionError), Spares() as spares:  # noqa: PT012 - what fails is inside
        plan(EXPERIMENT, overrides=["seeds=2", "workers=2"], once_read=spares.expect)
        waiting = list(spares._waiting)
        assert len(waiting) == min(2, cores())
        1 / 0  # noqa: B018
    assert all(process.popen.returncode < 0 for process in waiting)
    assert all(process.connection.closed for process in waiting)


def test_one_that_has_died_is_not_taken() -> None:
    with Spares() as spares:
        plan(EXPERIMENT, once_read=spares.expect)
        (process,) = spares._waiting
        process.popen.kill()
        process.popen.wait()
        assert spares.take(settings(cores())) is None


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


def test_a_study_takes_what_was_started_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker that the launcher gave the run to is the one that was started before the plan was made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment.yaml").write_text(json.dumps(EXPERIMENT))
    code = """
from genloss.commands import main
from genloss.launch import spares
started = []
start = spares.start
spares.start = lambda *given: started.append(start(*given)) or started[-1]
import atexit
atexit.register(lambda: print(len(started), started[0].popen.returncode))
main()
"""
    command = [sys.executable, "-c", code, "run", "experiment.yaml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1 0"
