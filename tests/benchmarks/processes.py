"""Whole programs, each in a fresh folder: how long they take, and what memory their processes need."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.loops import BATCH, SIZE
from tests.benchmarks.results import cores

ROOT = Path(__file__).resolve().parents[2]
WATCH_SECONDS = 0.1
MEGABYTE = 10**6
ROLES = {"genloss.launch.worker": "worker", "genloss.tracking.tracker": "tracker"}
"""What a process of a study is, by the module that it runs."""

EXPERIMENT = f"""\
name: benchmark
data: {{name: gaussian_ring, size: {SIZE}}}
model: {{name: gan, latent_dim: 2, hidden: [64, 64]}}
objectives:
  non_saturating: {{discriminator: minimax_discriminator, generator: non_saturating_generator}}
training: {{batch_size: {BATCH}, steps: 1}}
devices: cpu
"""
"""The GAN of `loops`. As many workers as cores make each run train on one thread."""

OWN, CHANGED = ("Private_Dirty:", "Private_Clean:"), ("Anonymous:",)
"""What of a mapping is a process's own; and what of one of a file is no longer that file's."""

VALUES_A_STEP = 4
"""Each player's one term and total; its gradient norm is recorded at every twentieth step beside them."""

NORM_EVERY = 20
COSTS = 2
"""What a run took is told once: seconds and memory."""


@dataclass(frozen=True)
class Program:
    """A program that ran to its end.

    Attributes:
        folder: where it ran.
        began: when it was started, in seconds since 1970.
        seconds: from its start to its end.
        processor_seconds: of the processors, its child processes included.
        output: what it printed.
        peaks: the most memory of each of its processes, in megabytes: `launcher`, `worker`, `tracker`.
    """

    folder: Path
    began: float
    seconds: float
    processor_seconds: float
    output: str
    peaks: dict[str, float]


def run(
    folder: Path,
    *arguments: str,
    watched: bool | Callable[[int], float] = False,
    each_second: Callable[[int], None] | None = None,
) -> Program:
    """Runs Python with these arguments, in the folder.

    Args:
        folder: where.
        arguments: of the interpreter.
        watched: whether the memory is measured (on Linux); or what gives a process's memory in megabytes, in
            the place of the most that was resident.
        each_second: called about once a second while it runs, with its process's number.

    Raises:
        RuntimeError: it failed; with what it printed.
    """
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
    env.pop("MLFLOW_TRACKING_URI", None)
    before = _processor_seconds()
    with (folder / "output.txt").open("w+") as output:
        began, clock = time.time(), time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, env=env, stdout=output, stderr=subprocess.STDOUT
        )
        watch = Watch(process.pid, each_second, watched if callable(watched) else resident_peak)
        if watched or each_second:
            watch.start()
        process.wait()
        seconds = time.perf_counter() - clock
        watch.end()
        output.seek(0)
        said = output.read()
    if process.returncode:
        raise RuntimeError(f"`{' '.join(arguments)}` ended with code {process.returncode}:\n{said}")
    return Program(folder, began, seconds, _processor_seconds() - before, said, watch.peaks)


class Watch:
    """Looks at a program's processes until it is ended."""

    def __init__(
        self, process: int, each_second: Callable[[int], None] | None, measure: Callable[[int], float]
    ) -> None:
        self.peaks: dict[str, float] = {}
        self._measure = measure
        self._process = process
        self._each_second = each_second
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _watch(self) -> None:
        called = time.monotonic()
        while not self._over.wait(WATCH_SECONDS):
            for role, process in family(self._process):
                self.peaks[role] = max(self.peaks.get(role, 0.0), self._measure(process))
            if self._each_second is not None and time.monotonic() - called >= 1:
                called = time.monotonic()
                self._each_second(self._process)


def family(process: int) -> Iterator[tuple[str, int]]:
    """A study's processes, each with what it is: `launcher`, `worker`, `tracker`.

    A worker is forked from a fork server, whose command line it has.
    """
    yield "launcher", process
    found: dict[int, tuple[int, list[str]]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(path.name)] = parent, (path / "cmdline").read_text().split("\0")
        except OSError:  # it has ended
            continue
    for number, (parent, words) in found.items():
        is_fork_server = "--forks" in words and parent == process
        if is_fork_server or process not in (parent, found.get(parent, (0, []))[0]):
            continue
        for module, role in ROLES.items():
            if module in words:
                yield role, number


def memory(process: int, what: str) -> float:
    """A process's memory in megabytes: now (`VmRSS`), or the most so far (`VmHWM`); 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / MEGABYTE for line in lines if line.startswith(what)), 0.0)


def resident_peak(process: int) -> float:
    """The most memory of a process that was resident so far, in megabytes."""
    return memory(process, "VmHWM")


def private(process: int, shared: Path) -> float:
    """A process's own memory now, in megabytes: what goes with it, but for pages of files in that folder.

    Those lie in the page cache, once for all processes, and give way where memory is wanted.
    """
    total, counted = 0, OWN
    try:
        lines = Path(f"/proc/{process}/smaps").read_text().splitlines()
    except OSError:  # it has ended
        return 0.0
    for line in lines:
        key, _, rest = line.partition(" ")
        if not key.endswith(":"):  # of a mapping: its addresses, and its file
            counted = CHANGED if f" {shared}/" in line else OWN
        elif key in counted:
            total += int(rest.split()[0])
    return total * 1024 / MEGABYTE


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Study:
    """A study that ran to its end, by its own time stamps.

    Attributes:
        program: that ran it.
        runs: for each run, the seconds since the program's start at which the worker had it, its first step
            began, its last one was done, and it had ended.
    """

    program: Program
    runs: tuple[tuple[float, float, float, float], ...]

    @property
    def first_step(self) -> float:
        return min(run[1] for run in self.runs)

    @property
    def last_step(self) -> float:
        return max(run[2] for run in self.runs)

    @property
    def training(self) -> float:
        """Seconds in which at least one run was in its steps."""
        total = reached = 0.0
        for _, begin, end, _ in sorted(self.runs, key=lambda run: run[1]):
            total += max(0.0, end - max(begin, reached))
            reached = max(reached, end)
        return total


def genloss(
    *,
    steps: int,
    seeds: int = 1,
    workers: int | None = None,
    program: tuple[str, ...] = ("-m", "genloss"),
    watched: bool = False,
    each_second: Callable[[int], None] | None = None,
) -> Study:
    """`genloss run` of the GAN in a fresh folder.

    Args:
        steps: of each run.
        seeds: how many runs.
        workers: processes; as many as cores by default.
        program: what stands in the place of `-m genloss`.
        watched: see `run`.
        each_second: see `run`.

    Raises:
        RuntimeError: it failed, or MLflow does not have all values.
    """
    with tempfile.TemporaryDirectory(prefix="genloss-benchmark-") as name:
        folder = Path(name)
        text = EXPERIMENT.replace("steps: 1", f"steps: {steps}")
        (folder / "gan.yaml").write_text(f"{text}seeds: {seeds}\nworkers: {workers or cores()}\n")
        ended = run(folder, *program, "run", "gan.yaml", watched=watched, each_second=each_second)
        values = seeds * (VALUES_A_STEP * steps + 2 * -(-steps // NORM_EVERY) + COSTS)
        expect_values(ended, values)
        return Study(
            ended, tuple(_times(path, ended.began) for path in sorted(folder.glob(".genloss/*/*/journal")))
        )


def _times(path: Path, began: float) -> tuple[float, float, float, float]:
    from genloss.record import journal
    from genloss.record.events import Event

    times: dict[str, int] = {}
    for frame, _ in journal.read(path):
        if isinstance(frame, Event):
            times[frame.NAME] = frame.time
        else:
            times["values"] = int(frame.timestamps[-1])
    start, first, last, end = (
        times[name] / 1000 - began for name in ("start", "columns", "values", "status")
    )
    return start, first, last, end


def expect_values(program: Program, values: int) -> None:
    """Raises unless a program left an MLflow store of so many values.

    Raises:
        RuntimeError: how many it has, and what the program printed.
    """
    with closing(sqlite3.connect(program.folder / "mlflow.db")) as store:
        (found,) = store.execute("SELECT count(*) FROM metrics").fetchone()
    if found != values:
        raise RuntimeError(f"MLflow has {found:,} values, not {values:,}:\n{program.output}")
