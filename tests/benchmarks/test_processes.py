"""What the benchmarks measure of processes is so."""

from __future__ import annotations

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
