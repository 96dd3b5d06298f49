"""Runs benchmarks, prints what they found, and keeps it in RESULTS.md.

    python -m tests.benchmarks                       all of them, on a quiet machine
    python -m tests.benchmarks whole_run others      some
    python -m tests.benchmarks scaling --million     one run of a million steps
    python -m tests.benchmarks memory --gib 0.5 1    data of these sizes

Exit code: 0 if every bound is kept, 1 otherwise.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.results import RESULTS, Bound, Figure, Section, here, merged

NAMES = {
    "trainer": "the trainer against hand-written loops",
    "whole_run": "the whole `genloss run` against a script that records nothing",
    "others": "against Lightning with MLFlowLogger, and `mlflow.log_metrics` by hand",
    "scaling": "memory and time against steps, and against runs",
    "workers": "two workers against one",
    "threads": "threads by a step's work, beside busy processes",
    "cuda": "recording on CUDA",
    "memory": "memory for large data",
    "compare": "`genloss compare` of a large MLflow store",
}
SETS, USUAL, LEANEST = 7, Bound(most=0.95), Bound(most=1.06)


def against_loops(*, quick: bool) -> list[Section]:
    """The section of `trainer`."""
    from tests.benchmarks.trainer import measure

    sets, steps, rounds = (2, 20, 3) if quick else (SETS, 100, 20)
    found = [measure(steps=steps, rounds=rounds) for _ in range(sets)]
    figures = {name: Figure.of([medians[name] for medians in found], "µs") for name in found[0]}
    section = Section(
        "The trainer against hand-written loops",
        f"A step of the GAN on one thread, in one process, by turns; {sets} times the medians of {rounds} "
        f"rounds of {steps} steps. genloss records every value in a journal; the others record nothing.",
    )
    ours = figures.pop("genloss")
    bounds = {"usual": USUAL, "leanest": LEANEST}
    lines: list[tuple[str, Figure, Bound | None]] = [("genloss", ours, None)]
    for name, figure in figures.items():
        lines += [(f"{name} loop", figure, None), (f"genloss / {name} loop", ours / figure, bounds.get(name))]
    section.figures(lines)
    return [section]


def main() -> int:
    listed = "\n".join(f"  {name:10} {about}" for name, about in NAMES.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=f"{__doc__}\nbenchmarks:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="all by default")
    parser.add_argument("--million", action="store_true", help="`scaling` is one run of a million steps")
    parser.add_argument("--gib", nargs="+", type=float, metavar="SIZE", help="of `memory`: sizes of the data")
    parser.add_argument("--data", nargs="+", metavar="KIND", help="of `memory`: npy, text, beyond, images")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that all works; keeps nothing"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the results are kept")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in NAMES]:
        parser.error(f"there is no benchmark `{unknown[0]}`; there are {', '.join(NAMES)}")

    missed: list[str] = []
    command = shlex.join(["python", "-m", "tests.benchmarks", *sys.argv[1:]])
    for name in arguments.names or NAMES:
        if name == "trainer":
            sections = against_loops(quick=arguments.quick)
        else:
            module = importlib.import_module(f"tests.benchmarks.{name}")
            more: dict[str, Any] = {"million": arguments.million} if name == "scaling" else {}
            if name == "memory":
                given = {"sizes": arguments.gib, "kinds": arguments.data}
                more = {key: tuple(values) for key, values in given.items() if values}
            sections = module.sections(quick=arguments.quick, **more)
        for section in sections:
            section.remark(f"*{here()}. `{command}`*")
            print(f"{section}\n", flush=True)
            missed += section.missed
            if not arguments.quick:
                before = arguments.results.read_text() if arguments.results.exists() else ""
                arguments.results.write_text(merged(before, [str(section)]))
    if arguments.quick:
        print("The bounds are meant for the full sizes; nothing is kept of these.")
        return 0
    for line in missed:
        print(f"not kept: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
