"""Tags by which runs are compared in MLflow: as they are written, and as they are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genloss.comparison.runs import Direction, directions
from genloss.errors import RecordError
from genloss.experiment.schema import Run
from genloss.experiment.source import command
from genloss.record.folder import EXPERIMENT, ROOT
from genloss.record.parsing import LATEST, Fields, parse_json, whole

STUDY, CREATED, RUN = "genloss.study", "genloss.created", "genloss.run"
SETS, BASE, POINT, PROTOCOL = "genloss.sets", "genloss.base", "genloss.point", "genloss.protocol"
CODE = "genloss.registry.code"
TRIAL, STEPS, METRICS = "genloss.trial", "genloss.steps", "genloss.metrics"
STATUS, MESSAGE = "genloss.status", "genloss.message"
"""How a run ended, where MLflow has no word for it, and why."""

COMPARISON, REFERENCES = "genloss.comparison", "genloss.floors"
COMMAND = "genloss.command"
"""The shell's line that runs the whole study again; `genloss.reproduce` trains the run alone."""
DAMAGED = ".damaged"
"""What the study's name ends with, in MLflow, of a run that had to start over."""

LONGEST_TAG = 5000
"""Characters of a tag that every MLflow takes; a run's may have 8,000 where it is newer."""

LONGEST_EXPERIMENT_TAG = 20_000
"""Characters of an experiment's tag that MLflow takes from 3.17 on."""

LARGEST_SEED = 2**64 - 1
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
    """What a run's tags say of its objective and its study.

    Attributes:
        sets: what the objective's `with` sets.
        point: the values of a sweep or a search.
        trial: the objective's number in a search.
        code: digests of the code and the files that the run used; none where that is not known.
    """

    sets: Mapping[str, Any] = field(default_factory=dict)
    point: Mapping[str, Any] = field(default_factory=dict)
    base: str = ""
    trial: int | None = None
    protocol: Protocol | None = None
    code: Mapping[str, str] = field(default_factory=dict)


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
    if run.code:
        tags |= _split(CODE, run.code)
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
        sets=_mapping(tags.get(SETS)) or {},
        point=_mapping(tags.get(POINT)) or {},
        base=tags.get(BASE, ""),
        trial=whole(tags.get(TRIAL, "")),
        protocol=_protocol(tags.get(PROTOCOL)),
        code=_joined(CODE, tags),
    )


def _split(key: str, values: Mapping[str, str]) -> dict[str, str]:
    """A mapping in as many tags as it takes: `key`, `key.2`, …"""
    parts: list[dict[str, str]] = [{}]
    for name, value in values.items():
        if parts[-1] and len(as_json({**parts[-1], name: value})) > LONGEST_TAG:
            parts.append({})
        parts[-1][name] = value
    return {f"{key}.{index}" if index > 1 else key: as_json(part) for index, part in enumerate(parts, 1)}


def _joined(key: str, tags: Mapping[str, str]) -> dict[str, str]:
    """What `_split` made tags of; what is damaged of it is left out."""
    found: dict[str, str] = {}
    index, name = 1, key
    while name in tags:
        found |= {str(k): str(v) for k, v in (_mapping(tags[name]) or {}).items()}
        index += 1
        name = f"{key}.{index}"
    return found


def references(text: str) -> dict[str, float] | None:
    """The references of a tag; None where it is damaged."""
    try:
        return Fields({"references": _mapping(text)}).numbers("references")
    except RecordError:
        return None


def created(tags: Mapping[str, str]) -> int:
    """When a run's study was begun, in milliseconds since 1970; 0 where that is not known."""
    return whole(tags.get(CREATED, ""), LATEST) or 0


def _protocol(text: str | None) -> Protocol | None:
    try:
        said = Fields(_mapping(text))
        objectives = said.list("objectives", [])
        seeds = Fields({str(index): seed for index, seed in enumerate(said.list("seeds", []))})
        return Protocol(
            experiment=said.text("experiment"),
            baseline=said.text("baseline"),
            position=said.count("position"),
            data=said.text("data"),
            metrics=directions(said.fields("metrics")),
            description=said.text("description", ""),
            objectives=tuple(map(str, objectives)),
            seeds=tuple(seeds.count(index, most=LARGEST_SEED) for index in sorted(seeds.names(), key=int)),
            metric=said.text("metric", ""),
        )
    except RecordError:
        return None


def _mapping(text: str | None) -> dict[str, Any] | None:
    try:
        found = parse_json(text or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def as_json(value: Any) -> str:
    """As a tag has it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
