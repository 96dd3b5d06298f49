"""`genloss.compare`: find studies, read them, check that they are comparable, and compare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from genloss.errors import MissingStoreError, RecordError, RequestError, TrackingError, did_you_mean
from genloss.record.folder import ROOT, StudyFolder, latest_study

if TYPE_CHECKING:
    from genloss.comparison.artifacts import Artifacts, Origin
    from genloss.comparison.comparison import Comparison
    from genloss.comparison.run_journal import Line
    from genloss.comparison.runs import RunResult
    from genloss.comparison.studies import StudyRuns
    from genloss.launch.result import StudyResult
    from genloss.tracking.from_mlflow import Reader


def compare(
    *what: str | Path | StudyResult | Sequence[str | Path | StudyResult],
    metric: str | None = None,
    baseline: str | None = None,
    pairs: bool = False,
    tracking_uri: str | None = None,
    allow_differences: bool = False,
) -> Comparison:
    """Compare objectives by metrics, over paired seeds: within a study, or within several that agree.

    A study of this folder is read from its records; any other one, and all studies of an MLflow experiment,
    from MLflow. Objectives of several studies that have the same name and configuration are joined, and their
    seeds united.

        comparison = genloss.compare("gan-losses-20250131-093000")
        print(*comparison.answer(), comparison, sep="\\n")
        comparison.differences_frame()  # tidy, for pandas

    Args:
        what: studies, each by its name, its folder or its result; and names of MLflow experiments; or lists
            of them. The last study of this folder by default.
        metric: the one that the answer is about; the first of the evaluation by default.
        baseline: the objective that the others are compared with; the experiment's by default.
        pairs: whether all pairs of objectives are compared, too.
        tracking_uri: of MLflow's store, from which all is read then; by default, MLflow's own setting is for
            what is not in this folder.
        allow_differences: whether runs are compared whose data, model, training or evaluation differ though
            no objective sets that.

    Raises:
        RequestError: there is no such study, objective or metric; or they cannot be compared.
        RecordError: a study's folder is damaged.
        TrackingError: MLflow's store cannot be used, or does not answer.
    """
    return gather(*what, tracking_uri=tracking_uri).compare(
        metric=metric, baseline=baseline, pairs=pairs, allow_differences=allow_differences
    )


@dataclass(frozen=True)
class Gathered:
    """Studies that were read, and where.

    Attributes:
        studies: in the order in which they were named.
        folders: of those that were read from their records.
        readers: that the others were read with, each with the names of its studies.
    """

    studies: tuple[StudyRuns, ...]
    folders: tuple[StudyFolder, ...] = ()
    readers: tuple[tuple[Reader, frozenset[str]], ...] = ()

    def compare(
        self,
        *,
        metric: str | None = None,
        baseline: str | None = None,
        pairs: bool = False,
        allow_differences: bool = False,
    ) -> Comparison:
        """The comparison of them all; see the function `compare`.

        Raises:
            RequestError: there is no such objective or metric, or they cannot be compared.
        """
        from genloss.comparison.comparison import compare_study
        from genloss.comparison.pooling import unite

        study, allowed = unite(self.studies, allow_differences=allow_differences)
        if metric is not None and metric not in study.metrics and "/" in metric:
            if metric.startswith("eval/"):
                raise RequestError(
                    f"there is no metric `{metric}`",
                    hint=did_you_mean(metric.removeprefix("eval/"), study.metrics),
                )
            raise RequestError(
                f"`{metric}` is not a metric: values of different losses cannot be compared",
                hint=did_you_mean(metric.rpartition("/")[2], study.metrics),
            )
        found = compare_study(study, metric=metric, baseline=baseline, pairs=pairs, allowed=allowed)
        return replace(found, studies=tuple(study.name for study in self.studies))

    def artifacts(self, runs: Sequence[RunResult]) -> Artifacts:
        """Where a report of these runs has its curves, pictures and texts from."""
        from genloss.comparison.artifacts import RecordArtifacts

        places: list[tuple[frozenset[str], Artifacts]] = []
        if self.folders:
            here = {run.study for run in runs if run.folder is not None}
            places.append((frozenset(here), RecordArtifacts(*self.folders)))
        for reader, studies in self.readers:
            from genloss.tracking.artifacts import MlflowArtifacts

            there = [run for run in runs if run.study in studies and run.folder is None]
            places.append((studies, MlflowArtifacts(reader.client, there)))
        return places[0][1] if len(places) == 1 else PooledArtifacts(places)


class PooledArtifacts:
    """The artifacts of runs that are in several places.

    Args:
        places: each with the names of the studies that it is asked for.
    """

    def __init__(self, places: Sequence[tuple[frozenset[str], Artifacts]]) -> None:
        self._places = places

    def evaluations(self, run: RunResult) -> Mapping[str, tuple[Sequence[int], Sequence[float]]]:
        """The numbers of the evaluations by key: steps, and values."""
        return self._of(run).evaluations(run)

    def losses(self, run: RunResult) -> Mapping[str, Line]:
        """What each step recorded, by key."""
        return self._of(run).losses(run)

    def pictures(self, run: RunResult) -> Mapping[int, Path]:
        """The pictures of samples by step."""
        return self._of(run).pictures(run)

    def texts(self, run: RunResult) -> Mapping[int, str]:
        """Samples of text by step."""
        return self._of(run).texts(run)

    def origins(self) -> Sequence[Origin]:
        """Of each study, where it comes from."""
        return [origin for _, artifacts in self._places for origin in artifacts.origins()]

    def _of(self, run: RunResult) -> Artifacts:
        return next(artifacts for studies, artifacts in self._places if run.study in studies)


def gather(
    *what: str | Path | StudyResult | Sequence[str | Path | StudyResult], tracking_uri: str | None = None
) -> Gathered:
    """Find and read studies.

    Args:
        what: see `compare`.
        tracking_uri: see `compare`.

    Raises:
        RequestError: there is no such study or experiment.
        RecordError: a study's folder is damaged.
        TrackingError: MLflow's store cannot be used, or does not answer.
    """
    from genloss.comparison.from_records import read_study

    found: dict[tuple[str, int], StudyRuns] = {}
    folders: dict[tuple[str, int], StudyFolder] = {}
    readers: dict[str, Reader] = {}
    read: dict[str, set[str]] = {}
    for name in [one for each in what for one in _listed(each)] or _last(tracking_uri):
        folder = _folder(name)
        if folder is not None and tracking_uri is None:
            study = read_study(folder)
            key = (study.name, study.created)
            if found.setdefault(key, study) is study:
                folders[key] = folder
            continue
        wanted = str(name) if folder is None else folder.name
        uri = tracking_uri or _uri(wanted)
        for study in _from_mlflow(wanted, uri, readers):
            key = (study.name, study.created)
            if found.setdefault(key, study) is study:
                read.setdefault(uri or "", set()).add(study.name)
    return Gathered(
        tuple(found.values()),
        tuple(folders.values()),
        tuple((readers[uri], frozenset(names)) for uri, names in read.items()),
    )


def _listed(
    what: str | Path | StudyResult | Sequence[str | Path | StudyResult],
) -> Sequence[str | Path | StudyResult]:
    """One study or several.

    Raises:
        RequestError: it is neither.
    """
    from genloss.launch.result import StudyResult

    if isinstance(what, str | Path | StudyResult):
        return [what]
    if isinstance(what, list | tuple):
        return [one for each in what for one in _listed(each)]
    raise RequestError(
        f"expected a study's name, folder or result, got an object of the type `{type(what).__name__}`",
        hint="as in `genloss.compare('gan-losses-20250131-093000')`",
    )


def _last(tracking_uri: str | None) -> tuple[str | Path, ...]:
    """The last study of this folder; in a store that is named, its own last one where there is none here."""
    latest = latest_study()
    if latest is not None:
        return (latest.path,)
    if tracking_uri is not None:
        return (LAST,)
    raise RequestError(
        "there is no study in this folder",
        hint="`genloss run EXPERIMENT` makes one; `genloss compare EXPERIMENT` is of what MLflow has",
    )


LAST = ""
"""Stands for the last study of a store."""


def _folder(name: str | Path | StudyResult) -> StudyFolder | None:
    """The folder of a study, if it is here.

    Raises:
        RequestError: a folder is named that is not a study's.
    """
    if not isinstance(name, str | Path):
        return StudyFolder.find(name.folder)
    try:
        return StudyFolder.find(name)
    except RequestError:
        if isinstance(name, Path) or "/" in name:
            raise
        return None


def _uri(experiment: str) -> str | None:
    """The store of the newest study here of that experiment; None where there is none.

    Raises:
        TrackingError: nothing but the studies themselves names their stores.
    """
    from genloss.tracking import allowed

    own: list[tuple[int, str]] = []
    refusal: TrackingError | None = None
    for path in ROOT.glob("*/study.json"):
        folder = StudyFolder(path.parent)
        with suppress(RecordError):
            content = folder.read()
            created = content.get("created", 0)
            if content.get("experiment_name") != experiment or not isinstance(created, int):
                continue
            try:
                own.append((created, allowed.store_of(folder, content)))
            except TrackingError as error:
                refusal = error
    if refusal is not None and not own:
        raise refusal
    return max(own)[1] if own else None


def _from_mlflow(name: str, uri: str | None, readers: dict[str, Reader]) -> list[StudyRuns]:
    from genloss.tracking import address
    from genloss.tracking.from_mlflow import Reader

    known = [path.parent.name for path in ROOT.glob("*/study.json")]
    try:
        if (uri or "") not in readers:
            readers[uri or ""] = Reader(address.resolve(uri))
    except MissingStoreError as error:
        if uri is not None or name == LAST:
            raise
        raise RequestError(
            f"there is no study `{name}` in this folder, and {error.message}", hint=did_you_mean(name, known)
        ) from error
    reader = readers[uri or ""]
    return reader.last() if name == LAST else reader.find(name, known)
