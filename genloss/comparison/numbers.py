"""The numbers of a comparison: runs, summaries and differences, without their presentation."""

from __future__ import annotations

import math
import statistics as medians
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from genloss.comparison.runs import Cost, Direction, RunResult
from genloss.comparison.statistics import Difference, Summary
from genloss.record.events import Status
from genloss.text import joined, without_numbers


@dataclass(frozen=True)
class Numbers:
    """The runs of objectives, and the statistics of their metrics.

    Attributes:
        name: the study's, or the experiment's where there are several studies.
        description: what the experiment asks.
        studies: whose runs these are.
        objectives: in the order of the experiment.
        baseline: the objective that the others are compared with.
        metrics: with their directions, in the order of the evaluation.
        metric: the one that the answer is about; empty where there is none.
        references: what real data gets in place of samples, by metric, where that is known.
        runs: all of them, however they ended.
        summaries: by metric and objective.
        differences: of each objective to the baseline, in every metric.
        pairs: between all objectives, where that was asked for.
        allowed: what differs among the runs besides what their objectives say, in words.
        notes: what else there is to know of how the runs were found and joined, in words.
    """

    name: str
    description: str
    studies: tuple[str, ...]
    objectives: tuple[str, ...]
    baseline: str
    metrics: Mapping[str, Direction]
    metric: str
    references: Mapping[str, float]
    runs: tuple[RunResult, ...]
    summaries: Mapping[str, Mapping[str, Summary]]
    differences: tuple[Difference, ...]
    pairs: tuple[Difference, ...] = ()
    allowed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_search(self) -> bool:
        """Whether all objectives are trials of a search."""
        return bool(self.runs) and all(run.trial is not None for run in self.runs)

    def only(self, objectives: Sequence[str]) -> Self:
        """The numbers of some objectives only, without comparisons."""
        runs = tuple(run for run in self.runs if run.objective in objectives)
        baseline = objectives[0] if objectives else self.baseline
        return replace(
            self, objectives=tuple(objectives), baseline=baseline, runs=runs, differences=(), pairs=()
        )

    def of(self, objective: str) -> list[RunResult]:
        """The objective's runs."""
        return [run for run in self.runs if run.objective == objective]

    def finished(self, objective: str) -> list[RunResult]:
        return [run for run in self.of(objective) if run.status == Status.FINISHED]

    def unfinished(self) -> list[RunResult]:
        """The runs that have not finished; runs that a search pruned count as finished."""
        return [run for run in self.runs if not Status(run.status).is_done]

    def failures(self) -> list[list[RunResult]]:
        """The runs that failed, those together that failed alike, whatever the numbers in their messages."""
        return _alike(run for run in self.runs if run.status == Status.FAILED)

    def missing(self) -> list[list[RunResult]]:
        """The runs that neither finished nor failed, those together that ended alike."""
        return _alike(run for run in self.unfinished() if run.status != Status.FAILED)

    def not_finite(self, metric: str) -> list[RunResult]:
        """The runs that finished without a finite number of the metric, and are not in its mean."""
        return [
            run
            for run in self.runs
            if run.status == Status.FINISHED and not math.isfinite(run.metrics.get(metric, math.nan))
        ]

    def named(self, runs: Sequence[RunResult]) -> str:
        """The runs' names, with their studies' where there are several; of many runs the first, and how many
        more.
        """
        several = len(self.studies) > 1
        return joined([f"`{run.name}` of `{run.study}`" if several else f"`{run.name}`" for run in runs])

    def difference(self, objective: str, metric: str | None = None) -> Difference | None:
        """The objective's difference to the baseline, in the comparison's metric or in another; None for the
        baseline itself.
        """
        wanted = metric or self.metric
        return next((d for d in self.differences if (d.objective, d.metric) == (objective, wanted)), None)

    def cost(self, objective: str) -> Cost:
        """What one run of the objective used: medians over those that finished; over all, if none did."""
        runs = self.finished(objective) or self.of(objective)
        costs = [run.cost for run in runs] or [Cost()]
        players = dict.fromkeys(player for cost in costs for player in cost.updates)
        memory = [cost.peak_memory for cost in costs if cost.peak_memory is not None]
        seconds = [cost.seconds for cost in costs if not math.isnan(cost.seconds)]
        return Cost(
            medians.median_low([cost.steps for cost in costs]),
            {player: medians.median_low([c.updates.get(player, 0) for c in costs]) for player in players},
            medians.median(seconds) if seconds else math.nan,
            medians.median_low(memory) if memory else None,
            ", ".join(dict.fromkeys(cost.device for cost in costs if cost.device)),
        )


def _alike(runs: Iterable[RunResult]) -> list[list[RunResult]]:
    """The runs by how they ended, whatever the numbers in their messages."""
    alike: dict[tuple[str, str], list[RunResult]] = {}
    for run in runs:
        alike.setdefault((run.status, without_numbers(run.message)), []).append(run)
    return list(alike.values())
