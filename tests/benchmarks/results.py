"""What benchmarks found: figures with their spread and bounds, sections of text, the file that keeps them."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

RESULTS = Path(__file__).with_name("RESULTS.md")
PACKAGES = ("genloss", "torch", "mlflow", "lightning")
HEAD = """\
# What genloss costs

Written by `python -m tests.benchmarks`, which replaces the sections that it ran; each says where and when.
A figure is the median of its rounds, with the least and the most in brackets. What is compared takes turns in
every round, in an order that is turned round from one to the next; a ratio is that of the medians, and in its
brackets are those of the single rounds.
"""


def in_turns(candidates: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each candidate gave in each round; every second round goes through them backwards."""
    found: dict[str, list[T]] = {name: [] for name in candidates}
    for number in range(rounds):
        names = list(candidates)
        for name in names if number % 2 == 0 else reversed(names):
            found[name].append(candidates[name]())
    return found


@dataclass(frozen=True)
class Figure:
    """A measured quantity.

    Attributes:
        median: of the rounds; of a ratio, the ratio of the medians.
        rounds: its values, one a round.
        unit: what stands behind the number.
    """

    median: float
    rounds: tuple[float, ...]
    unit: str = ""

    @classmethod
    def of(cls, values: Sequence[float], unit: str = "") -> Figure:
        return cls(statistics.median(values), tuple(values), unit)

    def __truediv__(self, other: Figure) -> Figure:
        pairs = zip(self.rounds, other.rounds, strict=True)
        return Figure(self.median / other.median, tuple(mine / its for mine, its in pairs))

    def __str__(self) -> str:
        text = f"{number(self.median)}{self.unit and ' '}{self.unit}"
        if len(self.rounds) == 1:
            return text
        return f"{text} ({number(min(self.rounds))} to {number(max(self.rounds))})"


def number(value: float) -> str:
    """Three digits of it, or all that stand before the point."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


@dataclass(frozen=True)
class Bound:
    """What a figure must keep."""

    least: float | None = None
    most: float | None = None

    def keeps(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        sides = [(self.least, "at least"), (self.most, "at most")]
        return " and ".join(f"{words} {limit:g}" for limit, words in sides if limit is not None)


@dataclass
class Section:
    """A part of the results.

    Attributes:
        title: its heading, by which it is replaced.
        about: what is measured, and how.
        missed: what did not keep its bound.
    """

    title: str
    about: str
    missed: list[str] = field(default_factory=list)
    _parts: list[str] = field(default_factory=list)

    def figures(self, lines: Sequence[tuple[str, Figure, Bound | None]]) -> None:
        """Adds a table of figures, some with a bound."""
        rows = []
        for name, figure, bound in lines:
            kept = bound is None or bound.keeps(figure.median)
            if not kept:
                self.missed.append(f"{self.title}: {name} is {figure}, and must be {bound}")
            rows.append(
                [name, str(figure), str(bound or ""), "" if bound is None else "yes" if kept else "**no**"]
            )
        self.table(["", "measured", "must be", "kept"], rows)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Adds a table."""
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        rule = ["-" * max(3, width) for width in widths]
        lines = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
            for row in [head, rule, *rows]
        ]
        self._parts.append("\n".join(lines))

    def remark(self, text: str) -> None:
        self._parts.append(text)

    def __str__(self) -> str:
        return "\n\n".join([f"## {self.title}", self.about, *self._parts])


def here() -> str:
    """Machine, versions and date, in a line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{processor()}, {cores()} cores, {memory:.0f} GiB of memory"
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"{machine}; {platform.system()}; {', '.join(versions)}; {date.today():%Y-%m-%d}"


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name."""
    about = Path("/proc/cpuinfo")
    if about.exists() and (found := re.search(r"^model name\s*:\s*(.+)$", about.read_text(), re.MULTILINE)):
        return found[1]
    return platform.processor() or platform.machine()


def merged(text: str, sections: Sequence[str]) -> str:
    """The file's text with these sections in the place of those of the same heading, new ones behind."""
    kept = {heading(part): part for part in parts(text)}
    kept |= {heading(section): section.strip() for section in sections}
    return "\n\n".join([HEAD.strip(), *kept.values()]) + "\n"


def parts(text: str) -> Iterator[str]:
    """The sections of a file."""
    for part in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]:
        yield part.strip()


def heading(section: str) -> str:
    return section.strip().partition("\n")[0]
