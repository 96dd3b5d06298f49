"""The trials of a search, and the best of each objective."""

from __future__ import annotations

import json
import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genloss.comparison.numbers import Numbers
from genloss.comparison.runs import RunResult
from genloss.experiment.search import overrides
from genloss.experiment.sweep import labels
from genloss.record.events import Status
from genloss.text import count_of

FRESH_SEEDS = 8
"""Enough for five comparisons; see statistics.py."""


@dataclass(frozen=True)
class Trials:
    """The trials of an objective, each by the name that it has as an objective of its own.

    Attributes:
        objective: as the experiment has it.
        finished: with their values, the best first.
        pruned: those that were ended early.
        failed: those with a run that failed, or that has no finite value.
        left: those that have not ended, or not begun.
    """

    objective: str
    finished: Mapping[str, float]
    pruned: tuple[str, ...]
    failed: tuple[str, ...]
    left: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, the best first."""
        return (*self.finished, *self.pruned, *self.failed, *self.left)

    def lost(self) -> str:
        """`8 pruned, 1 failed`: how many have no value, and why."""
        counts = {"pruned": self.pruned, "failed": self.failed, "not ended": self.left}
        return ", ".join(f"{len(names):,} {word}" for word, names in counts.items() if names)


@dataclass(frozen=True)
class Best:
    """The best trial of an objective.

    Attributes:
        objective: the objective, as the experiment has it.
        name: the trial's, as an objective of its own.
        trial: the trial's number.
        metric: what was to be bettered.
        value: the metric's, the mean over the seeds.
        trials: all of the objective.
        seeds: those that it was trained with.
        point: its values, by dotted path.
        overrides: its values, as `--set` takes them.
        command: the shell's line that trains it with fresh seeds; empty if it is not known.
    """

    objective: str
    name: str
    trial: int
    metric: str
    value: float
    trials: Trials
    seeds: tuple[int, ...]
    point: Mapping[str, Any]
    overrides: tuple[str, ...]
    command: str


def trials(comparison: Numbers) -> tuple[Trials, ...]:
    """The trials of each objective that was searched; the best are those with the best mean over the seeds in
    the comparison's metric.
    """
    runs: dict[str, list[RunResult]] = {objective: [] for objective in comparison.objectives}
    for run in comparison.runs:
        if run.trial is not None:
            runs[run.objective].append(run)
    by_base: dict[str, dict[str, list[RunResult]]] = {}
    for objective, own in runs.items():
        if own:
            by_base.setdefault(own[0].base, {})[objective] = own
    return tuple(_trials(comparison, base, own) for base, own in by_base.items())


def best(comparison: Numbers) -> tuple[Best, ...]:
    """The best trial of each objective that has one that finished."""
    return tuple(_best(comparison, each) for each in trials(comparison) if each.finished)


def ranked(comparison: Numbers) -> tuple[str, ...]:
    """The objectives in their order; the trials of a search the best first."""
    if not comparison.is_search:
        return comparison.objectives
    return tuple(name for each in trials(comparison) for name in each.names)


def values(point: Mapping[str, Any]) -> str:
    """`lr = 0.0212, weight = 0.5`: a trial's values in short."""
    names = labels(point)
    return ", ".join(f"{names[path]} = {_text(value)}" for path, value in point.items())


def chosen_by(found: Sequence[Best]) -> str:
    """`a single seed`, `the same 3 seeds`: what the best were chosen by."""
    counts = {len(each.seeds) for each in found}
    if counts == {1}:
        return "a single seed"
    return f"the same {count_of(counts.pop(), 'seed')}" if len(counts) == 1 else "a few seeds"


def _trials(comparison: Numbers, base: str, own: Mapping[str, Sequence[RunResult]]) -> Trials:
    finished: dict[str, float] = {}
    others: dict[str, list[str]] = {"pruned": [], "failed": [], "left": []}
    for name, runs in own.items():
        states = {run.status for run in runs}
        if Status.PRUNED in states:
            others["pruned"].append(name)
        elif Status.FAILED in states:
            others["failed"].append(name)
        elif states != {Status.FINISHED}:
            others["left"].append(name)
        else:
            value = statistics.fmean(run.metrics.get(comparison.metric, math.nan) for run in runs)
            if math.isfinite(value):
                finished[name] = value
            else:
                others["failed"].append(name)
    higher = (
        comparison.metric in comparison.metrics and comparison.metrics[comparison.metric].higher_is_better
    )
    ordered = sorted(finished, key=lambda name: -finished[name] if higher else finished[name])
    return Trials(
        base,
        {name: finished[name] for name in ordered},
        tuple(others["pruned"]),
        tuple(others["failed"]),
        tuple(others["left"]),
    )


def _best(comparison: Numbers, own: Trials) -> Best:
    name, value = next(iter(own.finished.items()))
    runs = comparison.of(name)
    return Best(
        objective=own.objective,
        name=name,
        trial=runs[0].trial or 0,
        metric=comparison.metric,
        value=value,
        trials=own,
        seeds=tuple(run.seed for run in runs),
        point=runs[0].point,
        overrides=tuple(overrides(own.objective, runs[0].point)),
        command=_with_fresh_seeds(runs),
    )


def _with_fresh_seeds(runs: Sequence[RunResult]) -> str:
    """The line that trains a trial with seeds that it was not chosen by."""
    last = max(run.seed for run in runs)
    fresh = [last + 1 + index for index in range(FRESH_SEEDS)]
    own = f"seeds=[{runs[0].seed}]"
    try:
        words = shlex.split(runs[0].reproduce)
    except ValueError:  # it was cut off
        return ""
    if own not in words:
        return ""
    return shlex.join(f"seeds={fresh}" if word == own else word for word in words)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
