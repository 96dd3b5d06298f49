"""What the page says of decisions, and of what went wrong."""

from __future__ import annotations

import math

from genloss.comparison.comparison import Comparison
from genloss.comparison.statistics import Difference, least_p, least_seeds
from genloss.comparison.words import count_of, joined, named, needed, p_value


def decisions(comparison: Comparison, metric: str) -> list[str]:
    """What the differences of a metric decide, and what they do not."""
    found = [d for d in comparison.differences if d.metric == metric]
    said = []
    for word, better in (("Better", True), ("Worse", False)):
        names = [f"`{d.objective}`" for d in found if d.decided and d.better == better]
        if names:
            said.append(f"{word} than `{comparison.baseline}`: {joined(names, 8)}.")
    open_ = [d for d in found if not d.decided]
    if open_:
        said.append(f"Not decided: {joined([f'`{d.objective}`{_how_many(d)}' for d in open_], 8)}.")
    most = max((d.seeds for d in found), default=0)
    tests = sum(d.metric == metric and d.seeds > 1 for d in comparison.pairs or comparison.differences)
    least = least_seeds(tests)
    if open_ and most < least:
        verb = "needs" if tests == 1 else "need"
        said.append(
            f"With {most} seeds no p can be below {p_value(least_p(most))}: {count_of(tests, 'comparison')} "
            f"{verb} at least {least} seeds to decide anything, however large the difference."
            if most > 1
            else "One seed decides nothing."
        )
    return said


def _how_many(difference: Difference) -> str:
    if not difference.seeds:
        return " (no seed in common)"
    return "" if math.isnan(difference.needed_seeds) else f" ({needed(difference.needed_seeds)})"


def missing(comparison: Comparison) -> list[tuple[str, str]]:
    """Runs that neither finished nor failed, by status."""
    others = [run for run in comparison.unfinished() if run.status != "FAILED"]
    return [
        (status, named([run for run in others if run.status == status]))
        for status in dict.fromkeys(run.status for run in others)
    ]


def not_finite(comparison: Comparison) -> list[tuple[str, str]]:
    """The metrics that finished runs have no finite number of, with these."""
    return [
        (metric, named(runs))
        for metric in comparison.metrics
        if (
            runs := [
                run
                for run in comparison.runs
                if run.status == "FINISHED" and not math.isfinite(run.metrics.get(metric, math.nan))
            ]
        )
    ]
