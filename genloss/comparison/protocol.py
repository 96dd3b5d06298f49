"""What must be equal among runs that are compared, and how it is named where it is not.

Two runs are compared that were trained on the same data, with the same model, the same training and the same
evaluation, but for what an objective itself sets (by `with`, or as a point of a sweep).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from genloss.comparison.runs import RunResult
from genloss.comparison.studies import DECIDES, StudyRuns
from genloss.experiment.schema import CODE, CONTENT
from genloss.text import joined

INDIFFERENT = frozenset(
    {"objective", "seed", "training.checkpoint_every", "training.timeout", "evaluation.metrics"}
)
"""Of a configuration, what decides no number that is compared: each metric is looked at by itself."""

DATA = "the data's digest"
SHOWN = 12
"""Digits of a digest."""

Aspects = Mapping[str, str]
"""What a run is like, by what it is called."""


@dataclass(frozen=True)
class RunGroup:
    """Runs of a study and an objective that do not differ but for their seeds."""

    study: str
    objective: str
    aspects: Aspects
    sets: tuple[str, ...]

    def declares(self, aspect: str) -> bool:
        """Return whether the objective itself sets it."""
        if aspect == DATA:
            return any(path == "data" or path.startswith("data.") for path in self.sets)
        # MLflow's params have the options of an optimizer in a mapping of their own.
        key = aspect.replace(".options.", ".")
        # Who names another model or optimizer sets all of its options, too.
        paths = [path.removesuffix(".name") for path in self.sets]
        return any(key == path or key.startswith(f"{path}.") for path in paths)


@dataclass(frozen=True)
class Mismatch:
    """Something that is not the same everywhere.

    Attributes:
        aspect: what it is called.
        values: each with the kinds of runs that have it; None where it is not set.
        objective: the one that it is of, which several studies have under the same name.
    """

    aspect: str
    values: Mapping[str | None, Sequence[RunGroup]]
    objective: str = ""

    def __str__(self) -> str:
        studies = [list(dict.fromkeys(kind.study for kind in kinds)) for kinds in self.values.values()]
        by_study = sum(map(len, studies)) == len(set().union(*studies))
        said = []
        for (value, kinds), names in zip(self.values.items(), studies, strict=True):
            where = f"{'study' if len(names) == 1 else 'studies'} {joined([f'`{name}`' for name in names])}"
            if not by_study:
                where = joined([f"`{kind.objective}` of study `{kind.study}`" for kind in kinds])
            said.append(f"{'not set' if value is None else value} in {where}")
        name = _said(self.aspect)
        of = f" of objective `{self.objective}`" if self.objective else ""
        return f"{name}{of} is {', '.join(said[:-1])} and {said[-1]}"


def _said(aspect: str) -> str:
    """What an aspect is called in a sentence."""
    for end, what in ((CODE, "code"), (CONTENT, "content")):
        if aspect.endswith(f".{end}"):
            return f"the {what} of `{aspect.removesuffix(f'.{end}')}`"
    return aspect if " " in aspect else f"`{aspect}`"


def run_groups(studies: Iterable[StudyRuns], metrics: Iterable[str]) -> list[RunGroup]:
    """All kinds of runs, of those whose configuration is known.

    Args:
        studies: whose runs.
        metrics: that are compared.
    """
    wanted = list(metrics)
    found: dict[object, RunGroup] = {}
    for study in studies:
        own = {
            f"the {what} of the metric `{metric}`": of(study, metric)
            for metric in wanted
            for what, of in _METRIC.items()
        }
        for run in study.runs:
            if not run.configuration:
                continue
            kind = RunGroup(study.name, run.objective, {**_aspects(run), **own}, (*run.sets, *run.point))
            found.setdefault((study.name, run.objective, frozenset(kind.aspects.items())), kind)
    return list(found.values())


_METRIC: Mapping[str, Callable[[StudyRuns, str], str]] = {
    "version": lambda study, metric: study.metrics[metric].version,
    "unit": lambda study, metric: study.metrics[metric].unit,
    "better side": lambda study, metric: "higher" if study.metrics[metric].higher_is_better else "lower",
}


def _aspects(run: RunResult) -> dict[str, str]:
    found = {key: value for key, value in run.configuration.items() if key not in INDIFFERENT}
    found |= run.code
    if run.data_digest:
        found[DATA] = run.data_digest[:SHOWN]
    return found


def differences(found: Sequence[RunGroup]) -> list[Mismatch]:
    """What differs among runs whose objectives do not set it."""
    return _differences(
        found,
        lambda aspect: aspect.startswith((*DECIDES, "the ")),
        lambda kind, aspect: kind.declares(aspect),
    )


def other_configurations(found: Sequence[RunGroup]) -> dict[str, list[Mismatch]]:
    """By objective, what differs among the runs of several studies whose objectives have the same name."""
    apart = {}
    for objective in dict.fromkeys(kind.objective for kind in found):
        own = [kind for kind in found if kind.objective == objective]
        if differing := _differences(own, lambda _: True, lambda *_: False):
            apart[objective] = differing
    return apart


def _differences(
    found: Sequence[RunGroup], counts: Callable[[str], bool], passes: Callable[[RunGroup, str], bool]
) -> list[Mismatch]:
    """What differs of the aspects that count, among the kinds that may not differ in it."""
    listed = []
    for aspect in dict.fromkeys(aspect for kind in found for aspect in kind.aspects if counts(aspect)):
        values: dict[str | None, list[RunGroup]] = {}
        for kind in found:
            value = kind.aspects.get(aspect)
            if not passes(kind, aspect) and not _is_unknown(kind, aspect):
                values.setdefault(value, []).append(kind)
        if len(values) > 1:
            listed.append(Mismatch(aspect, values))
    return _without_details(listed)


def _is_unknown(kind: RunGroup, aspect: str) -> bool:
    """Return whether nothing can be said of it.

    Where a file lies is of no interest where it is known what is in it. Only some have what is of a metric
    that others do not measure.
    """
    if f"{aspect}.{CONTENT}" in kind.aspects:
        return True
    if aspect in kind.aspects:
        return False
    if aspect == DATA or aspect.endswith((f".{CODE}", f".{CONTENT}")):
        return True
    return aspect.startswith("evaluation.") and aspect.count(".") > 1


def _without_details(listed: Sequence[Mismatch]) -> list[Mismatch]:
    """Another model has other options, another term as well, and data of other options another digest."""
    wholes = [f.aspect.rpartition(".")[0] for f in listed if f.aspect.rpartition(".")[2] in ("name", "loss")]
    kept = [
        f
        for f in listed
        if f.aspect.rpartition(".")[2] in ("name", "loss")
        or not any(f.aspect.startswith(f"{whole}.") for whole in wholes)
    ]
    if any(f.aspect.startswith("data.") for f in kept):
        kept = [f for f in kept if f.aspect != DATA]
    return kept
