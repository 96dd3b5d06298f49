"""What a second worker brings: the same runs with two workers of one thread, and with one of one thread.

A worker has as many threads as there are cores for it. So that one worker has one, its study is planned as
on a machine of one core; its processes use what cores they want.

    python -m tests.benchmarks.workers CORES run FILE

is such a `genloss run`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tests.benchmarks import processes
from tests.benchmarks.processes import Study
from tests.benchmarks.results import Bound, Figure, Section, cores, in_turns

STEPS, SEEDS, ROUNDS = 20_000, 2, 3
TRAINING, WHOLE = Bound(least=1.7), Bound(least=1.3)


def missing() -> str | None:
    """Why this cannot be measured here, if it cannot."""
    return None if cores() > 1 else "two workers need two cores; this machine has one"


def study(workers: int, steps: int) -> Study:
    """A study of two runs with so many workers of one thread."""
    program = ("-m", "tests.benchmarks.workers", str(workers))
    return processes.genloss(steps=steps, seeds=SEEDS, workers=workers, program=program)


def measure(steps: int, rounds: int) -> tuple[list[Study], list[Study]]:
    """With one worker, and with two, once a round."""
    found = in_turns({"one": lambda: study(1, steps), "two": lambda: study(2, steps)}, rounds)
    return found["one"], found["two"]


def training(studies: Sequence[Study]) -> Figure:
    return Figure.of([study.training for study in studies], "s")


def whole(studies: Sequence[Study]) -> Figure:
    return Figure.of([study.program.seconds for study in studies], "s")


def sections(*, quick: bool) -> list[Section]:
    if reason := missing():
        print(f"workers: not measured: {reason}")
        return []
    steps, rounds = (1000, 1) if quick else (STEPS, ROUNDS)
    one, two = measure(steps, rounds)
    section = Section(
        "Two workers against one",
        f"A study of {SEEDS} runs of {steps:,} steps with two workers of one thread, and with one worker of "
        f"one thread. Training alone is the time in which a run is in its steps, by the journals. "
        f"Rounds: {rounds}.",
    )
    lines: list[tuple[str, Figure, Bound | None]] = []
    for name, part, bound in (("training alone", training, TRAINING), ("whole study", whole, WHOLE)):
        alone, both = part(one), part(two)
        lines += [
            (f"{name}, one worker", alone, None),
            (f"{name}, two workers", both, None),
            (f"{name}, one / two", alone / both, bound),
        ]
    section.figures(lines)
    left = Figure.of([study.program.seconds - max(run[3] for run in study.runs) for study in two], "s")
    section.remark(f"With two workers, the tracker is done {left} after the last run has ended.")
    return [section]


def main() -> None:
    count = int(sys.argv.pop(1))
    if hasattr(os, "sched_getaffinity"):
        os.sched_getaffinity = lambda _: set(range(count))
    else:
        os.cpu_count = lambda: count
    from genloss.commands import main as genloss

    genloss()


if __name__ == "__main__":
    main()
