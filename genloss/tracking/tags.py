"""Tags by which runs are compared in MLflow: as they are written, and as they are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genloss.comparison.runs import Direction
from genloss.experiment.schema import Run
from genloss.experiment.source import command
from genloss.record.folder import EXPERIMENT, ROOT

STUDY, CREATED, RUN = "genloss.study", "genloss.created", "genloss.run"
SETS, BASE, POINT, PROTOCOL = "genloss.sets", "genloss.base", "genloss.point", "genloss.protocol"
TRIAL, STEPS, METRICS = "genloss.trial", "genloss.steps", "genloss.metrics"
COMPARISON, FLOORS = "genloss.comparison", "genloss.floors"
COMMAND = "genloss.command"
"""The shell's line that runs the whole study again; `genloss.reproduce` trains the run alone."""
DAMAGED = ".damaged"
"""What the study's name ends with, in MLflow, of a run that had to begin anew."""

LONGEST_TAG = 5000
LEFT_OUT = ("objectives", "seeds", "description")
"""What a long protocol does without, the first of them first."""


@dataclass(frozen=True)
class Protocol:
    """What a run knows of its study.

    Attributes:
        experiment: the experiment's name in MLflow.
        description: what the experiment asks.
        baseline: the objective that others are compared with.
        position: of the run's objective, in the order of the YAML.
        objectives: of the study, in their order; none where they are too many for a tag.
        seeds: of the study; none where they are too many for a tag.
        metrics: with their directions, in the order of the evaluation.
        data: the data's digest.
        metric: the one that a search betters; empty where nothing is searched.
    """

    experiment: str
    baseline: str
    position: int
    data: str
    metrics: Mapping[str, Direction]
    description: str = ""
    objectives: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    metric: str = ""


@dataclass(frozen=True)
class Told:
    """What a run's tags say of its objective and its study; None where an older genloss did not say it.

    Attributes:
        sets: what the objective's `with` sets.
        point: the values of a sweep or a search.
        trial: the objective's number in a search.
    """

    sets: Mapping[str, Any] | None = None
    point: Mapping[str, Any] = field(default_factory=dict)
    base: str = ""
    trial: int | None = None
    protocol: Protocol | None = None


def comparison_tags(study: Mapping[str, Any], run: Run) -> dict[str, str]:
    """The tags of a run.

    Args:
        study: what study.json says.
        run: one of its runs.
    """
    experiment = study["experiment"]
    names = list(dict.fromkeys(run["objective"]["name"] for run in study["runs"]))
    protocol = {
        "experiment": study["experiment_name"],
        "baseline": experiment["baseline"],
        "position": names.index(run.objective.name) if run.objective.name in names else len(names),
        "data": study["data"]["digest"],
        "metrics": study["metrics"],
        "description": experiment["description"],
        "objectives": names,
        "seeds": experiment["seeds"],
    }
    if experiment.get("search"):
        protocol["metric"] = experiment["search"]["metric"]
    for key in LEFT_OUT:
        if len(as_json(protocol)) > LONGEST_TAG:
            del protocol[key]
    tags = {SETS: as_json(run.objective.sets), PROTOCOL: as_json(protocol)}
    if run.objective.base:
        tags |= {BASE: run.objective.base, POINT: as_json(run.objective.point)}
    if run.objective.trial is not None:
        tags[TRIAL] = str(run.objective.trial)
    line = command(experiment, str(ROOT / run.study / EXPERIMENT))
    if len(line) <= LONGEST_TAG:  # a part of it would do something else
        tags[COMMAND] = line
    return tags


def told(tags: Mapping[str, str]) -> Told:
    """What a run's tags say; what is missing or damaged is left out."""
    return Told(
        sets=_mapping(tags.get(SETS)),
        point=_mapping(tags.get(POINT)) or {},
        base=tags.get(BASE, ""),
        trial=int(number) if (number := tags.get(TRIAL, "")).isdecimal() else None,
        protocol=_protocol(tags.get(PROTOCOL)),
    )


def floors(text: str) -> dict[str, float] | None:
    """The floors of a tag; None where it is damaged."""
    found = _mapping(text)
    try:
        return None if found is None else {str(name): float(value) for name, value in found.items()}
    except (TypeError, ValueError):
        return None


def _protocol(text: str | None) -> Protocol | None:
    found = _mapping(text)
    if found is None:
        return None
    try:
        return Protocol(
            experiment=str(found["experiment"]),
            baseline=str(found["baseline"]),
            position=int(found["position"]),
            data=str(found["data"]),
            metrics={str(name): Direction(**direction) for name, direction in found["metrics"].items()},
            description=str(found.get("description", "")),
            objectives=tuple(map(str, found.get("objectives", ()))),
            seeds=tuple(map(int, found.get("seeds", ()))),
            metric=str(found.get("metric", "")),
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def _mapping(text: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(text or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def as_json(value: Any) -> str:
    """As a tag has it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
