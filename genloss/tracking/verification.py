"""Whether MLflow has what a run's cursor says: stores are lost, restored from a copy, and cleaned by hand.

No history of a metric is read: of each one, the last step must be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import sqlalchemy.exc
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException

from genloss.errors import RecordError, TrackingError
from genloss.record import journal
from genloss.record.cursor import Cursor
from genloss.record.events import Event
from genloss.record.folder import RunFolder, StudyFolder
from genloss.record.frame import Values
from genloss.tracking import address, allowed, comparison_run, fail_fast, run_files, store
from genloss.tracking.rows import Seen
from genloss.tracking.run_files import Artifact

JOURNAL = "genloss.journal"
"""The tag by which a run is known to be of a journal."""


@dataclass
class Claim:
    """What MLflow is said to have of a run.

    Attributes:
        seen: what the journal says up to where it is shipped.
        files: that the journal names up to there.
        closed: whether MLflow was told how the run ended, though the journal does not say it.
    """

    seen: Seen = field(default_factory=Seen)
    files: list[Artifact] = field(default_factory=list)
    closed: bool = False

    def take(self, frame: Event | Values) -> None:
        """Add a frame that is shipped."""
        self.seen.take(frame)
        if isinstance(frame, Event):
            self.files += run_files.named_by(frame)

    def lacking(self, run: Run, cursor: Cursor) -> str:
        """What of it a run of MLflow has not got, but for files; empty if it has all of it."""
        there = {metric.key: int(metric.step) for metric in run.data.to_proto().metrics}
        for key, step in self.seen.lasts.items():
            if key not in cursor.rejected and there.get(key, -1) < step:
                return f"the values of `{key}` up to step {step}"
        if (self.seen.ended or self.closed) and run.info.status == "RUNNING":
            return "how it ended"
        return ""

    def missing(self, client: MlflowClient, folder: RunFolder, cursor: Cursor) -> dict[str, str]:
        """Its files that MLflow does not list, with reasons."""
        files = dict.fromkeys(self.files)
        if self.closed:
            files[Artifact(f"{folder.artifacts.name}/{run_files.JOURNAL}")] = None
        return run_files.missing(client, cursor.run_id, folder, files)


@dataclass(frozen=True)
class Lacking:
    """What MLflow has not got.

    Attributes:
        what: in words.
        deleted: whether it was deleted there, by somebody.
    """

    what: str
    deleted: bool = False

    def __str__(self) -> str:
        return self.what


def lacking(folder: StudyFolder, uri: str | None = None) -> list[Lacking]:
    """What MLflow has not got of a study, though its cursors say that it has.

    Args:
        folder: the study's.
        uri: the store, if the command names it.

    Raises:
        RecordError: the study's records cannot be read.
        TrackingError: the store cannot be used, or does not answer.
    """
    uri = address.absolute(allowed.store_of(folder, folder.read(), uri), folder.working_folder)
    fail_fast()
    with _answering(uri):
        client = store.connect(uri, create=False)
        return [each for run in folder.runs() for each in _of_run(client, run)] + _of_report(client, folder)


@contextmanager
def _answering(uri: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, OSError, sqlalchemy.exc.SQLAlchemyError) as error:
        raise TrackingError(
            f"the MLflow store `{address.without_secrets(uri)}` does not answer: {store.reason(error)}"
        ) from error


def _of_run(client: MlflowClient, folder: RunFolder) -> Iterator[Lacking]:
    cursor = Cursor.read(folder.shipped)
    if cursor is None:
        return  # nothing is said to be there
    name = f"`{folder.path.name}`"
    run = find(client, cursor)
    if run is None:
        yield Lacking(f"run {name}", cursor.deleted)
        return
    if run.info.lifecycle_stage != "active":
        yield Lacking(f"run {name}, which was deleted there", deleted=True)
        return
    claim = Claim(closed=cursor.closed == folder.path.name)
    try:
        if cursor.journal == journal.identity(folder.journal):
            for frame, end in journal.read(folder.journal, salvage=True):
                if end > cursor.offset:
                    break
                claim.take(frame)
    except RecordError:
        return  # nothing of it can be read: MLflow has what there is
    if why := claim.lacking(run, cursor):
        yield Lacking(f"{why} of run {name}")
        return
    for file in claim.missing(client, folder, cursor):
        yield Lacking(f"`{file}` of run {name}")


def find(client: MlflowClient, cursor: Cursor) -> Run | None:
    """The run that a cursor names, also if it was deleted; None where the store has none of that journal."""
    try:
        run = client.get_run(cursor.run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return run if run.data.tags.get(JOURNAL) == cursor.journal else None


def _of_report(client: MlflowClient, folder: StudyFolder) -> list[Lacking]:
    """The report, unless its run was deleted, which was done on purpose."""
    if not folder.report.exists():
        return []
    content = folder.read()
    experiment = store.find_experiment(client, content["experiment_name"])
    runs = []
    if experiment is not None:
        within = experiment.experiment_id
        runs = comparison_run.search(client, within, folder.name, content["created"], ViewType.ALL)
    if runs and runs[0].info.lifecycle_stage != "active":
        return []
    if runs and runs[0].info.status == "FINISHED":
        artifacts = store.artifacts_of(client, runs[0].info.run_id)
        listed = [file.path for file in artifacts.list_artifacts()]
        if folder.report.name in listed:
            return []
    return [Lacking("the report")]
