"""Runs and comparisons for the tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from genloss.comparison.comparison import Comparison, compare_runs
from genloss.comparison.runs import Cost, Direction, RunResult

FAILED = "FAILED"
LOWER, HIGHER = Direction(False, "1"), Direction(True, "1")


def run(objective: str, seed: int, value: float | str, *, metric: str = "m", **fields: Any) -> RunResult:
    """A run that finished with a value, or that ended with a status."""
    status, metrics = (value, {}) if isinstance(value, str) else ("FINISHED", {metric: value})
    return RunResult(
        objective=objective,
        seed=seed,
        **{"name": f"{objective}-{seed}", "status": status, "metrics": metrics, "study": "s-1", **fields},
    )


def comparison(
    values: Mapping[str, Sequence[float | str] | Mapping[int, float | str]],
    *,
    direction: Direction = LOWER,
    reference: float = math.nan,
    costs: Mapping[str, Cost] | None = None,
    **options: Any,
) -> Comparison:
    """A comparison by the metric `m`; the first objective is the baseline.

    Args:
        values: of each objective by seed: a number, or the status of a run that has none.
        direction: of the metric.
        reference: of the metric; none where it is NaN.
        costs: of each run of an objective.
        options: of `compare_runs`.
    """
    runs = [
        run(objective, seed, value, cost=(costs or {}).get(objective, Cost()))
        for objective, row in values.items()
        for seed, value in (row.items() if isinstance(row, Mapping) else enumerate(row))
    ]
    settings = {
        "name": "s-1",
        "objectives": tuple(values),
        "baseline": next(iter(values)),
        "metrics": {"m": direction},
        "references": {} if math.isnan(reference) else {"m": reference},
        **options,
    }
    return compare_runs(runs, **settings)
