"""A comparison as tidy data frames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas

from genloss.comparison.numbers import Numbers
from genloss.comparison.runs import RunResult


def runs_frame(comparison: Numbers) -> pandas.DataFrame:
    """A row a run and metric; a run that has no number of the metric has NaN."""
    rows = [
        {**_named(run), "status": run.status, "metric": metric, "value": run.metrics.get(metric, math.nan)}
        for run in comparison.runs
        for metric in comparison.metrics
    ]
    columns = ["study", "run", "objective", "seed", "status", "metric", "value"]
    return pandas.DataFrame(rows, columns=columns)


def summaries_frame(comparison: Numbers) -> pandas.DataFrame:
    """A row a metric and objective: the fields of `Summary`, with the metric's unit, direction and reference,
    and how many seeds were planned.
    """
    rows: list[dict[str, Any]] = [
        {
            "metric": metric,
            "unit": direction.unit,
            "higher_is_better": direction.higher_is_better,
            "reference": comparison.references.get(metric, math.nan),
            "objective": objective,
            "planned": len(comparison.of(objective)),
            **asdict(comparison.summaries[metric][objective]),
        }
        for metric, direction in comparison.metrics.items()
        for objective in comparison.objectives
    ]
    return pandas.DataFrame(rows)


def differences_frame(comparison: Numbers) -> pandas.DataFrame:
    """A row a metric and pair of objectives: the fields of `Difference` but the single seeds'."""
    rows = [asdict(difference) for difference in comparison.pairs or comparison.differences]
    frame = pandas.DataFrame(rows)
    return frame.drop(columns="by_seed") if rows else frame


def costs_frame(comparison: Numbers) -> pandas.DataFrame:
    """A row a run: steps, seconds, peak memory in bytes, device, and a column of updates a player."""
    rows = [
        {
            **_named(run),
            "status": run.status,
            "steps": run.cost.steps,
            "seconds": run.cost.seconds,
            "peak_memory": run.cost.peak_memory,
            "device": run.cost.device,
            **{f"updates_{player}": count for player, count in run.cost.updates.items()},
        }
        for run in comparison.runs
    ]
    return pandas.DataFrame(rows)


def _named(run: RunResult) -> Mapping[str, Any]:
    return {"study": run.study, "run": run.name, "objective": run.objective, "seed": run.seed}
