"""How memory and time grow with the steps of a run, and with the runs of a study.

Memory is each process's own peak (`VmHWM` of Linux, looked at ten times a second): it is to be flat. Time is
to be linear: what a further step costs is to be the same at last as at first.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.benchmarks import processes
from tests.benchmarks.processes import Study, family, memory
from tests.benchmarks.results import Bound, Figure, Section, in_turns

STEPS, RUNS, ROUNDS = (1000, 10_000, 100_000), (1, 10, 50, 200), 3
STEPS_OF_MANY_RUNS = 50
MILLION = 1_000_000
ROLES = ("launcher", "worker", "tracker")

FLAT = Bound(most=1.05)
FLAT_IN_RUNS = Bound(most=1.1)
"""A worker's second run is the first that reuses memory, and finds it in pieces."""

LINEAR = Bound(most=1.15)
CLOSING = Bound(most=10.0)
LAG = Bound(most=10.0)


def missing() -> str | None:
    """Why this cannot be measured here, if it cannot."""
    return None if Path("/proc/self/status").exists() else "peaks of memory are read from Linux's /proc"


def by_steps(steps: Sequence[int], rounds: int) -> dict[int, list[Study]]:
    """One run of each length, once a round."""
    made = {str(count): partial(processes.genloss, steps=count, watched=True) for count in steps}
    return {int(name): studies for name, studies in in_turns(made, rounds).items()}


def by_runs(runs: Sequence[int], steps: int, rounds: int) -> dict[int, list[Study]]:
    """So many short runs, once a round."""
    made = {str(count): partial(processes.genloss, steps=steps, seeds=count, watched=True) for count in runs}
    return {int(name): studies for name, studies in in_turns(made, rounds).items()}


def seconds(studies: Sequence[Study]) -> Figure:
    return Figure.of([study.program.seconds for study in studies], "s")


def peak(studies: Sequence[Study], role: str) -> Figure:
    return Figure.of([study.program.peaks[role] for study in studies], "MB")


def slope(found: dict[int, list[Study]], first: int, second: int) -> Figure:
    """Milliseconds that one more step, or run, costs between two sizes."""
    pairs = zip(found[first], found[second], strict=True)
    each = [(b.program.seconds - a.program.seconds) / (second - first) * 1e3 for a, b in pairs]
    median = (seconds(found[second]).median - seconds(found[first]).median) / (second - first) * 1e3
    return Figure(median, tuple(each), "ms")


def grown(title: str, about: str, unit: str, found: dict[int, list[Study]], flat: Bound) -> Section:
    """Memory and time by size, with the growth from the smallest size to the largest."""
    section = Section(title, about)
    sizes = list(found)
    section.table(
        [unit, "time", *ROLES],
        [
            [f"{size:,}", str(seconds(found[size])), *(str(peak(found[size], role)) for role in ROLES)]
            for size in sizes
        ],
    )
    first, last = slope(found, *sizes[:2]), slope(found, *sizes[-2:])
    section.figures(
        [
            (
                f"memory of the {role}, last / first",
                peak(found[sizes[-1]], role) / peak(found[sizes[0]], role),
                flat,
            )
            for role in ROLES
        ]
        + [
            (f"one more of the {unit}, {sizes[0]:,} to {sizes[1]:,}", first, None),
            (f"one more of the {unit}, {sizes[-2]:,} to {sizes[-1]:,}", last, None),
            (f"one more of the {unit}, last / first", last / first, LINEAR),
        ]
    )
    return section


def sections(*, quick: bool, million: bool = False) -> list[Section]:
    if reason := missing():
        print(f"scaling: not measured: {reason}")
        return []
    if million:
        return [million_steps(20_000 if quick else MILLION)]
    steps, runs, rounds = ((100, 500, 2000), (1, 2, 4), 1) if quick else (STEPS, RUNS, ROUNDS)
    each = "Memory is each process's own peak; of several workers, the largest."
    return [
        grown(
            "Memory and time against steps",
            f"One run of the GAN, every value recorded. {each} Rounds: {rounds}.",
            "steps",
            by_steps(steps, rounds),
            FLAT,
        ),
        grown(
            "Memory and time against runs",
            f"Runs of {STEPS_OF_MANY_RUNS} steps, as many workers as cores. {each} Rounds: {rounds}.",
            "runs",
            by_runs(runs, STEPS_OF_MANY_RUNS, rounds),
            FLAT_IN_RUNS,
        ),
    ]


@dataclass
class Pace:
    """How far the tracker is, looked at each second while a study goes on.

    Attributes:
        seconds: when, from the first look on.
        written: bytes of the journal.
        shipped: bytes of it that are in MLflow.
        tracker: the tracker's memory, in megabytes.
    """

    folder: Path | None = None
    seconds: list[float] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    shipped: list[int] = field(default_factory=list)
    tracker: list[float] = field(default_factory=list)

    def look(self, process: int) -> None:
        folder = Path(f"/proc/{process}/cwd")
        journals = list(folder.glob(".genloss/*/*/journal"))
        held = [memory(child, "VmRSS") for role, child in family(process) if role == "tracker"]
        if not journals or not held:
            return
        try:
            shipped = json.loads(journals[0].with_name("shipped.json").read_text())["offset"]
        except OSError:  # nothing yet
            shipped = 0
        self.seconds.append(time.monotonic())
        self.written.append(journals[0].stat().st_size)
        self.shipped.append(shipped)
        self.tracker.append(held[0])

    def lags(self) -> list[float]:
        """For each look, how many seconds ago the journal was as long as what is shipped by now."""
        lags, index = [], 0
        for now, shipped in zip(self.seconds, self.shipped, strict=True):
            while self.written[index] < shipped:
                index += 1
            lags.append(max(0.0, now - self.seconds[index]))
        return lags

    def tenths(self, values: Sequence[float]) -> list[float]:
        """The values at each tenth of the journal."""
        ends = [self.written[-1] * tenth / 10 for tenth in range(1, 11)]
        return [values[next(i for i, size in enumerate(self.written) if size >= end)] for end in ends]


def watch_pace(steps: int) -> tuple[Study, Pace]:
    """One run of so many steps, with how its tracker keeps up."""
    pace = Pace()
    return processes.genloss(steps=steps, watched=True, each_second=pace.look), pace


def million_steps(steps: int) -> Section:
    """One long run: whether the tracker keeps pace, and how soon after the last step all is over."""
    study, pace = watch_pace(steps)
    section = Section(
        f"One run of {steps:,} steps",
        "Whether the tracker keeps pace with four values a step, its memory by tenths of the run, and how "
        "soon after its last step the study ends. Rounds: 1.",
    )
    lags, held = pace.tenths(pace.lags()), pace.tenths(pace.tracker)
    section.table(
        ["tenth", *map(str, range(1, 11))],
        [["lag, s", *(f"{lag:.1f}" for lag in lags)], ["tracker, MB", *(f"{one:.0f}" for one in held)]],
    )
    while_training = pace.lags()[
        : next(i for i, size in enumerate(pace.written) if size == pace.written[-1]) + 1
    ]
    after = study.program.seconds - study.last_step
    section.figures(
        [
            ("whole study", Figure.of([study.program.seconds], "s"), None),
            ("a step", Figure.of([study.training / steps * 1e3], "ms"), None),
            (
                "the tracker's lag while training, median",
                Figure.of([statistics.median(while_training)], "s"),
                None,
            ),
            ("the tracker's lag while training, most", Figure.of([max(while_training)], "s"), LAG),
            ("the tracker's memory, last tenth / second", Figure.of([held[-1] / held[1]]), FLAT),
            ("from the last step to the end of the study", Figure.of([after], "s"), CLOSING),
        ]
    )
    peaks = ", ".join(f"{role} {study.program.peaks[role]:.0f} MB" for role in ROLES)
    section.remark(f"Peaks of memory: {peaks}.")
    return section
