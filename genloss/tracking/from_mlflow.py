"""A study's runs from MLflow, as a comparison wants them: what records.py reads of a study's folder.

One search gives status, params, tags and the last value of each metric; no run's history is read.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy.exc
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from genloss.comparison.runs import Cost, RunResult
from genloss.comparison.studies import StudyRuns, updates
from genloss.errors import RequestError, TrackingError, did_you_mean
from genloss.experiment.schema import Run
from genloss.experiment.search import trial_of
from genloss.record.events import KILLED, Status
from genloss.record.parsing import LARGEST, whole
from genloss.record.state import skipped_updates
from genloss.tracking import address, store, tags
from genloss.tracking.rows import PEAK_MEMORY, SECONDS
from genloss.tracking.run_files import UNANSWERED
from genloss.tracking.tags import Protocol, Told
from genloss.tracking.target import SHORTENED
from genloss.tracking.views import SAMPLES, VIEW_TAG

PAGE = 250
"""Runs of one search: what MLflow holds of them while it answers is many times what is kept."""

NAME = re.compile(r"[A-Za-z0-9._-]+")
INFINITE = 1.79e308
"""What MLflow makes of infinite values that were logged by others."""

STUDIES_SHOWN = 200


class Reader:
    """Reads studies from a store.

    Args:
        uri: the store's address.

    Raises:
        TrackingError: it cannot be used, or does not answer.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with self._answering():
            self.client: MlflowClient = store.connect(uri, create=False)

    def find(self, name: str, known: Sequence[str] = ()) -> list[StudyRuns]:
        """The studies of an experiment in the order in which they were begun, or the study of that name.

        Args:
            name: of the experiment or the study.
            known: other names that may have been meant.

        Raises:
            RequestError: the store has neither.
            TrackingError: it does not answer, or the experiment was deleted.
        """
        with self._answering():
            experiment = store.find_experiment(self.client, name)
            if experiment is not None:
                return self._read_all(experiment.experiment_id, name)
            return self._read_study(name, known)

    def last(self) -> list[StudyRuns]:
        """The study that was begun last.

        Raises:
            RequestError: the store has none.
            TrackingError: it does not answer.
        """
        with self._answering():
            experiments = [found.experiment_id for found in self._experiments()]
            newest = self.client.search_runs(
                experiments,
                f"tags.`{tags.STUDY}` LIKE '%'",
                ViewType.ACTIVE_ONLY,
                1,
                ["attributes.start_time DESC"],
            )
            if not newest:
                raise RequestError(
                    f"the MLflow store `{address.without_secrets(self._uri)}` has no study of genloss"
                )
            return self._read_study(newest[0].data.tags[tags.STUDY].removesuffix(tags.DAMAGED), ())

    def _read_all(self, experiment_id: str, name: str) -> list[StudyRuns]:
        found = list(self._search([experiment_id]))
        ours = [run for run in found if tags.RUN in run.data.tags]
        reports = [run for run in found if tags.COMPARISON in run.data.tags]
        others = sum(
            run.info.lifecycle_stage == "active" and not run.data.tags.keys() & {tags.RUN, tags.COMPARISON}
            for run in found
        )
        notes = []
        if others:
            what = "run is" if others == 1 else "runs are"
            notes.append(
                f"left out: {others} {what} in the MLflow experiment `{name}` that genloss did not make"
            )
        studies = _studies(ours, self._references(reports), self, notes)
        if not studies:
            raise RequestError(
                f"the MLflow experiment `{name}` has no run of genloss", hint=notes[0] if notes else None
            )
        return studies

    def _read_study(self, name: str, others: Sequence[str]) -> list[StudyRuns]:
        experiments = self._experiments()
        ids = [found.experiment_id for found in experiments]
        runs: list[MlflowRun] = []
        if ids and NAME.fullmatch(name):
            runs = list(self._search(ids, f"tags.`{tags.STUDY}` = '{name}'"))
        studies = []
        if runs:
            within = list(dict.fromkeys(run.info.experiment_id for run in runs))
            reports = list(self._search(within, f"tags.`{tags.COMPARISON}` = '{name}'"))
            studies = _studies(runs, self._references(reports), self, [])
        if studies:
            return studies
        if runs:
            raise RequestError(f"all runs of study `{name}` were deleted in MLflow")
        known = [*others, *(found.name for found in experiments)]
        for found in experiments[:STUDIES_SHOWN]:
            views = [key.removeprefix(VIEW_TAG) for key in found.tags if key.startswith(VIEW_TAG)]
            known += [view for view in views if not view.endswith(SAMPLES)]
        raise RequestError(
            f"`{address.without_secrets(self._uri)}` has no MLflow experiment and no study `{name}`",
            hint=did_you_mean(name, set(known)),
        )

    def _experiments(self) -> list[Any]:
        found, token = [], None
        while True:
            page = self.client.search_experiments(page_token=token)
            found += list(page)
            token = page.token
            if not token:
                return found

    def _search(self, experiments: Sequence[str], wanted: str = "") -> Iterator[MlflowRun]:
        """The runs, those that were deleted among them, in the order in which they began."""
        token, seen = None, set()
        while True:
            page = self.client.search_runs(
                list(experiments), wanted, ViewType.ALL, PAGE, ["attributes.start_time ASC"], token
            )
            for run in page:
                if run.info.run_id not in seen:  # one was made while they were read
                    seen.add(run.info.run_id)
                    yield run
            token = page.token
            if not token:
                return

    def _references(self, reports: Sequence[MlflowRun]) -> dict[str, Mapping[str, float]]:
        """The references of each study, by the comparison run that was begun last."""
        references: dict[str, Mapping[str, float]] = {}
        for run in reports:
            text = run.data.tags.get(tags.REFERENCES)
            if run.info.lifecycle_stage == "active" and text is not None:
                found = tags.references(text)
                if found is not None:
                    references[run.data.tags[tags.COMPARISON]] = found
        return references

    def whole(self, run: MlflowRun) -> Run | None:
        """What was trained, from the artifact that has all of it; None where it is not there."""
        try:
            with tempfile.TemporaryDirectory(prefix="genloss-") as folder:
                artifacts = store.artifacts_of(self.client, run.info.run_id)
                path = Path(artifacts.download_artifacts("config.yaml", folder))
                return Run.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")), strict=False)
        except (*UNANSWERED, yaml.YAMLError, RecursionError):
            return None

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Report in a word that the store does not answer.

        Raises:
            TrackingError: it does not.
        """
        try:
            yield
        except (MlflowException, OSError, sqlalchemy.exc.SQLAlchemyError) as error:
            shown = address.without_secrets(self._uri)
            raise TrackingError(
                f"the MLflow store `{shown}` {store.trouble(error)}",
                hint="a study that was run in this folder is read without MLflow: `genloss compare STUDY`",
            ) from error


def _studies(
    runs: Sequence[MlflowRun],
    references: Mapping[str, Mapping[str, float]],
    reader: Reader,
    notes: Sequence[str],
) -> list[StudyRuns]:
    """The studies of some runs, in the order in which they were begun."""
    by_study: dict[str, list[MlflowRun]] = {}
    for run in runs:
        name = run.data.tags.get(tags.STUDY, "")
        if name and not name.endswith(tags.DAMAGED):
            by_study.setdefault(name, []).append(run)
    studies = [
        study
        for name, own in by_study.items()
        if (study := _study(name, own, references.get(name, {}), reader)) is not None
    ]
    studies.sort(key=lambda study: study.created)
    if studies and notes:
        studies[-1] = replace(studies[-1], notes=(*studies[-1].notes, *notes))
    return studies


def _study(
    name: str, runs: Sequence[MlflowRun], references: Mapping[str, float], reader: Reader
) -> StudyRuns | None:
    """A study; None if its runs were deleted, or their tags do not describe it."""
    notes: list[str] = []
    created = max(tags.created(run.data.tags) for run in runs)
    own = [run for run in runs if tags.created(run.data.tags) == created]
    if len(own) < len(runs):
        notes.append(f"left out: {len(runs) - len(own)} runs of an older study that is named `{name}`, too")
    active = {}
    for run in own:  # in the order in which they began: of two with one name, the later one counts
        if run.info.lifecycle_stage == "active":
            active[_name(run)] = run
    if not active:
        return None
    told = {key: tags.told(run.data.tags) for key, run in active.items()}
    protocols = [t.protocol for t in told.values() if t.protocol is not None]
    results = []
    for key, run in active.items():
        result = _result(run, told[key], reader)
        if result is None:
            notes.append(f"left out: `{key}`, of which MLflow does not say objective and seed")
        else:
            results.append(result)
    if not results or not protocols:
        return None
    objectives = _objectives(results, told, protocols)
    # The newest: a search adds to its objectives while it goes on.
    protocol = max(protocols, key=lambda protocol: len(protocol.objectives))
    results += _not_begun(results, protocol, {_name(run) for run in own})
    seeds = {seed: index for index, seed in enumerate(protocol.seeds)}
    order = {objective: index for index, objective in enumerate(objectives)}
    results.sort(
        key=lambda r: (seeds.get(r.seed, len(seeds)), r.seed if not seeds else 0, order[r.objective])
    )
    metrics, baseline = protocol.metrics, protocol.baseline
    return StudyRuns(
        name=name,
        created=created,
        experiment=protocol.experiment,
        description=protocol.description,
        objectives=objectives,
        baseline=baseline if baseline in objectives else objectives[0],
        metrics=metrics,
        references=references,
        runs=tuple(replace(result, study=name) for result in results),
        notes=tuple(notes),
        metric=protocol.metric if protocol.metric in metrics else "",
    )


def _name(run: MlflowRun) -> str:
    return run.data.tags.get(tags.RUN, "").rpartition("/")[2] or str(run.info.run_name)


def _result(run: MlflowRun, told: Told, reader: Reader) -> RunResult | None:
    """The run; None where MLflow does not say what it is of."""
    said, params = run.data.tags, dict(run.data.params)
    objective, seed = params.get("objective"), whole(params.get("seed", ""), tags.LARGEST_SEED)
    if not objective or seed is None:
        return None
    sets, base, point = told.sets, told.base, told.point
    if any(value.endswith(SHORTENED) for value in params.values()):
        complete = reader.whole(run)
        if complete is not None:
            params = complete.parameters()
    return RunResult(
        name=_name(run),
        objective=objective,
        seed=seed,
        status=_status(run),
        message=said.get(tags.MESSAGE, ""),
        hint=said.get("genloss.hint", ""),
        metrics={
            key.removeprefix("eval/"): value if abs(value) < INFINITE else math.nan
            for key, value in run.data.metrics.items()
            if key.startswith("eval/")
        },
        reproduce=said.get("genloss.reproduce", ""),
        cost=_cost(run, params),
        sets=sets,
        base=base,
        point=point,
        trial=told.trial,
        configuration=params,
        code=told.code,
        data_digest=told.protocol.data if told.protocol is not None else _digest(run),
        skipped=skipped_updates(run.data.metrics),
        run_id=run.info.run_id,
    )


def _status(run: MlflowRun) -> Status:
    """How the run stands; MLflow's own word is KILLED for what was interrupted and what was pruned."""
    mlflow = str(run.info.status)
    if mlflow == KILLED:
        return Status.PRUNED if run.data.tags.get(tags.STATUS) == Status.PRUNED else Status.INTERRUPTED
    return Status(mlflow) if mlflow in list(Status) else Status.NOT_STARTED


def _cost(run: MlflowRun, params: Mapping[str, str]) -> Cost:
    said, numbers = run.data.tags, run.data.metrics
    planned = params.get("training.steps", "0") if run.info.status == "FINISHED" else "0"
    steps = whole(said.get(tags.STEPS, planned)) or 0
    seconds = numbers.get(SECONDS, math.nan)
    if math.isnan(seconds) and run.info.end_time and said.get("genloss.attempt", "1") == "1":
        seconds = (run.info.end_time - run.info.start_time) / 1000
    memory = numbers.get(PEAK_MEMORY)
    return Cost(
        steps=steps,
        updates=updates(params, steps),
        seconds=seconds,
        peak_memory=int(memory) if memory is not None and 0 <= memory <= LARGEST else None,
        device=said.get("genloss.device_name", ""),
    )


def _digest(run: MlflowRun) -> str:
    """Of the data, as far as MLflow has it."""
    inputs = run.inputs.dataset_inputs if run.inputs is not None else []
    return next((str(each.dataset.digest) for each in inputs), "")


def _objectives(
    results: Sequence[RunResult], told: Mapping[str, Told], protocols: Sequence[Protocol]
) -> tuple[str, ...]:
    """In the order of the YAML, as far as it is known; else in that in which they began."""
    listed = max((protocol.objectives for protocol in protocols), key=len, default=())
    places = {
        result.objective: protocol.position
        for result in results
        if (protocol := told[result.name].protocol) is not None
    }
    rest = sorted(
        dict.fromkeys(result.objective for result in results if result.objective not in listed),
        key=lambda name: places.get(name, len(places)),
    )
    return (*listed, *rest)


def _not_begun(results: Sequence[RunResult], protocol: Protocol, there: set[str]) -> Iterator[RunResult]:
    """The runs that the study is to have, and MLflow has not: not even deleted."""
    like = {result.objective: result for result in results}
    # The other seeds of a trial that was pruned are never trained.
    pruned = {result.objective for result in results if result.status == Status.PRUNED}
    searched = any(result.trial is not None for result in results)
    for seed in protocol.seeds:
        for objective in protocol.objectives:
            name = f"{objective}-{seed}"
            if name in there or objective in pruned:
                continue
            result = RunResult(
                name=name,
                objective=objective,
                seed=seed,
                status=Status.NOT_STARTED,
                data_digest=protocol.data,
            )
            if searched and (trial := trial_of(objective)) is not None:
                result = replace(result, base=trial[0], trial=trial[1])
            if (sibling := like.get(objective)) is not None:
                configuration = {**sibling.configuration, "seed": str(seed)}
                result = replace(
                    result,
                    sets=sibling.sets,
                    base=sibling.base,
                    point=sibling.point,
                    configuration=configuration,
                    code=sibling.code,
                    cost=Cost(updates=updates(configuration, 0)),
                )
            yield result
