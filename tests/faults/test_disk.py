"""No room on the disk, in the middle of a run.

Nothing is lost that was written; once there is room the run goes on, and ends with the bits of a run that
always had some.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults import support
from tests.faults.conftest import Resumed
from tests.faults.support import experiment, objective


def test_a_checkpoint_that_finds_no_room_is_a_warning_and_training_goes_on(resumed: Resumed) -> None:
    assert "disk_small-0: the checkpoint of step 15 could not be written: " in resumed.failed.err
    assert "disk_small-0 finished" in resumed.failed.err
    assert support.finished(resumed.here, "disk_small-0") == support.finished(resumed.here, "wide-0")
    assert support.final_weights(resumed.run("disk_small")) == support.final_weights(resumed.run("wide"))


def test_a_journal_that_finds_no_room_fails_its_run_with_a_word_of_what_to_do(resumed: Resumed) -> None:
    assert "disk_full-0/journal` could not be written: File too large" in resumed.failed.err
    assert "make room" in resumed.failed.err


def test_once_there_is_room_the_run_ends_as_if_there_always_had_been(resumed: Resumed) -> None:
    assert support.statuses(resumed.here, "disk_full-0") == {"FINISHED": 1}
    assert support.finished(resumed.here, "disk_full-0") == support.finished(resumed.here, "none-0")
    assert support.final_weights(resumed.run("disk_full")) == support.final_weights(resumed.run("none"))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A working folder on a file system of its own, in memory, where this process may mount one."""
    folder.mkdir()
    before = Path.cwd()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        os.chdir(folder)
        yield
    finally:
        os.chdir(before)
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_is_full_for_all_processes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither launcher nor worker nor tracker can write a word any more; only the store is elsewhere."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here}/mlflow.db")
    monkeypatch.setattr("genloss.launch.tracker_process.PATIENCE", 3.0)
    objectives = {"none": objective(), "filling": objective("fill", 210)}
    content = experiment(objectives, steps=600, training={"checkpoint_every": 50}, workers=1)
    file = support.write(content).resolve()
    with small_disk(here / "disk", "2m"):
        failed = support.genloss_in_this_process("run", file)
        assert failed.code == 1
        assert "none-0 finished" in failed.err
        assert "filling-0/journal` could not be written: " in failed.err
        Path("filling").unlink()
        Path("mended").touch()
        assert support.genloss_in_this_process("resume").code == 0
        assert support.runs(here) == {"none-0": "FINISHED", "filling-0": "FINISHED"}
        assert support.finished(here, "filling-0") == support.finished(here, "none-0")
        study = support.the_study()
        assert support.final_weights(study.run("filling-0")) == support.final_weights(study.run("none-0"))
