"""Reading a study's runs from its records."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genloss.comparison.runs import Cost, RunResult
from genloss.comparison.runs import directions as read_directions
from genloss.comparison.studies import StudyRuns, updates
from genloss.errors import RecordError
from genloss.experiment.schema import Run
from genloss.record.cursor import Cursor
from genloss.record.events import SILENT, Status
from genloss.record.folder import StudyFolder, read_state
from genloss.record.parsing import Fields
from genloss.record.state import RunState

if TYPE_CHECKING:
    from genloss.comparison.comparison import Comparison


def comparison_of(folder: StudyFolder) -> Comparison:
    """The comparison of a study, from its records.

    Raises:
        RecordError: the study's folder is damaged.
    """
    from genloss.comparison.comparison import compare_study

    return compare_study(read_study(folder))


def read_study(folder: StudyFolder) -> StudyRuns:
    """A study's runs, from its records.

    Raises:
        RecordError: the study's folder is damaged.
    """
    content = folder.read()
    try:
        experiment = content["experiment"]
        directions = read_directions(Fields(content["metrics"]))
        planned = [_planned(folder, run) for run in content["runs"]]
        digest = content["data"]["digest"]
        objectives = tuple(dict.fromkeys(run.objective.name for run in planned))
        baseline = experiment["baseline"]
        if not planned:
            raise ValueError("it has no runs")
        created, name, within = content["created"], content["study"], content["experiment_name"]
        description = experiment["description"]
        search = experiment.get("search") or {}
        metric = str(search.get("metric", ""))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"`{folder.study}` is damaged: {error!r}") from error
    references, notes = _references(folder)
    runs = [replace(_result(folder, run), study=name, data_digest=digest) for run in planned]
    return StudyRuns(
        name=name,
        created=created,
        experiment=within,
        description=description,
        objectives=objectives,
        baseline=baseline if baseline in objectives else objectives[0],
        metrics=directions,
        references=references,
        runs=tuple(runs),
        notes=notes,
        metric=metric if metric in directions else "",
    )


def _planned(folder: StudyFolder, content: Mapping[str, Any]) -> Run:
    """The planned run from its own folder, with a trial's values, or else from study.json."""
    try:
        return Run.model_validate_json(folder.run(content["name"]).run.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Run.model_validate_json(json.dumps(content))


def _references(folder: StudyFolder) -> tuple[dict[str, float], tuple[str, ...]]:
    """The references; and why there are none, where they cannot be read."""
    if not folder.references.exists():
        return {}, ()
    try:
        return folder.read_references(), ()
    except RecordError as error:
        return {}, (f"the references are not known, as {error.message}",)


def _result(folder: StudyFolder, run: Run) -> RunResult:
    own = folder.run(run.name)
    shipped = Cursor.read(own.shipped)
    try:
        record = read_state(own)
        begun = own.journal.exists()
    except (RecordError, OSError) as error:
        message = error.message if isinstance(error, RecordError) else str(error)
        record = RunState(
            status=Status.FAILED, message=message, hint="`genloss resume` trains it from scratch"
        )
        begun = True
    status, message = record.status if begun else Status.NOT_STARTED, record.message
    if status == Status.RUNNING and not own.is_trained():
        status, message = Status.INTERRUPTED, SILENT
    configuration = run.parameters()
    return RunResult(
        name=run.name,
        objective=run.objective.name,
        seed=run.seed,
        status=status,
        message=message,
        hint=record.hint,
        metrics={
            key.removeprefix("eval/"): value if math.isfinite(value) else math.nan
            for key, value in record.final.items()
            if key.startswith("eval/")
        },
        reproduce=run.reproduce,
        cost=Cost(
            steps=record.steps,
            updates=updates(configuration, record.steps),
            seconds=record.seconds,
            peak_memory=record.peak_memory,
            device=record.device,
        ),
        sets=run.objective.sets,
        base=run.objective.base,
        point=run.objective.point,
        trial=run.objective.trial,
        configuration=configuration,
        code=run.code,
        skipped=record.skipped,
        run_id=shipped.run_id if shipped is not None and not shipped.deleted else None,
        folder=own,
    )
