"""A comparison as tables: for the terminal, as Markdown, and as HTML for notebooks."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genloss.comparison.answer import answer
from genloss.comparison.numbers import Numbers
from genloss.comparison.runs import Cost
from genloss.comparison.statistics import LEVEL, Difference
from genloss.comparison.trials import ranked, values
from genloss.record.events import Status
from genloss.text import NONE, count_of, duration, memory, needed, number, p_value, spread

BETTER, WORSE = "▲", "▼"
DIFFERS = 1.25
"""Times and memory are shown if the largest is this many times the smallest."""


@dataclass(frozen=True)
class Table:
    """Rows of text under headings.

    Attributes:
        columns: the headings.
        rows: the first cell of each says what it is of.
        legend: what the cells are, in lines.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    legend: tuple[str, ...] = ()

    def markdown(self) -> str:
        rule = ("---", *["---:"] * (len(self.columns) - 1))
        return "\n".join(f"| {' | '.join(line)} |" for line in (self.columns, rule, *self.rows))

    def html(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            sides = ["left"] + ["right"] * (len(cells) - 1)
            return "".join(
                f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>'
                for side, cell in zip(sides, cells, strict=True)
            )

        rows = [line(self.columns, "th"), *(line(row, "td") for row in self.rows)]
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def overview(comparison: Numbers) -> Table:
    """A row an objective: its seeds, each metric's mean ± half of its 95% confidence interval, with a mark
    where it is better or worse than the baseline, and the costs that differ; the last row has the references.
    The trials of a search have no marks but values, and stand the best first.
    """
    metrics, objectives = comparison.metrics, ranked(comparison)
    costs = _costs(comparison)
    if comparison.is_search:
        costs["values"] = [values(comparison.of(o)[0].point) for o in objectives]
    rows = [
        (o, seeds(comparison, o), *(cell(comparison, o, metric) for metric in metrics), *costs_of_one)
        for o, *costs_of_one in zip(objectives, *costs.values(), strict=True)
    ]
    references = [comparison.references.get(metric, math.nan) for metric in metrics]
    if not all(map(math.isnan, references)):
        rows.append(("real data", "", *map(number, references), *[""] * len(costs)))
    headings = [heading(comparison, metric) for metric in metrics]
    first = "trial" if comparison.is_search else "objective"
    return Table((first, "seeds", *headings, *costs), tuple(rows), tuple(_legend(comparison, costs)))


def details(comparison: Numbers, metric: str) -> Table:
    """A row an objective: all that is known of one metric, and of its difference to the baseline."""
    higher = comparison.metrics[metric].higher_is_better
    rows = []
    for objective in comparison.objectives:
        summary = comparison.summaries[metric][objective]
        own = (summary.interquartile_mean, summary.best, summary.worst)
        difference = comparison.difference(objective, metric)
        rows.append(
            (
                objective,
                str(summary.count),
                spread(summary.mean, summary.half_width),
                *map(number, own),
                *(tested(difference) if difference else [""] * len(TESTED)),
            )
        )
    if not math.isnan(reference := comparison.references.get(metric, math.nan)):
        rows.append(("real data", "", number(reference), *[""] * (3 + len(TESTED))))
    legend = (
        f"{heading(comparison, metric)}: mean ± half-width of the 95% confidence interval; {_sides(higher)}",
        "IQM: the interquartile mean",
        *_tested_legend(comparison, metric, comparison.differences, f"objective − `{comparison.baseline}`"),
    )
    columns = ("objective", "seeds", "mean", "IQM", "best", "worst", *TESTED)
    return Table(columns, tuple(rows), legend)


def pairs(comparison: Numbers, metric: str) -> Table:
    """A row a pair of objectives: the difference in one metric, over the seeds that both have."""
    found = [d for d in comparison.pairs or comparison.differences if d.metric == metric]
    rows = tuple((f"{d.objective} − {d.other}", str(d.seeds), *tested(d)) for d in found)
    legend = (
        f"{heading(comparison, metric)}: {_sides(comparison.metrics[metric].higher_is_better)}",
        *_tested_legend(comparison, metric, found, "the first − the second"),
    )
    return Table(("pair", "seeds", *TESTED), rows, legend)


def markdown(comparison: Numbers) -> str:
    """The answer, the table, and the runs that did not finish, as Markdown."""
    table = overview(comparison)
    lines = [" ".join(answer(comparison)), "", table.markdown()]
    if table.legend:
        lines += ["", f"{'; '.join(table.legend)}."]
    unfinished = comparison.unfinished()
    if unfinished:
        lines += ["", f"**{len(unfinished)} of {len(comparison.runs)} runs did not finish:**", ""]
        for alike in (*comparison.failures(), *comparison.missing()):
            message = f": {alike[0].message}" if alike[0].message else ""
            lines.append(f"* {alike[0].status}: {comparison.named(alike)}{message}")
    return "\n".join(lines)


def to_html(comparison: Numbers) -> str:
    """The answer and the table as notebooks show them."""
    table = overview(comparison)
    said = html.escape(" ".join(answer(comparison)))
    legend = "<br>".join(map(html.escape, table.legend))
    return f"<p>{said}</p>{table.html()}<p><small>{legend}</small></p>"


def heading(comparison: Numbers, metric: str) -> str:
    """The metric's name with its unit and direction."""
    direction = comparison.metrics[metric]
    unit = "" if direction.unit == "1" else f", {direction.unit}"
    return f"{metric}{unit} {'↑' if direction.higher_is_better else '↓'}"


def seeds(comparison: Numbers, objective: str) -> str:
    """How many seeds finished, of how many if not all did; or that a search pruned it."""
    if any(run.status == Status.PRUNED for run in comparison.of(objective)):
        return "pruned"
    done, planned = len(comparison.finished(objective)), len(comparison.of(objective))
    return str(done) if done == planned else f"{done} of {planned}"


def cell(comparison: Numbers, objective: str, metric: str) -> str:
    """`▲ 2.31 ± 0.12`: the mean, half of its interval, and whether it is better or worse than the baseline;
    the mean alone for one seed; a dash for none.
    """
    summary = comparison.summaries[metric][objective]
    if not summary.count:
        return "nan" if summary.not_finite else NONE
    difference = comparison.difference(objective, metric)
    mark = ""
    if difference is not None and difference.significant:
        mark = f"{BETTER if difference.better else WORSE} "
    return f"{mark}{spread(summary.mean, summary.half_width)}"


TESTED = ("difference", "p", "corrected p", "effect", "wins", "seeds needed")


def tested(difference: Difference) -> tuple[str, ...]:
    """The cells of a difference."""
    chance = NONE
    if not math.isnan(difference.probability):
        low, high = difference.probability_low, difference.probability_high
        chance = f"{difference.probability:.0%} ({low * 100:.0f}–{high:.0%})"
    mark = ""
    if difference.significant:
        mark = f"{BETTER if difference.better else WORSE} "
    return (
        mark + spread(difference.mean, (difference.high - difference.low) / 2),
        p_value(difference.p),
        p_value(difference.p_holm),
        f"{difference.effect_size:+.2f}".replace("+nan", NONE),
        chance,
        "" if difference.significant else needed(difference.needed_seeds).replace("more than ", "> "),
    )


def _tested_legend(comparison: Numbers, metric: str, found: Sequence[Difference], what: str) -> list[str]:
    own = [difference for difference in found if difference.metric == metric]
    if not own:
        return []
    tests = count_of(_tests(comparison, metric), "comparison")
    marks = f"{BETTER} better, {WORSE} worse: corrected p ≤ {LEVEL}"
    return [
        f"difference: {what}, over common seeds ± half-width of the 95% confidence interval",
        *([marks] if any(difference.significant for difference in own) else []),
        f"p: sign-flip test; corrected p: Holm, {tests}; "
        "effect: mean / standard deviation of the differences (Hedges' g)",
        "wins: probability of beating the other with the same seed (95% CI)",
        "seeds needed: for a difference as large as the one observed (80% power)",
    ]


def _tests(comparison: Numbers, metric: str) -> int:
    """How many comparisons were corrected together."""
    return sum(d.metric == metric and d.seeds > 1 for d in comparison.pairs or comparison.differences)


def _sides(higher_is_better: bool) -> str:
    return "higher is better" if higher_is_better else "lower is better"


def _legend(comparison: Numbers, costs: Mapping[str, Sequence[str]]) -> list[str]:
    """What the cells are, in lines; none where there are none."""
    lines = []
    if comparison.metrics:
        lines.append(
            "mean ± half-width of the 95% confidence interval over seeds; ↓ lower is better, ↑ higher"
        )
    if comparison.is_search:
        lines.append(
            f"the best trials first, by {comparison.metric}; chosen by these numbers, none is tested"
        )
    if any(difference.significant for difference in comparison.differences):
        tests = _tests(comparison, comparison.metric)
        each = " of each metric" if len(comparison.metrics) > 1 else ""
        corrected = f", corrected for {tests} comparisons{each}" if tests > 1 else ""
        lines.append(
            f"{BETTER} better, {WORSE} worse than `{comparison.baseline}` with the same seeds: "
            f"p ≤ {LEVEL}{corrected}"
        )
    if any(metric in comparison.references for metric in comparison.metrics):
        lines.append("real data: the metric with real examples in place of samples")
    if medians := [name for name in ("time", "memory") if name in costs]:
        lines.append(f"{' and '.join(medians)}: a run's median")
    for metric in comparison.metrics:
        if lost := comparison.not_finite(metric):
            lines.append(f"no finite {metric}, and not in its mean: {comparison.named(lost)}")
    if comparison.allowed:
        lines.append(f"compared although they differ: {'; '.join(comparison.allowed)}")
    return [*lines, *comparison.notes]


def _costs(comparison: Numbers) -> dict[str, list[str]]:
    """The columns of those costs that differ among the objectives that finished, one cell per objective."""
    every = [comparison.cost(objective) for objective in ranked(comparison)]
    done = [comparison.cost(o) for o in comparison.objectives if comparison.finished(o)]
    columns = {}
    if len({cost.steps for cost in done}) > 1:
        columns["steps"] = [f"{cost.steps:,}" for cost in every]
    for player in dict.fromkeys(player for cost in done for player in cost.updates):
        updates = {cost.updates[player] for cost in done if player in cost.updates}
        if len(updates) > 1 and not _all_updates_are_steps(done):
            columns[f"{player} updates"] = [_updates(cost, player) for cost in every]
    if _spans([cost.seconds for cost in done if not math.isnan(cost.seconds)]):
        columns["time"] = [duration(cost.seconds) for cost in every]
    if _spans([cost.peak_memory for cost in done if cost.peak_memory is not None]):
        columns["memory"] = [memory(cost.peak_memory) for cost in every]
    return columns


def _updates(cost: Cost, player: str) -> str:
    return f"{cost.updates[player]:,}" if player in cost.updates else NONE


def _all_updates_are_steps(costs: Sequence[Cost]) -> bool:
    """Return whether each player has one update a step, so that the steps say it all."""
    return all(updates == cost.steps for cost in costs for updates in cost.updates.values())


def _spans(values: Sequence[float]) -> bool:
    return bool(values) and max(values) > DIFFERS * min(values)
