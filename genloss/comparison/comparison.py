"""A comparison of objectives by metrics, over runs with paired seeds."""

from __future__ import annotations

import math
import statistics as medians
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from genloss.comparison.runs import Cost, Direction, RunResult
from genloss.comparison.statistics import Difference, Summary, compare_pairs, summarize
from genloss.comparison.words import count_of, joined, without_numbers
from genloss.errors import RequestError, did_you_mean
from genloss.record.folder import DONE

if TYPE_CHECKING:
    import pandas

    from genloss.comparison.best import Best, Trials


@dataclass(frozen=True)
class Comparison:
    """Objectives, compared by metrics.

    Attributes:
        name: the study's, or the experiment's where there are several studies.
        description: what the experiment asks.
        studies: whose runs these are.
        objectives: in the order of the experiment.
        baseline: the objective that the others are compared with.
        metrics: with their directions, in the order of the evaluation.
        metric: the one that the answer is about; empty where there is none.
        floors: what a perfect model would get, where that is known.
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
    floors: Mapping[str, float]
    runs: tuple[RunResult, ...]
    summaries: Mapping[str, Mapping[str, Summary]]
    differences: tuple[Difference, ...]
    pairs: tuple[Difference, ...] = ()
    allowed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        by = f" by {self.metric}" if self.metric else ""
        return f"<comparison of {self.name}: {', '.join(self.objectives)}{by}>"

    def __str__(self) -> str:
        """As Markdown."""
        from genloss.comparison.table import markdown

        return markdown(self)

    def _repr_html_(self) -> str:
        """As notebooks show it."""
        from genloss.comparison.table import to_html

        return to_html(self)

    def answer(self) -> tuple[str, ...]:
        """Which objectives are better or worse than the baseline; what cannot be said, and what it takes."""
        from genloss.comparison.answer import answer

        return answer(self)

    @property
    def is_search(self) -> bool:
        """Whether all objectives are trials of a search."""
        return bool(self.runs) and all(run.trial is not None for run in self.runs)

    def trials(self) -> tuple[Trials, ...]:
        """Of a search, the trials of each objective."""
        from genloss.comparison.best import trials

        return trials(self)

    def best(self) -> tuple[Best, ...]:
        """Of a search, the best trial of each objective that has one that finished."""
        from genloss.comparison.best import best

        return best(self)

    def ranked(self) -> tuple[str, ...]:
        """The objectives in their order; the trials of a search the best first."""
        if not self.is_search:
            return self.objectives
        return tuple(name for each in self.trials() for name in each.names)

    def only(self, objectives: Sequence[str]) -> Comparison:
        """The numbers of some objectives alone, of which nothing is compared."""
        runs = tuple(run for run in self.runs if run.objective in objectives)
        baseline = objectives[0] if objectives else self.baseline
        return replace(
            self, objectives=tuple(objectives), baseline=baseline, runs=runs, differences=(), pairs=()
        )

    def of(self, objective: str) -> list[RunResult]:
        """The objective's runs."""
        return [run for run in self.runs if run.objective == objective]

    def finished(self, objective: str) -> list[RunResult]:
        return [run for run in self.of(objective) if run.status == "FINISHED"]

    def unfinished(self) -> list[RunResult]:
        """The runs that have an end to come to; those that a search pruned have come to theirs."""
        return [run for run in self.runs if run.status not in DONE]

    def failures(self) -> list[list[RunResult]]:
        """The runs that failed, those together that failed alike, whatever the numbers in their messages."""
        return _alike(run for run in self.runs if run.status == "FAILED")

    def missing(self) -> list[list[RunResult]]:
        """The runs that neither finished nor failed, those together that ended alike."""
        return _alike(run for run in self.unfinished() if run.status != "FAILED")

    def not_finite(self, metric: str) -> list[RunResult]:
        """The runs that finished without a finite number of the metric, and are not in its mean."""
        return [
            run
            for run in self.runs
            if run.status == "FINISHED" and not math.isfinite(run.metrics.get(metric, math.nan))
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

    def runs_frame(self) -> pandas.DataFrame:
        """A row a run and metric; a run that has no number of the metric has NaN."""
        from genloss.comparison.frames import runs_frame

        return runs_frame(self)

    def summaries_frame(self) -> pandas.DataFrame:
        """A row a metric and objective."""
        from genloss.comparison.frames import summaries_frame

        return summaries_frame(self)

    def differences_frame(self) -> pandas.DataFrame:
        """A row a metric and pair of objectives: those with the baseline, or all where that was asked for."""
        from genloss.comparison.frames import differences_frame

        return differences_frame(self)

    def costs_frame(self) -> pandas.DataFrame:
        """A row a run."""
        from genloss.comparison.frames import costs_frame

        return costs_frame(self)


def compare_runs(
    runs: Sequence[RunResult],
    *,
    name: str,
    objectives: Sequence[str],
    baseline: str,
    metrics: Mapping[str, Direction],
    description: str = "",
    metric: str | None = None,
    floors: Mapping[str, float] | None = None,
    pairs: bool = False,
    allowed: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Comparison:
    """Compares objectives by the numbers of their runs.

    Runs that did not finish, and numbers that are not finite, are in no mean; two objectives are compared
    over the seeds that both have. Holm's correction is over the comparisons within a metric: those with the
    baseline, or all pairs where these are asked for. Trials of a search are compared with nothing: which of
    them are of interest is chosen by the very numbers that would be compared.

    Args:
        runs: of all objectives, those that failed among them; each has another objective or another seed.
        name: the study's, or the experiment's.
        objectives: in their order.
        baseline: one of them.
        metrics: with their directions.
        description: what the experiment asks.
        metric: the one that the answer is about; the first by default.
        floors: what a perfect model would get, by metric.
        pairs: whether all pairs are compared.
        allowed: what differs among the runs besides what their objectives say, in words.
        notes: what there is to know of how the runs were found, in words.

    Raises:
        RequestError: there is no such baseline or metric, or two runs have the same objective and seed.
    """
    if baseline not in objectives:
        raise RequestError(
            f"there is no objective `{baseline}`", hint=did_you_mean(baseline, list(objectives))
        )
    if metric is not None and metric not in metrics:
        raise RequestError(f"there is no metric `{metric}`", hint=did_you_mean(metric, list(metrics)))
    seen: dict[tuple[str, int], RunResult] = {}
    for run in runs:
        if (twin := seen.setdefault((run.objective, run.seed), run)) is not run:
            raise RequestError(
                f"`{twin.name}` of `{twin.study}` and `{run.name}` of `{run.study}` are both objective "
                f"`{run.objective}` with seed {run.seed}",
                hint="compare studies whose objectives or seeds differ",
            )
    trials = {run.objective for run in runs if run.trial is not None}
    wanted = [pair for pair in _pairs(objectives, baseline, every=pairs) if trials.isdisjoint(pair)]
    summaries, to_baseline, between = {}, [], []
    for one, direction in metrics.items():
        numbers = {o: _numbers(runs, o, one) for o in objectives}
        higher = direction.higher_is_better
        summaries[one] = {
            o: summarize(list(by_seed.values()), higher_is_better=higher) for o, by_seed in numbers.items()
        }
        finite = {o: {s: v for s, v in by.items() if math.isfinite(v)} for o, by in numbers.items()}
        found = compare_pairs(one, finite, wanted, higher_is_better=higher)
        to_baseline += [difference for difference in found if difference.other == baseline]
        between += list(found) if pairs else []
    return Comparison(
        name,
        description,
        tuple(dict.fromkeys(run.study for run in runs)),
        tuple(objectives),
        baseline,
        metrics,
        metric or next(iter(metrics), ""),
        floors or {},
        tuple(runs),
        summaries,
        tuple(to_baseline),
        tuple(between),
        tuple(allowed),
        (*notes, *_skipped(runs)),
    )


def _skipped(runs: Iterable[RunResult]) -> list[str]:
    """What is to be told of updates that were skipped."""
    counts: dict[tuple[str, str], list[int]] = {}
    for run in runs:
        for player, count in run.skipped.items():
            found = counts.setdefault((run.objective, player), [0, 0, 0])
            for index, value in enumerate((count, run.cost.updates.get(player, 0), 1)):
                found[index] += value
    return [
        f"`{objective}`: {skipped} of {updates} updates of `{player}` were skipped in "
        f"{count_of(affected, 'run')}: gradients not finite"
        for (objective, player), (skipped, updates, affected) in counts.items()
    ]


def _alike(runs: Iterable[RunResult]) -> list[list[RunResult]]:
    """The runs by how they ended, whatever the numbers in their messages."""
    alike: dict[tuple[str, str], list[RunResult]] = {}
    for run in runs:
        alike.setdefault((run.status, without_numbers(run.message)), []).append(run)
    return list(alike.values())


def _numbers(runs: Sequence[RunResult], objective: str, metric: str) -> dict[int, float]:
    """What the objective's finished runs got, by seed; NaN where a run has no number."""
    return {
        run.seed: run.metrics.get(metric, math.nan)
        for run in runs
        if run.objective == objective and run.status == "FINISHED"
    }


def _pairs(objectives: Sequence[str], baseline: str, *, every: bool) -> list[tuple[str, str]]:
    """The pairs that are compared: with the baseline first, which is always the other; then the rest."""
    others = [objective for objective in objectives if objective != baseline]
    rest = [(one, other) for index, other in enumerate(others) for one in others[index + 1 :]]
    return [(one, baseline) for one in others] + (rest if every else [])
