"""Pooling the runs of several studies with the same protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from genloss.comparison.protocol import Mismatch, RunGroup, differences, other_configurations, run_groups
from genloss.comparison.runs import Direction, RunResult
from genloss.comparison.studies import StudyRuns
from genloss.errors import RequestError
from genloss.record.events import Status
from genloss.text import joined

MOST = 4
"""Differences that a message names."""

ENDED = (Status.FINISHED, Status.FAILED)


def unite(
    studies: Sequence[StudyRuns], *, allow_differences: bool = False
) -> tuple[StudyRuns, tuple[str, ...]]:
    """The runs of several studies as if they were of one; and what differs among them, in words.

    The seeds of objectives with the same name and configuration are pooled. If several studies have the same
    seed, the newest run that has ended is used. Metrics that not all studies have are left out.

    Args:
        studies: one at least, in their order.
        allow_differences: whether runs are compared that differ in what should be equal. Objectives of the
            same name that differ are kept apart then, with their studies' names.

    Raises:
        RequestError: they differ, and that is not allowed; or they have no metric in common.
    """
    metrics, notes = _common_metrics(studies)
    found, apart = _found(run_groups(studies, metrics))
    if found and not allow_differences:
        raise _refusal(studies, metrics, found)
    # Nothing is compared with a trial.
    newest = max(studies, key=lambda study: (not study.is_search, study.created))
    baseline = _apart(newest.baseline, newest.name) if newest.baseline in apart else newest.baseline
    if any(study.baseline != newest.baseline for study in studies):
        notes.append(f"the baseline is `{newest.baseline}`, as in study `{newest.name}`")
    runs = _without_twins([_renamed(study, apart) for study in studies], notes)
    together = len({study.experiment for study in studies}) == 1
    united = StudyRuns(
        name=_name(studies),
        created=max(study.created for study in studies),
        experiment=newest.experiment,
        description=newest.description if together else "",
        objectives=tuple(
            dict.fromkeys(
                _apart(objective, study.name) if objective in apart else objective
                for study in studies
                for objective in study.objectives
            )
        ),
        baseline=baseline,
        metrics=metrics,
        references=_references(studies, metrics, notes),
        runs=runs,
        notes=(*dict.fromkeys([*(note for study in studies for note in study.notes), *notes]),),
        metric=next((study.metric for study in studies if study.metric in metrics), ""),
    )
    return united, tuple(map(str, found))


def _found(listed: Sequence[RunGroup]) -> tuple[list[Mismatch], set[str]]:
    """All that differs and may not; and the objectives that are not the same wherever they bear one name."""
    found = differences(listed)
    named = {each.aspect for each in found}
    by_objective = other_configurations(listed)
    for objective, others in by_objective.items():
        for each in others:
            if each.aspect not in named:
                named.add(each.aspect)
                found.append(Mismatch(each.aspect, each.values, objective))
    # Of a single study, no name would tell them apart.
    several = len({kind.study for kind in listed}) > 1
    return found, set(by_objective) if several else set()


def _refusal(
    studies: Sequence[StudyRuns], metrics: Mapping[str, Direction], found: Sequence[Mismatch]
) -> RequestError:
    said = "; ".join(map(str, found[:MOST]))
    if len(found) > MOST:
        said += f"; and {len(found) - MOST} more"
    allow = "`--allow-differences` compares them nevertheless, and names what differs"
    agreeing: list[StudyRuns] = []
    for study in sorted(studies, key=lambda study: study.created, reverse=True):
        if not _found(run_groups([*agreeing, study], metrics))[0]:
            agreeing.append(study)
    if 0 < len(agreeing) < len(studies):
        names = [study.name for study in studies if study in agreeing]
        what = (
            "compares those that agree" if len(names) > 1 else "compares the objectives of the newest alone"
        )
        return RequestError(
            f"these runs cannot be compared: {said}",
            hint=f"`genloss compare {' '.join(names)}` {what}; {allow}",
        )
    return RequestError(f"these runs cannot be compared: {said}", hint=allow)


def _common_metrics(studies: Sequence[StudyRuns]) -> tuple[dict[str, Direction], list[str]]:
    """The metrics that all studies have, and a word on the others."""
    everywhere = {
        name: direction
        for name, direction in studies[0].metrics.items()
        if all(name in study.metrics for study in studies)
    }
    left = dict.fromkeys(name for study in studies for name in study.metrics if name not in everywhere)
    if left and not everywhere:
        listed = "; ".join(f"study `{s.name}`: {joined(list(s.metrics)) or 'none'}" for s in studies)
        raise RequestError(
            f"these studies have no metric in common: {listed}",
            hint="run them with the same `evaluation.metrics`",
        )
    if not left:
        return everywhere, []
    names = joined([f"`{name}`" for name in left])
    return everywhere, [f"left out, as not all studies have them: {names}"]


def _renamed(study: StudyRuns, apart: set[str]) -> StudyRuns:
    """The study with its name in the names of the objectives that are kept apart."""
    return replace(
        study,
        runs=tuple(
            replace(run, objective=_apart(run.objective, study.name)) if run.objective in apart else run
            for run in study.runs
        ),
    )


def _apart(objective: str, study: str) -> str:
    return f"{objective} ({study})"


def _without_twins(studies: Sequence[StudyRuns], notes: list[str]) -> tuple[RunResult, ...]:
    """All runs, but for those of a seed that several studies have."""
    chosen: dict[tuple[str, int], tuple[tuple[bool, int], RunResult]] = {}
    twins: dict[str, set[int]] = {}
    for study in studies:
        for run in study.runs:
            key, rank = (run.objective, run.seed), (run.status in ENDED, study.created)
            if key in chosen:
                twins.setdefault(run.objective, set()).add(run.seed)
            if key not in chosen or rank > chosen[key][0]:
                chosen[key] = (rank, run)
    if twins:
        listed = joined([f"{_seeds(sorted(seeds))} of `{name}`" for name, seeds in twins.items()])
        notes.append(f"in several studies: {listed}; of each, the newest run that has ended counts")
    return tuple(run for _, run in chosen.values())


def _seeds(seeds: Sequence[int]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {joined(list(map(str, seeds)))}"


def _references(
    studies: Sequence[StudyRuns], metrics: Mapping[str, Direction], notes: list[str]
) -> dict[str, float]:
    """The newest reference of each metric."""
    references: dict[str, float] = {}
    differing = []
    for study in sorted(studies, key=lambda study: study.created):
        for name, reference in study.references.items():
            if name in metrics:
                if references.setdefault(name, reference) != reference:
                    differing.append(name)
                references[name] = reference
    if differing:
        listed = joined([f"`{name}`" for name in dict.fromkeys(differing)])
        notes.append(f"the studies' references differ of {listed}; the newest study's is shown")
    return references


def _name(studies: Sequence[StudyRuns]) -> str:
    if len(studies) == 1:
        return studies[0].name
    experiments = list(dict.fromkeys(study.experiment for study in studies))
    return joined(experiments)
