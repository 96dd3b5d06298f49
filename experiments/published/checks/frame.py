"""What a check is made of: where its numbers come from, rows of a table, and the section that holds them.

A row says what was expected, what came out, the difference, and a verdict in words. There are five kinds,
and what they claim differs:

    bound      a number must keep a bound: an identity, or a theorem
    exact      the truth is known; ours must lie within its Monte Carlo error
    ordering   one objective must be better than another, over paired seeds
    measured   somebody's measurement, with another network: the row says how far we are, and claims nothing
    seen       there is nothing to compare it with
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

import genloss

STANDARD_ERRORS = 5.0
"""Within how many standard errors of the truth an estimate must lie. With eight seeds, an estimate without
any error of ours lies further away in 2 of 1,000 cases: it must not, since there are many of them."""

ANY = (-math.inf, math.inf)
"""Where a number may be anything."""


@dataclass(frozen=True)
class Source:
    """Where the numbers to expect come from.

    Attributes:
        title: authors, year and title.
        place: arXiv number, and the table or the section.
    """

    title: str
    place: str

    def __str__(self) -> str:
        return f"{self.title} ({self.place})"


@dataclass(frozen=True)
class Row:
    """A line of a check's table.

    Attributes:
        what: what is looked at.
        missed: whether something that must hold does not.
    """

    what: str
    expected: str
    ours: str
    difference: str
    verdict: str
    missed: bool = False


@dataclass(frozen=True)
class Check:
    """What is to be expected of an experiment.

    Attributes:
        experiment: the YAML file's name in `experiments/published`, without its ending.
        sources: of the numbers to expect.
        about: what is done, in a few sentences; Markdown.
        rows: the table's lines, of the study that was run.
        full: what `--full` sets, as `--set` would; where there is nothing, the default is the full budget.
        notes: what must be known to read the table, such as why published numbers do not transfer; Markdown.
    """

    experiment: str
    sources: Sequence[Source]
    about: str
    rows: Callable[[genloss.StudyResult], Sequence[Row]]
    full: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95% confidence interval, of Student's t; without one where there is a single
    seed.

    Attributes:
        possible: the least and the greatest value that there can be, at which the interval ends.
    """

    mean: float
    error: float
    count: int
    possible: tuple[float, float] = ANY

    @classmethod
    def of(cls, values: Sequence[float], possible: tuple[float, float] = ANY) -> Interval:
        """Of one value a seed."""
        error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return cls(float(np.mean(values)), error, len(values), possible)

    @property
    def half(self) -> float:
        """Half its width."""
        return float(stats.t.ppf(0.975, self.count - 1)) * self.error if self.count > 1 else math.nan

    @property
    def low(self) -> float:
        return max(self.mean - self.half, self.possible[0])

    @property
    def high(self) -> float:
        return min(self.mean + self.half, self.possible[1])

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        if self.count < 2:
            return number(self.mean)
        digits = decimals(self.half)
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def values(result: genloss.StudyResult, objective: str, metric: str) -> dict[int, float]:
    """An objective's last values of a metric by seed, of the runs that finished."""
    return {
        run.seed: run.metrics[metric]
        for run in result.runs
        if run.objective == objective and run.status == "FINISHED" and metric in run.metrics
    }


def bound(what: str, expected: str, ours: str, *, keeps: bool, difference: str = "") -> Row:
    """A number that must keep a bound."""
    return Row(what, expected, ours, difference, "kept" if keeps else "**not kept**", missed=not keeps)


def exact(what: str, truth: float, ours: Sequence[float]) -> Row:
    """A number whose truth is known, against one independent estimate a seed."""
    if len(ours) < 2:
        return Row(what, f"{truth:.4g}", "–", "", "**no error is known** without two seeds", missed=True)
    found = Interval.of(ours)
    apart = found.mean - truth
    away = apart / found.error if found.error else math.copysign(math.inf, apart) if apart else 0.0
    keeps = abs(away) <= STANDARD_ERRORS
    said = "within Monte Carlo error" if keeps else "**not the truth**"
    return Row(
        what,
        f"{truth:.{max(4, decimals(found.half))}f}",
        str(found),
        signed(apart),
        f"{said}: {away:+.1f} standard errors",
        missed=not keeps,
    )


def ordering(what: str, better: Mapping[int, float], worse: Mapping[int, float], unit: str = "") -> Row:
    """That one objective's metric is lower than the other's; values by seed, paired by it."""
    seeds = sorted(better.keys() & worse.keys())
    found = Interval.of([better[seed] - worse[seed] for seed in seeds])
    if found.high < 0:
        verdict, missed = "shown", False
    elif found.low > 0:
        verdict, missed = "**the other way round**", True
    else:
        verdict, missed = "**not decided** by so many seeds", True
    return Row(what, "below 0", f"{found}{unit}", "", verdict, missed=missed)


def measured(
    what: str,
    expected: float,
    spread: float,
    ours: Sequence[float],
    *,
    spread_of: str,
    possible: tuple[float, float] = ANY,
) -> Row:
    """Somebody's measurement beside ours; nothing is claimed.

    Args:
        what: what is looked at.
        expected: what they found.
        spread: what they give behind ±.
        ours: a value a seed.
        spread_of: what their spread is, such as `standard deviation over five seeds`.
        possible: the least and the greatest value that there can be.
    """
    found = Interval.of(ours, possible)
    difference = found.mean - expected
    if expected in found:
        verdict = "theirs is within our interval"
    elif abs(difference) <= spread:
        verdict = f"ours is within their {spread_of}"
    else:
        verdict = f"{'above' if difference > 0 else 'below'} theirs by {abs(difference / expected):.0%}"
    return Row(what, f"{expected:g} ± {spread:g}", str(found), signed(difference), verdict)


def seen(what: str, ours: Sequence[float], possible: tuple[float, float] = ANY) -> Row:
    """What came out where there is nothing to compare it with."""
    return Row(what, "–", str(Interval.of(ours, possible)), "", "")


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown, readable as text too."""
    head = ["", "expected", "ours, with 95 % interval", "difference", "verdict"]
    cells = [[row.what, row.expected, row.ours, row.difference, row.verdict] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    rule = ["-" * max(3, width) for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in [head, rule, *cells]
    )


def decimals(spread: float) -> int:
    """After the point, so that a spread has two digits; at most nine."""
    if not math.isfinite(spread) or spread == 0:
        return 4
    return min(max(1 - math.floor(math.log10(abs(spread))), 0), 9)


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"


def signed(value: float) -> str:
    """Two significant digits, with its sign."""
    return f"{value:+.2g}"
