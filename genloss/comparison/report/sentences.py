"""Sentences of the page about conclusions and failures."""

from __future__ import annotations

import math

from genloss.comparison.answer import too_few
from genloss.comparison.comparison import Comparison
from genloss.comparison.statistics import Difference
from genloss.text import joined, needed


def decisions(comparison: Comparison, metric: str) -> list[str]:
    """What the differences of a metric decide, and what they do not."""
    found = [d for d in comparison.differences if d.metric == metric]
    said = []
    for word, better in (("Better", True), ("Worse", False)):
        names = [f"`{d.objective}`" for d in found if d.significant and d.better == better]
        if names:
            said.append(f"{word} than `{comparison.baseline}`: {joined(names, 8)}.")
    open_ = [d for d in found if not d.significant]
    if open_:
        said.append(f"Inconclusive: {joined([f'`{d.objective}`{_how_many(d)}' for d in open_], 8)}.")
    few = too_few([d for d in comparison.pairs or comparison.differences if d.metric == metric])
    if open_ and few:
        said.append(f"{few[0].upper()}{few[1:]}.")
    return said


def _how_many(difference: Difference) -> str:
    if not difference.seeds:
        return " (no seed in common)"
    return "" if math.isnan(difference.needed_seeds) else f" ({needed(difference.needed_seeds)})"


def missing(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Status, names and message of the runs that neither finished nor failed."""
    return [(alike[0].status, comparison.named(alike), alike[0].message) for alike in comparison.missing()]


def not_finite(comparison: Comparison) -> list[tuple[str, str]]:
    """The metrics that finished runs have no finite number of, with these."""
    found = ((metric, comparison.not_finite(metric)) for metric in comparison.metrics)
    return [(metric, comparison.named(runs)) for metric, runs in found if runs]
