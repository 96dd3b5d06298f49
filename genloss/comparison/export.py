"""A comparison for programs: as JSON, and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genloss.comparison.comparison import Comparison
    from genloss.comparison.runs import Cost, RunResult
    from genloss.comparison.statistics import Difference


def to_json(comparison: Comparison) -> dict[str, Any]:
    """All of a comparison, as JSON has it; what cannot be said is null.

    JSON has no infinite numbers: they are the strings `Infinity` and `-Infinity`, such as `needed_seeds` that
    are more than 1,000, or the `effect_size` of differences that are all the same.

    `name`, `description`, `studies`, `objectives`, `baseline`, `metric`: as in `Comparison`.
    `answer`: sentences.
    `metrics`: by name; each has `unit`, `higher_is_better`, `version` and `reference`.
    `summaries`: a list, one of each metric and objective: `metric`, `objective`, `planned` (seeds), and the
    fields of `Summary`.
    `differences`: a list, one of each metric and objective but the baseline: the fields of `Difference`, of
    which `by_seed` has the seeds for its keys.
    `pairs`: the same for all pairs, where they were asked for.
    `best`: a list, of a search each objective's best trial: the fields of `Best`.
    `costs`: by objective, what one run used, medians over the seeds: `steps`, `updates` by player, `seconds`,
    `peak_memory` in bytes, `device`.
    `runs`: a list: `study`, `name`, `objective`, `seed`, `status`, `message`, `hint`, `metrics` by name,
    `cost`, `sets`, `base`, `trial`, `point`, `reproduce`, `run_id` (MLflow's), `folder`.
    `allowed`, `notes`: sentences.
    """
    found: dict[str, Any] = {
        "name": comparison.name,
        "description": comparison.description,
        "studies": comparison.studies,
        "objectives": comparison.objectives,
        "baseline": comparison.baseline,
        "metric": comparison.metric or None,
        "answer": comparison.answer(),
        "metrics": {
            name: {**asdict(direction), "reference": comparison.references.get(name)}
            for name, direction in comparison.metrics.items()
        },
        "summaries": [
            {
                "metric": metric,
                "objective": objective,
                "planned": len(comparison.of(objective)),
                **asdict(comparison.summaries[metric][objective]),
            }
            for metric in comparison.metrics
            for objective in comparison.objectives
        ],
        "differences": list(map(asdict, comparison.differences)),
        "pairs": list(map(asdict, comparison.pairs)),
        "best": list(map(asdict, comparison.best())),
        "costs": {objective: _cost(comparison.cost(objective)) for objective in comparison.objectives},
        "runs": list(map(_run, comparison.runs)),
        "allowed": comparison.allowed,
        "notes": comparison.notes,
    }
    plain: dict[str, Any] = _plain(found)
    return plain


def to_csv(comparison: Comparison) -> str:
    """A row a metric and objective: its summary, and its difference to the baseline.

    Where all pairs were asked for, there is a row for each objective that it is compared with. What cannot
    be said is empty; infinite numbers are as in the JSON.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    head: list[str] = []
    for metric, direction in comparison.metrics.items():
        for objective in comparison.objectives:
            of = {
                "metric": metric,
                "unit": direction.unit,
                "higher_is_better": direction.higher_is_better,
                "reference": comparison.references.get(metric),
                "objective": objective,
                "planned": len(comparison.of(objective)),
                **asdict(comparison.summaries[metric][objective]),
            }
            for difference in _of(comparison, metric, objective):
                row = {**of, **_columns(difference)}
                if not head:
                    head = list(row)
                    writer.writerow(head)
                writer.writerow(["" if (value := _plain(row[name])) is None else value for name in head])
    return file.getvalue()


DIFFERENCE = (
    "seeds",
    "mean",
    "low",
    "high",
    "effect_size",
    "p",
    "p_holm",
    "least_p",
    "probability",
    "probability_low",
    "probability_high",
    "needed_seeds",
    "significant",
    "better",
)


def _of(comparison: Comparison, metric: str, objective: str) -> Sequence[Difference | None]:
    """The objective's differences; None where it is compared with nothing."""
    every = comparison.pairs or comparison.differences
    return [d for d in every if (d.metric, d.objective) == (metric, objective)] or [None]


def _columns(difference: Difference | None) -> dict[str, Any]:
    own = {} if difference is None else asdict(difference)
    return {"other": own.get("other"), **{f"difference_{name}": own.get(name) for name in DIFFERENCE}}


def _run(run: RunResult) -> dict[str, Any]:
    return {
        "study": run.study,
        "name": run.name,
        "objective": run.objective,
        "seed": run.seed,
        "status": run.status,
        "message": run.message,
        "hint": run.hint,
        "metrics": run.metrics,
        "cost": _cost(run.cost),
        "sets": run.sets,
        "base": run.base,
        "trial": run.trial,
        "point": run.point,
        "reproduce": run.reproduce,
        "run_id": run.run_id,
        "folder": None if run.folder is None else str(run.folder.path),
    }


def _cost(cost: Cost) -> dict[str, Any]:
    return {
        "steps": cost.steps,
        "updates": cost.updates,
        "seconds": cost.seconds,
        "peak_memory": cost.peak_memory,
        "device": cost.device,
    }


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, bool) or value is None or isinstance(value, int | str):
        return value
    number = float(value)
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return None if math.isnan(number) else number
