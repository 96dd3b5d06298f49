"""What a whole `genloss run` costs, against a program that trains the same and records nothing.

Both are whole processes in fresh folders: `genloss run` with its imports, its plan, the journal, all values
in a new MLflow store, the weights and the curves; the program with the import of torch and the usual loop.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks import processes
from tests.benchmarks.processes import Program, Study
from tests.benchmarks.results import Bound, Figure, Section, in_turns

STEPS, ROUNDS = 20_000, 5
BOUND = Bound(most=1.05)


def bare(steps: int) -> Program:
    """The usual loop as a program."""
    with tempfile.TemporaryDirectory(prefix="genloss-benchmark-") as folder:
        return processes.run(Path(folder), "-m", "tests.benchmarks.loops", str(steps))


def measure(steps: int, rounds: int) -> tuple[list[Study], list[Program]]:
    """Both, once a round."""
    found = in_turns({"genloss": lambda: processes.genloss(steps=steps), "bare": lambda: bare(steps)}, rounds)
    return found["genloss"], found["bare"]  # type: ignore[return-value]


def sections(*, quick: bool) -> list[Section]:
    steps, rounds = (1000, 2) if quick else (STEPS, ROUNDS)
    studies, programs = measure(steps, rounds)
    section = Section(
        "The whole `genloss run` against a bare script",
        f"One objective, one seed, {steps:,} steps on one thread, no evaluation: import, plan, recording, "
        "shipping to a new SQLite store of MLflow and closing included, against a script that trains the "
        f"same GAN in the usual loop and records nothing. Rounds: {rounds}.",
    )
    ours = Figure.of([study.program.seconds for study in studies], "s")
    theirs = Figure.of([program.seconds for program in programs], "s")
    section.figures(
        [
            ("`genloss run`", ours, None),
            ("bare script", theirs, None),
            ("`genloss run` / bare script", ours / theirs, BOUND),
        ]
    )
    section.remark("Where the time of `genloss run` goes, by the study's own time stamps:")
    parts = {
        "until the worker has the run": [study.runs[0][0] for study in studies],
        "until the first step": [study.runs[0][1] - study.runs[0][0] for study in studies],
        "training": [study.runs[0][2] - study.runs[0][1] for study in studies],
        "closing the run": [study.runs[0][3] - study.runs[0][2] for study in studies],
        "closing the study": [study.program.seconds - study.runs[0][3] for study in studies],
    }
    section.table(["part", "measured"], [[name, str(Figure.of(part, "s"))] for name, part in parts.items()])
    busy = Figure.of([study.program.processor_seconds for study in studies], "s")
    section.remark(
        f"Processor time of all its processes: {busy}; of the bare script: "
        f"{Figure.of([program.processor_seconds for program in programs], 's')}."
    )
    return [section]
