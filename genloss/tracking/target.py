"""The MLflow run that a record is shipped to: finding or creating it, and writing to it.

All of it may be said twice: a run is found by its tags before it is made, an image by its name before it is
logged, and the rest overwrites itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import PIL.Image
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_RUN_NOTE, MLFLOW_USER

from genloss.errors import RecordError, TrackingError
from genloss.experiment.schema import Run
from genloss.record.events import KILLED, Status
from genloss.record.folder import RunFolder
from genloss.tracking import paths, store
from genloss.tracking.delivery import Delivery, Rejection, RunGone
from genloss.tracking.note import fenced
from genloss.tracking.paths import Refused
from genloss.tracking.run_files import IMAGES, Artifact
from genloss.tracking.tags import LONGEST_TAG, MESSAGE, STATUS, comparison_tags

LONGEST_PARAM, LONGEST_DIGEST = 6000, 36
SHORTENED = " (the whole is in the artifact config.yaml)"
"""What a param ends with that was too long."""

MOST_REJECTIONS = 100
"""The maximum number of rejected items that the run's tag explains."""

REJECTED = "genloss.rejected"
FAILED_NOTE = "**Failed**"


@dataclass(frozen=True)
class StudyContext:
    """What the runs of a study share on their way to MLflow.

    Attributes:
        client: of the store.
        delivery: makes the calls.
        experiment_id: MLflow's.
        content: the study's study.json.
        refused: keys of metrics that MLflow refuses, with its reasons; added to.
        tell: told what the user should know.
    """

    client: MlflowClient
    delivery: Delivery
    experiment_id: str
    content: Mapping[str, Any]
    refused: dict[str, str]
    tell: Callable[[str], None]

    def check(self) -> None:
        """Return whether the experiment is still there.

        Raises:
            TrackingError: it was deleted.
        """
        try:
            found = self.delivery.call(self.client.get_experiment, self.experiment_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                name = self.content["experiment_name"]
                raise TrackingError(
                    f"the MLflow experiment `{name}` was deleted for good",
                    hint=f"`genloss sync {self.content['study']}` makes it again",
                ) from error
        else:
            store.check_active(self.client, found)


class Target:
    """A run in MLflow.

    Args:
        folder: the record's.
        place: where the run is, or will be.

    Attributes:
        run_id: MLflow's; empty until the run is found or made.
        pending: files and keys of metrics of the record that MLflow has not taken, with the reasons.
    """

    def __init__(self, folder: RunFolder, place: StudyContext) -> None:
        self._folder = folder
        self._store = place
        self._client, self._delivery = place.client, place.delivery
        self._rejections: dict[str, str] = {}
        self.pending: dict[str, str] = {}
        self.run_id = ""

    @cached_property
    def run(self) -> Run:
        """What is trained.

        Raises:
            RecordError: run.json is missing or damaged.
        """
        try:
            return Run.model_validate_json(self._folder.run.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecordError(f"`{self._folder.run}` cannot be read: {error}") from error

    @property
    def name(self) -> str:
        """The study's and the run's, for messages."""
        return f"{self._store.content['study']}/{self._folder.path.name}"

    def find_or_create(self, journal: str, when: int) -> None:
        """Find the run of a journal, or makes it.

        Args:
            journal: the journal's id.
            when: it began, in milliseconds since 1970.
        """
        # The study's name alone may be somebody else's too, on a server for several people; a run that began
        # again has a new journal.
        tags = {
            "genloss.run": f"{self._store.content['study']}/{self.run.name}",
            "genloss.created": str(self._store.content["created"]),
            "genloss.journal": journal,
        }
        wanted = " AND ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        if user := self._store.content["tags"].get(MLFLOW_USER):
            tags[MLFLOW_USER] = user

        def find_or_create() -> str:
            for found in self._client.search_runs([self._store.experiment_id], wanted, max_results=1):
                return str(found.info.run_id)
            run = self._client.create_run(self._store.experiment_id, when, tags, run_name=self.run.name)
            return str(run.info.run_id)

        self.run_id = self._delivery.call(find_or_create)

    def describe(self) -> None:
        """Report what the run is."""
        self.log(
            tags={
                **self._store.content["tags"],
                "genloss.study": self._store.content["study"],
                "genloss.reproduce": self.run.reproduce,
                **comparison_tags(self._store.content, self.run),
            },
            params=self.run.parameters(),
        )
        try:
            self._delivery.call(self._client.log_inputs, self.run_id, [self._data()])
        except MlflowException as error:
            self.reject("data", str(error))

    def _data(self) -> DatasetInput:
        data = self._store.content["data"]
        dataset = Dataset(
            name=data["name"],
            digest=data["digest"][:LONGEST_DIGEST],
            source_type="genloss",
            source=data["source"],
            profile=json.dumps(data["profile"]),
        )
        return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, "training")])

    def metrics(self, metrics: Sequence[Metric]) -> None:
        """Log values, but for those of keys that MLflow is known to refuse."""
        refused = self._store.refused
        for key in {metric.key for metric in metrics} & refused.keys():
            self.reject(key, refused[key], pending=True)
        wanted = [metric for metric in metrics if metric.key not in refused]
        rejected = self._log(metrics=wanted)
        keys = [rejection.item.key for rejection in rejected]
        for key in set(keys):
            if 1 < keys.count(key) == sum(metric.key == key for metric in wanted):
                refused[key] = self._rejections.get(key, "")

    def log(self, *, tags: Mapping[str, str] | None = None, params: Mapping[str, str] | None = None) -> None:
        """Log tags and params, shortened to what MLflow takes."""
        self._log(
            tags=[RunTag(key, shortened(value, LONGEST_TAG)) for key, value in (tags or {}).items()],
            params=[
                Param(key, shortened(value, LONGEST_PARAM, SHORTENED))
                for key, value in (params or {}).items()
            ],
        )

    def _log(
        self,
        *,
        metrics: Sequence[Metric] = (),
        tags: Sequence[RunTag] = (),
        params: Sequence[Param] = (),
    ) -> list[Rejection]:
        rejections = self._delivery.log(self._client, self.run_id, metrics=metrics, tags=tags, params=params)
        for rejection in rejections:
            self.reject(rejection.item.key, rejection.reason, pending=bool(metrics))
        return rejections

    def reject(self, what: str, reason: str, *, pending: bool = False) -> None:
        """Report, once, that something is not in MLflow.

        Args:
            what: a key, or a file of the record.
            reason: why not.
            pending: whether it is a part of the record, which MLflow is to have, and not only said of it.
        """
        if pending:
            self.pending[what] = reason
        if what in self._rejections:
            return
        self._store.tell(f"run `{self.name}`: MLflow did not take `{what}`: {reason}")
        if len(self._rejections) < MOST_REJECTIONS:
            self._rejections[what] = reason
            self._tell_rejections()

    def accept(self, what: str) -> None:
        """Take back that something is not in MLflow."""
        was_pending, was_told = self.pending.pop(what, None), self._rejections.pop(what, None)
        if was_pending is not None or was_told is not None:
            self._tell_rejections()

    def _tell_rejections(self) -> None:
        rejected = {**self._rejections, **self.pending}
        if not rejected:
            self._delete_tag(REJECTED)
            return
        listed = "; ".join(f"{what}: {reason}" for what, reason in rejected.items())
        self._delivery.log(self._client, self.run_id, tags=[RunTag(REJECTED, shortened(listed, LONGEST_TAG))])

    def begin_again(self) -> None:
        """Report that the run is running again, and delete what was said of its end, but for its end time."""
        run = self._delivery.call(self._client.get_run, self.run_id)
        if run.info.status == "RUNNING":
            return
        ours = [STATUS, MESSAGE, "genloss.hint", "genloss.weights", "genloss.weights_step"]
        if self._is_ours(run.data.tags):
            ours.append(MLFLOW_RUN_NOTE)
        for key in ours:
            if key in run.data.tags:
                self._delete_tag(key)
        self._delivery.call(self._client.update_run, self.run_id, status="RUNNING")

    def _delete_tag(self, key: str) -> None:
        try:
            self._delivery.call(self._client.delete_tag, self.run_id, key)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # deleted by a call whose answer was lost
                raise

    def end(self, status: Status, message: str, when: int) -> None:
        """Report how the run ended, and when."""
        tags = {STATUS: str(status)}
        if message:
            tags[MESSAGE] = message
        if status == Status.FAILED:
            before = self._delivery.call(self._client.get_run, self.run_id).data.tags
            if not before.get(MLFLOW_RUN_NOTE) or self._is_ours(before):
                tags[MLFLOW_RUN_NOTE] = self._note(message)
        self.log(tags=tags)
        mlflow = KILLED if status in (Status.INTERRUPTED, Status.PRUNED) else str(status)
        self._delivery.call(self._client.set_terminated, self.run_id, mlflow, end_time=when or None)

    def _note(self, message: str) -> str:
        """The run's note in MLflow if it failed."""
        return f"{FAILED_NOTE}\n\n{fenced(message)}{self._reproduce()}"

    def _is_ours(self, tags: Mapping[str, str]) -> bool:
        """Return whether the run's note is the unedited one that its failure left."""
        return MESSAGE in tags and tags.get(MLFLOW_RUN_NOTE) == self._note(tags[MESSAGE])

    def _reproduce(self) -> str:
        try:
            return f"\n\nTo see it again:\n\n{fenced(self.run.reproduce)}"
        except RecordError:
            return ""

    def is_set_aside(self) -> bool:
        """Return whether the run started over in another folder."""
        try:
            return self._folder.path.name != self.run.name
        except RecordError:
            return False

    def set_aside(self) -> None:
        """Return the run its folder's name, and take it out of its study, where it started over."""
        self._delivery.call(self._client.update_run, self.run_id, name=self._folder.path.name)
        self.log(tags={"genloss.study": f"{self._store.content['study']}.damaged"})

    def send(self, artifact: Artifact) -> None:
        """Log a file of the record, or a folder; what MLflow does not take is rejected, and nothing waits.

        Raises:
            RunGone: the run was deleted.
        """
        try:
            log = self._picture(artifact) if artifact.key else self._file(artifact)
        except (Refused, ValueError) as error:
            self.reject(artifact.name, str(error), pending=True)
            return
        failure = self._delivery.attempt(log, self._check_there)
        if failure is None:
            self.accept(artifact.name)
        else:
            self.reject(artifact.name, store.reason(failure), pending=True)

    def _check_there(self) -> None:
        """Return whether the run can still be written to; waits where the store does not answer.

        Raises:
            RunGone: it was deleted.
        """
        if self._delivery.is_gone(self._client, self.run_id):
            raise RunGone(self.run_id)

    def _file(self, artifact: Artifact) -> Callable[[], None]:
        to = paths.destination(artifact.to) or None
        path = paths.own(self._folder.path, artifact.name)
        log = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        return lambda: log(self.run_id, str(path), to)

    def _picture(self, artifact: Artifact) -> Callable[[], None]:
        paths.destination(artifact.key)
        image = _read(paths.own(self._folder.path, artifact.name))

        def log() -> None:
            listed = store.artifacts_of(self._client, self.run_id).list_artifacts(IMAGES)
            if not artifact.is_image_in(file.path for file in listed):
                self._client.log_image(
                    self.run_id,
                    image,
                    key=artifact.key,
                    step=artifact.step,
                    timestamp=artifact.when,
                    synchronous=True,
                )

        return log


def _read(path: Path) -> PIL.Image.Image:
    try:
        with PIL.Image.open(path) as file:
            return file.copy() if file.mode in ("L", "RGB", "RGBA") else file.convert("RGB")
    except (OSError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise Refused(f"it is not a picture: {error}") from error


def shortened(text: str, longest: int, remark: str = "") -> str:
    """The text, or its beginning with a remark; without zeros, which some databases do not take."""
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    remark = f"…{remark}"
    return text if len(text) <= longest else text[: longest - len(remark)] + remark
