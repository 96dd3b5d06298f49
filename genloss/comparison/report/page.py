"""The content of the page, as the template uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genloss.comparison.artifacts import Artifacts, Origin
from genloss.comparison.comparison import Comparison
from genloss.comparison.report import cells, intervals, lines, sentences, sweeps
from genloss.comparison.report.drawing import Drawing
from genloss.comparison.report.losses import Losses, losses, with_terms
from genloss.comparison.report.samples import Samples, chosen
from genloss.comparison.runs import RunResult
from genloss.text import joined

MOST_CURVES = 40
"""Objectives whose curves are drawn; of more, the first and the baseline."""


@dataclass(frozen=True)
class Plots:
    """Drawings under one heading.

    Attributes:
        name: the file's, of the same as a picture.
        drawings: titles and drawings.
        folded: whether the page opens without them.
        said: sentences below.
    """

    title: str
    name: str
    drawings: Sequence[tuple[str, Drawing]]
    folded: bool = False
    said: Sequence[str] = ()


@dataclass(frozen=True)
class LossPlots:
    """The losses of one objective, one plot per player with its legend."""

    objective: str
    plots: Sequence[tuple[Losses, Sequence[cells.Key]]]


@dataclass(frozen=True)
class Page:
    """All that stands on the page, in its order; what is empty has no section."""

    title: str
    description: str
    studies: Sequence[str]
    answer: Sequence[str]
    is_search: bool
    metric: str
    best: Sequence[cells.BestRow]
    legend: Sequence[cells.Key]
    columns: Sequence[tuple[str, str]]
    cost_columns: Sequence[tuple[str, str]]
    rows: Sequence[cells.Row]
    references: Sequence[str]
    figures: Sequence[tuple[str, Sequence[Sequence[str]]]]
    allowed: Sequence[str]
    notes: Sequence[str]
    intervals: Sequence[Plots]
    differences: Sequence[tuple[Plots, Sequence[Sequence[str]]]]
    pairs: Sequence[tuple[str, Sequence[Sequence[str]]]]
    curves: Sequence[Plots]
    together: bool
    losses: Sequence[LossPlots]
    left_out: int
    samples: Samples | None
    sweeps: Sequence[tuple[str, Sequence[cells.Key], Sequence[Plots]]]
    failures: Sequence[tuple[str, RunResult]]
    missing: Sequence[tuple[str, str, str]]
    not_finite: Sequence[tuple[str, str]]
    origins: Sequence[Origin]

    @property
    def has_held_out(self) -> bool:
        return any(plot.held_out for each in self.losses for plot, _ in each.plots)

    @property
    def has_failed(self) -> bool:
        return any(plot.failed for each in self.losses for plot, _ in each.plots)

    def pictures(self) -> dict[str, tuple[Sequence[tuple[str, Drawing]], bool]]:
        """The drawings by the names of their files, and whether they need the objectives' legend."""
        found: dict[str, tuple[Sequence[tuple[str, Drawing]], bool]] = {}

        def gathered(plots: Sequence[Plots]) -> list[tuple[str, Drawing]]:
            return [(t or plot.title, d) for plot in plots for t, d in plot.drawings]

        if self.intervals:
            found["intervals"] = gathered(self.intervals), False
        if self.differences:
            found["differences"] = gathered([plots for plots, _ in self.differences]), False
        for plots in self.curves:
            found[f"curves-{plots.name}"] = gathered([plots]), self.together
        if self.losses:
            found["losses"] = (
                [
                    (f"{each.objective}: {plot.player}", with_terms(plot))
                    for each in self.losses
                    for plot, _ in each.plots
                ],
                False,
            )
        for place, (_, _, several) in enumerate(self.sweeps, 1):
            for plots in several:
                found[f"sweep-{place}-{plots.name}"] = gathered([plots]), False
        return found


def page(comparison: Comparison, artifacts: Artifacts) -> Page:
    """The page of a comparison; of a search, curves and samples are those of the best trials."""
    is_search = comparison.is_search
    shown = comparison.only([each.name for each in comparison.best()]) if is_search else comparison
    drawn = shown.objectives[:MOST_CURVES]
    if shown.baseline in shown.objectives and shown.baseline not in drawn:
        drawn = (shown.baseline, *drawn[:-1])
    bands = {metric: lines.metric_bands(shown, artifacts, metric, drawn) for metric in comparison.metrics}
    significant = intervals.decisions(comparison)
    costs = {objective: comparison.cost(objective) for objective in comparison.objectives}
    names = cells.setting_names(comparison)
    shown_losses = [
        LossPlots(objective, [(plot, cells.terms(plot)) for plot in plots])
        for objective in drawn
        if (plots := losses(shown, artifacts, objective))
    ]
    rows = {o: cells.row(comparison, o, significant, costs, names) for o in comparison.ranked()}
    return Page(
        title=comparison.name,
        description=comparison.description,
        studies=comparison.studies,
        answer=comparison.answer(),
        is_search=is_search,
        metric=comparison.metric,
        best=cells.best(comparison, rows),
        legend=[cells.key(shown, objective) for objective in shown.objectives],
        columns=[cells.column(comparison, metric) for metric in comparison.metrics],
        cost_columns=cells.cost_columns(costs),
        rows=list(rows.values()),
        references=cells.references(comparison),
        figures=[(m, cells.figures(comparison, m)) for m in comparison.metrics if not is_search],
        allowed=comparison.allowed,
        notes=comparison.notes,
        intervals=[
            Plots(metric, file(metric), [("", intervals.intervals(comparison, metric))])
            for metric in comparison.metrics
            if not is_search and any(summary.count for summary in comparison.summaries[metric].values())
        ],
        differences=[
            (
                Plots(
                    metric,
                    file(metric),
                    [("", intervals.differences(comparison, metric))],
                    said=sentences.decisions(comparison, metric),
                ),
                cells.differences(comparison, metric),
            )
            for metric in comparison.metrics
            if any(d.seeds for d in comparison.differences if d.metric == metric)
        ],
        pairs=[
            (metric, cells.pairs(comparison, metric)) for metric in comparison.metrics if comparison.pairs
        ],
        curves=[
            Plots(
                metric,
                file(metric),
                lines.learning_curves(shown, metric, found),
                folded=len(shown.objectives) > lines.TOGETHER and metric != comparison.metric,
            )
            for metric, found in bands.items()
            if found
        ],
        together=len(shown.objectives) <= lines.TOGETHER,
        losses=shown_losses,
        left_out=len(shown.objectives) - len(drawn),
        samples=chosen(shown, artifacts),
        sweeps=[
            (
                joined([f"`{path}`" for path in sweep.paths]),
                [] if sweep.is_grid() else [cells.marker(sweep.looks[base], base) for base in sweep.bases],
                [
                    Plots(metric, file(metric), sweeps.drawings(comparison, sweep, metric))
                    for metric in comparison.metrics
                ],
            )
            for sweep in sweeps.sweeps(comparison)
            if comparison.metrics
        ],
        failures=[(comparison.named(alike), alike[0]) for alike in comparison.failures()],
        missing=sentences.missing(comparison),
        not_finite=sentences.not_finite(comparison),
        origins=artifacts.origins(),
    )


def file(name: str) -> str:
    """A name that any file may have."""
    return (
        "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)[:80].lstrip(".")
        or "_"
    )
