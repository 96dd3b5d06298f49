"""The tables of the page, and the legends of its plots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genloss.comparison.comparison import Comparison
from genloss.comparison.report import intervals
from genloss.comparison.report.drawing import Drawing, Symbol, identity
from genloss.comparison.report.losses import Losses
from genloss.comparison.runs import Cost
from genloss.comparison.statistics import Difference
from genloss.comparison.table import seeds
from genloss.experiment.sweep import labels
from genloss.text import count_of, duration, memory, needed, number, p_value, spread


@dataclass(frozen=True)
class Key:
    """A line of a legend: a drawing of how something looks, and its name."""

    drawing: Drawing
    name: str


@dataclass(frozen=True)
class Cell:
    """A number of the table; `mark` is `better` or `worse` where that is significant."""

    text: str
    mark: str = ""
    more: str = ""


@dataclass(frozen=True)
class Setting:
    """A value that an objective sets for itself, at a path of the experiment; `text` has the end of that."""

    path: str
    text: str


@dataclass(frozen=True)
class Row:
    """An objective in the table."""

    objective: str
    baseline: bool
    key: Key
    seeds: str
    cells: Sequence[Cell]
    sets: Sequence[Setting]
    cost: Sequence[str]


@dataclass(frozen=True)
class BestRow:
    """The best trial of an objective: how many trials there were, and what came of those without a value."""

    objective: str
    trial: str
    trials: str
    lost: str
    row: Row
    command: str


def key(comparison: Comparison, objective: str) -> Key:
    """How an objective looks in plots; a trial looks as all trials of its objective do."""
    names = list(comparison.objectives)
    if comparison.is_search:
        bases = list(dict.fromkeys(run.base for run in comparison.runs))
        return marker(bases.index(comparison.of(objective)[0].base), objective)
    return marker(names.index(objective), objective)


def marker(index: int, name: str) -> Key:
    colour, shape = identity(index)
    drawing = Drawing(28, 14)
    drawing.line(1, 7, 27, 7, colour, width=2.0)
    drawing.add(Symbol(14, 7, shape, 10, colour))
    return Key(drawing, name)


def terms(plot: Losses) -> list[Key]:
    found = []
    for name, colour, dash in plot.terms:
        drawing = Drawing(28, 14)
        drawing.line(1, 7, 27, 7, colour, width=2.0, dash=dash)
        found.append(Key(drawing, name))
    return found


def column(comparison: Comparison, metric: str) -> tuple[str, str]:
    higher = comparison.metrics[metric].higher_is_better
    return intervals.heading(comparison, metric), "↑ higher is better" if higher else "↓ lower is better"


def row(
    comparison: Comparison,
    objective: str,
    significant: Mapping[tuple[str, str], str],
    costs: Mapping[str, Cost],
    names: Mapping[str, Mapping[str, str]],
) -> Row:
    done = len(comparison.finished(objective))
    cells = []
    for metric, summaries in comparison.summaries.items():
        summary = summaries[objective]
        more = []
        if summary.count and summary.count < done:
            more.append(f"of {count_of(summary.count, 'seed')}")
        if summary.not_finite:
            more.append(f"{summary.not_finite} not finite")
        cells.append(
            Cell(
                spread(summary.mean, summary.half_width) if summary.count else "–",
                significant.get((metric, objective), ""),
                ", ".join(more),
            )
        )
    return Row(
        objective,
        objective == comparison.baseline and not comparison.is_search,
        key(comparison, objective),
        seeds(comparison, objective),
        cells,
        [
            Setting(path, f"{names[objective][path]} = {_value(value)}")
            for path, value in _own(comparison, objective).items()
        ],
        _cost(costs[objective], costs),
    )


def best(comparison: Comparison, rows: Mapping[str, Row]) -> list[BestRow]:
    """Of a search, the best trials; with their rows in the table of all trials."""
    return [
        BestRow(
            each.objective,
            str(each.trial),
            str(len(each.trials.names)),
            each.trials.lost(),
            rows[each.name],
            each.command,
        )
        for each in comparison.best()
    ]


def setting_names(comparison: Comparison) -> dict[str, dict[str, str]]:
    """The ends by which the paths of all objectives' own settings are told apart, by objective; of a search,
    those of each objective's trials.
    """
    alike = [each.names for each in comparison.trials()] if comparison.is_search else [comparison.objectives]
    found: dict[str, dict[str, str]] = {}
    for objectives in alike:
        names = labels({path: None for objective in objectives for path in _own(comparison, objective)})
        found |= dict.fromkeys(objectives, names)
    return found


def _own(comparison: Comparison, objective: str) -> dict[str, Any]:
    return next(({**run.sets, **run.point} for run in comparison.of(objective)), {})


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def cost_columns(costs: Mapping[str, Cost]) -> list[tuple[str, str]]:
    columns = [("steps", ""), *(("updates", player) for player in _players(costs)), ("time", "a run")]
    return (
        [*columns, ("memory", "peak")]
        if any(cost.peak_memory is not None for cost in costs.values())
        else columns
    )


def _players(costs: Mapping[str, Cost]) -> list[str]:
    """The players whose updates are not the steps in all objectives."""
    players = dict.fromkeys(player for cost in costs.values() for player in cost.updates)
    return [
        p for p in players if any(cost.updates.get(p, cost.steps) != cost.steps for cost in costs.values())
    ]


def _cost(cost: Cost, costs: Mapping[str, Cost]) -> list[str]:
    cells = [
        f"{cost.steps:,}",
        *(f"{cost.updates.get(p, 0):,}" for p in _players(costs)),
        duration(cost.seconds),
    ]
    if any(other.peak_memory is not None for other in costs.values()):
        cells.append(memory(cost.peak_memory))
    return cells


def references(comparison: Comparison) -> list[str]:
    if not any(metric in comparison.references for metric in comparison.metrics):
        return []
    return [number(comparison.references.get(metric, math.nan)) for metric in comparison.metrics]


def figures(comparison: Comparison, metric: str) -> list[list[str]]:
    """Every figure of a metric's summaries."""
    return [
        [
            objective,
            str(s.count),
            number(s.mean),
            f"{number(s.low)} to {number(s.high)}" if math.isfinite(s.low) else "–",
            number(s.deviation),
            number(s.interquartile_mean),
            number(s.best),
            number(s.worst),
            str(s.not_finite),
        ]
        for objective, s in comparison.summaries[metric].items()
    ]


def differences(comparison: Comparison, metric: str) -> list[list[str]]:
    """Every figure of a metric's differences to the baseline."""
    return [[d.objective, *_difference(d)] for d in comparison.differences if d.metric == metric]


def pairs(comparison: Comparison, metric: str) -> list[list[str]]:
    """Every figure of a metric's differences between all objectives, where they were asked for."""
    return [[f"{d.objective} − {d.other}", *_difference(d)] for d in comparison.pairs if d.metric == metric]


def _difference(d: Difference) -> list[str]:
    return [
        str(d.seeds),
        number(d.mean),
        f"{number(d.low)} to {number(d.high)}" if math.isfinite(d.low) else "–",
        number(d.effect_size),
        p_value(d.p),
        p_value(d.p_holm),
        f"{number(d.probability)} ({number(d.probability_low)} to {number(d.probability_high)})"
        if math.isfinite(d.probability)
        else "–",
        needed(d.needed_seeds),
        ("better" if d.better else "worse") if d.significant else "inconclusive",
    ]
