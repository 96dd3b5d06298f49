"""The parts of a check: the sources of its numbers, the rows of its table, and the table itself.

A row states what was expected, the result, the difference, and a verdict. There are five kinds of rows, which
claim different things:

    bound      a number must satisfy a bound: an identity, or a theorem
    exact      the true value is known; ours must be within its Monte Carlo error
    ordering   one objective must be better than another, over paired seeds
    measured   a published measurement with another network: reports the difference without a claim
    seen       a result without anything to compare it with
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
"""Maximum distance of an estimate from the truth, in standard errors. With eight seeds, a correct estimate is
further away in 2 of 1,000 cases, which is low enough for the number of estimates."""

ANY = (-math.inf, math.inf)
"""The range of an unbounded number."""


@dataclass(frozen=True)
class Source:
    """The source of expected numbers.

    Attributes:
        title: authors, year and title.
        place: arXiv number, and table or section.
    """

    title: str
    place: str

    def __str__(self) -> str:
        return f"{self.title} ({self.place})"


@dataclass(frozen=True)
class Row:
    """A line of a check's table.

    Attributes:
        what: what is compared.
        missed: whether a required property does not hold.
    """

    what: str
    expected: str
    ours: str
    difference: str
    verdict: str
    missed: bool = False


@dataclass(frozen=True)
class Check:
    """The expected results of an experiment.

    Attributes:
        experiment: name of the YAML file in `experiments/published`, without suffix.
        sources: sources of the expected numbers.
        about: short description; Markdown.
        rows: makes the table's rows from the study.
        full: what `--full` sets, as with `--set`; empty if the default is the full budget.
        notes: explanations needed to read the table, such as why published numbers do not transfer; Markdown.
    """

    experiment: str
    sources: Sequence[Source]
    about: str
    rows: Callable[[genloss.StudyResult], Sequence[Row]]
    full: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95% confidence interval (Student's t); a single seed has none.

    Attributes:
        possible: smallest and largest possible value, to which the interval is clipped.
    """

    mean: float
    error: float
    count: int
    possible: tuple[float, float] = ANY

    @classmethod
    def of(cls, values: Sequence[float], possible: tuple[float, float] = ANY) -> Interval:
        """Compute the interval from one value per seed."""
        error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return cls(float(np.mean(values)), error, len(values), possible)

    @property
    def half(self) -> float:
        """Half the interval's width."""
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
    """Return an objective's last values of a metric by seed, from finished runs."""
    return {
        run.seed: run.metrics[metric]
        for run in result.runs
        if run.objective == objective and run.status == "FINISHED" and metric in run.metrics
    }


def bound(what: str, expected: str, ours: str, *, keeps: bool, difference: str = "") -> Row:
    """Return a row for a number that must satisfy a bound."""
    return Row(what, expected, ours, difference, "holds" if keeps else "**does not hold**", missed=not keeps)


def exact(what: str, truth: float, ours: Sequence[float]) -> Row:
    """Return a row that compares a known true value with one independent estimate per seed."""
    if len(ours) < 2:
        return Row(what, f"{truth:.4g}", "–", "", "**no error estimate** without two seeds", missed=True)
    found = Interval.of(ours)
    apart = found.mean - truth
    away = apart / found.error if found.error else math.copysign(math.inf, apart) if apart else 0.0
    keeps = abs(away) <= STANDARD_ERRORS
    said = "within Monte Carlo error" if keeps else "**differs from the true value**"
    return Row(
        what,
        f"{truth:.{max(4, decimals(found.half))}f}",
        str(found),
        signed(apart),
        f"{said}: {away:+.1f} standard errors",
        missed=not keeps,
    )


def ordering(what: str, better: Mapping[int, float], worse: Mapping[int, float], unit: str = "") -> Row:
    """Return a row that requires one objective's metric to be lower than another's, paired by seed."""
    seeds = sorted(better.keys() & worse.keys())
    found = Interval.of([better[seed] - worse[seed] for seed in seeds])
    if found.high < 0:
        verdict, missed = "significant", False
    elif found.low > 0:
        verdict, missed = "**significant in the opposite direction**", True
    else:
        verdict, missed = "**inconclusive** with this many seeds", True
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
    """Return a row that compares a published measurement with ours, without a claim.

    Args:
        what: what is compared.
        expected: the published value.
        spread: the published ± value.
        ours: one value per seed.
        spread_of: what the published spread is, such as `standard deviation over five seeds`.
        possible: smallest and largest possible value.
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
    """Return a row for a result without anything to compare it with."""
    return Row(what, "–", str(Interval.of(ours, possible)), "", "")


def table(rows: Sequence[Row]) -> str:
    """Format the rows as a Markdown table that is also readable as text."""
    head = ["", "expected", "ours, with 95% CI", "difference", "verdict"]
    cells = [[row.what, row.expected, row.ours, row.difference, row.verdict] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    rule = ["-" * max(3, width) for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in [head, rule, *cells]
    )


def decimals(spread: float) -> int:
    """Return the number of decimals that shows two digits of a spread; at most nine."""
    if not math.isfinite(spread) or spread == 0:
        return 4
    return min(max(1 - math.floor(math.log10(abs(spread))), 0), 9)


def number(value: float) -> str:
    """Format a number with four significant digits."""
    return f"{value:.4g}"


def signed(value: float) -> str:
    """Format a number with two significant digits and its sign."""
    return f"{value:+.2g}"
