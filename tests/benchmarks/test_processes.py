"""What the benchmarks measure of processes is so."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.benchmarks import processes
from tests.benchmarks.processes import Program, Study

HOLD = """
import time
held = bytearray(150_000_000)
time.sleep(0.5)
"""


def test_time_processor_time_and_memory_are_those_of_the_program(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("peaks of memory are read from Linux's /proc")
    (tmp_path / "hold.py").write_text(HOLD)
    program = processes.run(tmp_path, "hold.py", watched=True)
    assert program.seconds >= 0.5
    assert 0 < program.processor_seconds < program.seconds
    assert 150 < program.peaks["launcher"] < 200


def test_a_program_that_fails_is_an_error_with_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        processes.run(tmp_path, "-c", "raise ValueError('no such thing')")


def test_training_is_the_time_in_which_any_run_is_in_its_steps() -> None:
    program = Program(Path(), 0.0, 10.0, 10.0, "", {})
    runs = ((0.0, 1.0, 3.0, 3.1), (0.0, 2.0, 4.0, 4.1), (4.1, 5.0, 6.0, 6.1))
    study = Study(program, runs)
    assert study.training == 4.0
    assert (study.first_step, study.last_step) == (1.0, 6.0)


MAP = """
import sys, time
import numpy as np
mapped = np.memmap("shared/data.bin", np.uint8, mode="c")
assert int(mapped.sum(dtype=np.int64)) == 0
mapped[: 20 * 10**6] = 1
held = bytearray(50 * 10**6)
time.sleep(0.5)
"""


def test_what_is_mapped_is_private_only_where_it_was_changed(tmp_path: Path) -> None:
    """The file was just written, so that its pages are dirty, and the process alone maps it."""
    if not Path("/proc/self/smaps").exists():
        pytest.skip("private memory is read from Linux's /proc")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "data.bin").write_bytes(bytes(200 * 10**6))
    (tmp_path / "map.py").write_text(MAP)
    measure = partial(processes.private, shared=tmp_path / "shared")
    program = processes.run(tmp_path, "map.py", watched=measure)
    assert 70 < program.peaks["launcher"] < 120
