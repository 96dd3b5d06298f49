"""Run the experiments of this folder and compare their results with published or exact numbers.

    python experiments/published/check.py [NAME …] [--full] [--set KEY=VALUE] [--workers N] [--keep FOLDER]

Without names, run all of them. Each is run by `genloss.run` in a separate folder. The table is printed, and
replaces the section of that name in RESULTS.md, with command, machine, versions and date. `--full` uses the
source's budget where the default is shorter, and has a separate section. With `--set`, which is meant for
trials, nothing is written. The exit code is 1 if a required property does not hold. To add a check, see
`checks`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from checks import all_checks
from checks.frame import Check, Row, table

import genloss

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
HEAD = """\
# genloss compared with published and exact results

Written by `python experiments/published/check.py`, which replaces the sections of the checks it ran; each
states where and when it was run. If the true value is known, the verdict is whether a required bound is met.
If the expected number was measured by others with another network, the verdict only reports how far ours is
from it. Intervals are 95% confidence intervals (Student's t) over seeds.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    checks = all_checks()
    parser = argparse.ArgumentParser(description="Compares genloss with published and exact results.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(checks)}")
    parser.add_argument("--full", action="store_true", help="use the source's budget if the default is less")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for trials")
    parser.add_argument("--workers", type=int, help="number of training processes")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the studies in this folder")
    asked = parser.parse_args(arguments)
    if wrong := [name for name in asked.names if name not in checks]:
        parser.error(f"unknown check {', '.join(wrong)}; known checks: {', '.join(checks)}")
    missed = False
    for name in asked.names or checks:
        check = checks[name]
        overrides = [f"{key}={value}" for key, value in (check.full if asked.full else {}).items()]
        overrides += asked.set + ([f"workers={asked.workers}"] if asked.workers else [])
        begin, computed = time.monotonic(), processor_seconds()
        result, rows = run(check, overrides, asked.keep)
        minutes, computed = (time.monotonic() - begin) / 60, (processor_seconds() - computed) / 60
        title = f"{name} --full" if asked.full and check.full else name
        said = f"`python experiments/published/check.py {title}`"
        said += f", {minutes:.1f} minutes, {computed:.1f} minutes of CPU time; {here()}"
        text = section(title, check, rows, result, said)
        print(text, end="\n\n")  # noqa: T201 - it is a command
        if not asked.set:
            RESULTS.write_text(merged(RESULTS.read_text() if RESULTS.exists() else "", text))
        missed |= result.exit_code != 0 or any(row.missed for row in rows)
    return int(missed)


def run(
    check: Check, overrides: Sequence[str] | Mapping[str, Any] = (), keep: Path | None = None
) -> tuple[genloss.StudyResult, Sequence[Row]]:
    """Run an experiment in a separate folder; return its study and the rows of its check."""
    with contextlib.ExitStack() as stack:
        if keep is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        else:
            folder = keep.absolute() / check.experiment
            folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(contextlib.chdir(folder))
        result = genloss.run(HERE.absolute() / f"{check.experiment}.yaml", overrides=overrides)
        return result, check.rows(result)


def section(title: str, check: Check, rows: Sequence[Row], result: genloss.StudyResult, said: str) -> str:
    """Return a section of RESULTS.md."""
    sources = "Source: " + "; ".join(map(str, check.sources)) + "."
    failed = [f"**{result.summary()}.**"] if result.exit_code else []
    parts = [f"## {title}", check.about, sources, table(rows), *failed, *check.notes, f"*{said}*"]
    return "\n\n".join(part.strip() for part in parts)


def merged(text: str, section: str) -> str:
    """Return the file's text with the section of this heading replaced, in the order of the checks."""
    sections = {heading(part): part.strip() for part in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]}
    sections[heading(section)] = section.strip()
    order = [f"## {name}{full}" for name in all_checks() for full in ("", " --full")]
    return "\n\n".join([HEAD.strip(), *(sections[title] for title in order if title in sections)]) + "\n"


def heading(section: str) -> str:
    """Return a section's first line."""
    return section.strip().partition("\n")[0]


def processor_seconds() -> float:
    """Return the CPU time of this process and its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def here() -> str:
    """Return machine, versions and date, in one line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    about = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", about.read_text(), re.MULTILINE) if about.exists() else None
    machine = f"{found[1] if found else platform.machine()}, {cores} cores, {platform.system()}"
    versions = ", ".join(f"{package} {version(package)}" for package in ("genloss", "torch"))
    return f"{machine}; Python {platform.python_version()}, {versions}; {date.today():%Y-%m-%d}"


if __name__ == "__main__":
    raise SystemExit(main())
