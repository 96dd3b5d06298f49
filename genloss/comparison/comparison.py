"""A comparison of objectives by metrics, over runs with paired seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genloss.comparison import answer, table, trials
from genloss.comparison.numbers import Numbers
from genloss.comparison.runs import Direction, RunResult
from genloss.comparison.statistics import compare_pairs, summarize
from genloss.comparison.studies import StudyRuns
from genloss.errors import RequestError, did_you_mean
from genloss.record.events import Status
from genloss.text import count_of

if TYPE_CHECKING:
    import pandas

    from genloss.comparison.trials import Best, Trials


@dataclass(frozen=True, repr=False)
class Comparison(Numbers):
    """Objectives compared by metrics, with the answer, tables and data frames.

    It has the attributes of `Numbers`.
    """

    def __repr__(self) -> str:
        by = f" by {self.metric}" if self.metric else ""
        return f"<comparison of {self.name}: {', '.join(self.objectives)}{by}>"

    def __str__(self) -> str:
        """As Markdown."""
        return table.markdown(self)

    def _repr_html_(self) -> str:
        """As notebooks show it."""
        return table.to_html(self)

    def answer(self) -> tuple[str, ...]:
        """Which objectives are better or worse than the baseline; what cannot be said, and what it takes."""
        return answer.answer(self)

    def trials(self) -> tuple[Trials, ...]:
        """Of a search, the trials of each objective."""
        return trials.trials(self)

    def best(self) -> tuple[Best, ...]:
        """Of a search, the best trial of each objective that has one that finished."""
        return trials.best(self)

    def ranked(self) -> tuple[str, ...]:
        """The objectives in their order; the trials of a search the best first."""
        return trials.ranked(self)

    def runs_frame(self) -> pandas.DataFrame:
        """A row a run and metric; a run that has no number of the metric has NaN."""
        from genloss.comparison.dataframes import runs_frame

        return runs_frame(self)

    def summaries_frame(self) -> pandas.DataFrame:
        """A row a metric and objective."""
        from genloss.comparison.dataframes import summaries_frame

        return summaries_frame(self)

    def differences_frame(self) -> pandas.DataFrame:
        """A row a metric and pair of objectives: those with the baseline, or all where that was asked for."""
        from genloss.comparison.dataframes import differences_frame

        return differences_frame(self)

    def costs_frame(self) -> pandas.DataFrame:
        """A row a run."""
        from genloss.comparison.dataframes import costs_frame

        return costs_frame(self)


def compare_study(
    study: StudyRuns,
    *,
    metric: str | None = None,
    baseline: str | None = None,
    pairs: bool = False,
    allowed: Sequence[str] = (),
) -> Comparison:
    """Compare the objectives of a study, or of several that were pooled; see `compare_runs`.

    Raises:
        RequestError: there is no such metric or baseline.
    """
    return compare_runs(
        study.runs,
        name=study.name,
        description=study.description,
        objectives=study.objectives,
        baseline=study.baseline if baseline is None else baseline,
        metrics=study.metrics,
        metric=study.metric or None if metric is None else metric,
        references=study.references,
        pairs=pairs,
        allowed=allowed,
        notes=study.notes,
    )


def compare_runs(
    runs: Sequence[RunResult],
    *,
    name: str,
    objectives: Sequence[str],
    baseline: str,
    metrics: Mapping[str, Direction],
    description: str = "",
    metric: str | None = None,
    references: Mapping[str, float] | None = None,
    pairs: bool = False,
    allowed: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Comparison:
    """Compare objectives by the numbers of their runs.

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
        references: what real data gets in place of samples, by metric.
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
    searched = {run.objective for run in runs if run.trial is not None}
    wanted = [pair for pair in _pairs(objectives, baseline, every=pairs) if searched.isdisjoint(pair)]
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
        references or {},
        tuple(runs),
        summaries,
        tuple(to_baseline),
        tuple(between),
        tuple(allowed),
        (*notes, *_skipped(runs)),
    )


def _skipped(runs: Iterable[RunResult]) -> list[str]:
    """Notes about updates that were skipped."""
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


def _numbers(runs: Sequence[RunResult], objective: str, metric: str) -> dict[int, float]:
    """What the objective's finished runs got, by seed; NaN where a run has no number."""
    return {
        run.seed: run.metrics.get(metric, math.nan)
        for run in runs
        if run.objective == objective and run.status == Status.FINISHED
    }


def _pairs(objectives: Sequence[str], baseline: str, *, every: bool) -> list[tuple[str, str]]:
    """The pairs that are compared: with the baseline first, which is always the other; then the rest."""
    others = [objective for objective in objectives if objective != baseline]
    rest = [(one, other) for index, other in enumerate(others) for one in others[index + 1 :]]
    return [(one, baseline) for one in others] + (rest if every else [])
