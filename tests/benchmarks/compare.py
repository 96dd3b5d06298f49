"""`genloss compare` of a large MLflow store: how long it takes, and what memory."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.benchmarks import processes, stores
from tests.benchmarks.processes import Program
from tests.benchmarks.results import Bound, Figure, Section

OBJECTIVES, SEEDS, STEPS, ROUNDS = 20, 50, 3000, 3
TIME = Bound(most=10.0)
MEMORY = Bound(most=2**30 / 1e6)


def missing() -> str | None:
    """Why this cannot be measured here, if it cannot."""
    return None if Path("/proc/self/status").exists() else "peaks of memory are read from Linux's /proc"


def measure(*, objectives: int, seeds: int, steps: int, rounds: int) -> tuple[int, list[Program]]:
    """The rows of a store of so many runs, and what each round of `genloss compare` took.

    Raises:
        RuntimeError: it failed, or did not compare all runs.
    """
    with tempfile.TemporaryDirectory(prefix="genloss-benchmark-") as name:
        folder = Path(name)
        rows = stores.fill(folder, objectives=objectives, seeds=seeds, steps=steps)
        programs = []
        for _ in range(rounds):
            program = processes.run(
                folder, "-m", "genloss", "compare", stores.EXPERIMENT, "--json", watched=True
            )
            programs.append(program)
            found = json.loads(program.output)
            if len(found["runs"]) != objectives * seeds or len(found["objectives"]) != objectives:
                raise RuntimeError(f"{len(found['runs'])} runs were compared:\n{program.output[:1000]}")
        return rows, programs


def sections(*, quick: bool) -> list[Section]:
    if reason := missing():
        print(f"compare: not measured: {reason}")
        return []
    objectives, seeds, steps, rounds = (3, 4, 50, 1) if quick else (OBJECTIVES, SEEDS, STEPS, ROUNDS)
    rows, programs = measure(objectives=objectives, seeds=seeds, steps=steps, rounds=rounds)
    section = Section(
        "Comparing a large store",
        f"`genloss compare EXPERIMENT --json` of an SQLite store of MLflow with {objectives * seeds:,} runs "
        f"({objectives} objectives, {seeds} seeds) of {steps:,} steps and {len(stores.KEYS)} keys: {rows:,} "
        f"values. All of the program, its imports included. Rounds: {rounds}.",
    )
    section.figures(
        [
            ("time", Figure.of([program.seconds for program in programs], "s"), TIME),
            ("processor time", Figure.of([program.processor_seconds for program in programs], "s"), None),
            ("memory", Figure.of([program.peaks["launcher"] for program in programs], "MB"), MEMORY),
        ]
    )
    return [section]
