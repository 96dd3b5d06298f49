"""One run on its way to MLflow: its journal is read on from where the last batch ended.

What is shipped twice is in MLflow once: a value's row carries the journal's timestamp, a run is found by
its tag before it is created, an image by its name before it is logged.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import requests
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_RUN_NOTE, MLFLOW_USER

from genloss.errors import RecordError
from genloss.experiment.schema import Run
from genloss.record import journal
from genloss.record.files import publish
from genloss.record.folder import RunFolder, StudyFolder
from genloss.record.journal import Column, Event, Values
from genloss.tracking.delivery import Delivery, RunGone

BATCH = 1000
"""Metrics in one call: MLflow takes no more, and a call of one costs half of a call of a thousand."""

BATCHES_A_VISIT = 20
"""Then it is another run's turn."""

PATIENCE = 2.0
"""Seconds that less than a batch waits for more."""

BYTES_A_BATCH = 8 * BATCH
LONGEST_PARAM, LONGEST_TAG, LONGEST_DIGEST = 6000, 5000, 36

NON_FINITE = "non_finite_values"
"""The metric that counts them. MLflow gets NaN for each; the journal has what it was."""


class Unreadable(Exception):
    """A picture that is none."""


@dataclass(frozen=True)
class NonFinite:
    """Values of a frame that are NaN or infinite: how many, the first in words, where the last one stands."""

    count: int
    first: str
    step: int
    timestamp: int


def non_finite(frame: Event | Values, columns: Sequence[Column]) -> NonFinite | None:
    """The values of a frame that are not finite, if there are any."""
    if isinstance(frame, Values):
        steps = frame.first_step + np.arange(len(frame.values))
        present = steps[:, None] % [column.every for column in columns] == 0
        found = np.argwhere(present & ~np.isfinite(frame.values))
        if not len(found):
            return None
        row, column = found[0]
        first = f"step {steps[row]}: {columns[column].key} = {frame.values[row, column]}"
        last = found[-1][0]
        return NonFinite(len(found), first, int(steps[last]), int(frame.timestamps[last]))
    if frame.name != "evaluation":
        return None
    step = frame.content["step"]
    listed = [f"{key} = {value}" for key, value in frame.content["values"].items() if not np.isfinite(value)]
    return NonFinite(len(listed), f"step {step}: {listed[0]}", step, frame.time) if listed else None


class RunShipping:
    """Ships one run.

    Args:
        folder: the run's.
        study: its study.
        content: the study's study.json.
        experiment_id: MLflow's.
        client: of the store.
        delivery: makes the calls.
        refused: keys of metrics that MLflow refuses, of all runs, with its reasons; added to.

    Attributes:
        values: values shipped, in all.
        keys: keys of the metrics that the journal has so far, in its order.
        pictures: the last step of each kind of picture.
        ended: whether the journal says, so far, how the run ended.
    """

    def __init__(
        self,
        folder: RunFolder,
        study: StudyFolder,
        content: Mapping[str, Any],
        *,
        experiment_id: str,
        client: MlflowClient,
        delivery: Delivery,
        refused: dict[str, str],
    ) -> None:
        self.folder = folder
        self.values = 0
        self.keys: dict[str, None] = {}
        self.pictures: dict[str, int] = {}
        self.ended = False
        self._study = study.name
        self._name = f"{study.name}/{folder.path.name}"
        self._content = content
        self._experiment_id = experiment_id
        self._client = client
        self._delivery = delivery
        self._refused = refused
        self._rejections: dict[str, str] = {}
        self._columns: list[Column] = []
        self._non_finite = 0
        self._last = 0
        self._given_up = False
        self._visited = 0.0
        self._run_id: str | None = None
        self._offset = 0
        with self._lenient():
            self._resume()

    @cached_property
    def _run(self) -> Run:
        try:
            return Run.model_validate_json(self.folder.run.read_text())
        except (OSError, ValueError) as error:
            raise RecordError(f"`{self.folder.run}` cannot be read: {error}") from error

    def due(self, *, at_once: bool) -> bool:
        """Whether there is enough to ship, or anything if it is to be at once."""
        waiting = self.folder.journal.stat().st_size - max(self._offset, len(journal.MAGIC))
        if self._given_up or waiting <= 0:
            return False
        return (
            at_once
            or self._run_id is None
            or waiting >= BYTES_A_BATCH
            or time.monotonic() - self._visited >= PATIENCE
        )

    def ship(self) -> bool:
        """Ships what the journal has, or a good part of it; says whether anything was shipped."""
        self._visited = time.monotonic()
        before = self._offset
        with self._lenient():
            self._ship()
        return self._offset > before

    def end(self, message: str) -> None:
        """Says in MLflow that a run was killed which did not come to say so itself."""
        if self._run_id is not None and not self._given_up:
            with self._lenient():
                self._end("KILLED", message, self._last)

    @contextmanager
    def _lenient(self) -> Iterator[None]:
        """Gives the run up, not the study, if it was deleted in MLflow or its record is damaged."""
        try:
            yield
        except RecordError as error:
            self._give_up(str(error))
            if self._run_id is not None:
                self._log(tags={"genloss.message": str(error)})
                self._delivery.call(
                    self._client.set_terminated, self._run_id, "FAILED", end_time=self._last or None
                )
        except (RunGone, MlflowException) as error:
            if self._run_id is None or not self._delivery.is_gone(self._client, self._run_id):
                raise
            self._give_up(f"run `{self._name}` was deleted in MLflow, which is sent no more of it: {error}")

    def _end(self, status: str, message: str, when: int) -> None:
        tags = {"genloss.message": message} if message else {}
        if status == "FAILED":
            tags[MLFLOW_RUN_NOTE] = (
                f"**Failed**\n\n```\n{message}\n```\n\nTo see it again:\n\n```\n{self._run.reproduce}\n```"
            )
        self._log(tags=tags)
        self._delivery.call(self._client.set_terminated, str(self._run_id), status, end_time=when)

    def _ship(self) -> None:
        pending: list[Metric] = []
        whole = self._offset
        batches = 0
        is_open = self._run_id is not None and self._offset > 0
        try:
            for frame, end in journal.read(self.folder.journal, self._offset):
                if not is_open:
                    is_open = True
                    self._open(frame.time if isinstance(frame, Event) else int(frame.timestamps[0]))
                for metric in self._metrics(frame):
                    pending.append(metric)
                    if len(pending) == BATCH:
                        self._send(pending, whole)
                        pending = []
                        batches += 1
                if isinstance(frame, Event) and frame.name != "evaluation":
                    if pending:
                        self._send(pending, whole)
                        pending = []
                    self._act(frame)
                    self._save(end)
                whole = end
                self.values += self._number(frame)
                if batches >= BATCHES_A_VISIT:
                    break
        except RecordError:
            # What stands before a damaged frame is whole.
            self._send(pending, whole)
            raise
        self._send(pending, whole)

    def _send(self, metrics: list[Metric], whole: int) -> None:
        """Ships a batch; `whole` is where the last frame ends that is shipped completely with it."""
        for key in {metric.key for metric in metrics} & self._refused.keys():
            self._reject(key, self._refused[key])
        wanted = [metric for metric in metrics if metric.key not in self._refused]
        rejected = self._log(metrics=wanted)
        for key in set(rejected):
            if 1 < rejected.count(key) == sum(metric.key == key for metric in wanted):
                self._refused[key] = self._rejections[key]
        if whole > self._offset:
            self._save(whole)

    def _observe(self, frame: Event | Values) -> NonFinite | None:
        """Keeps what later frames need; says which of this one's values are not finite."""
        if isinstance(frame, Values):
            self._last = int(frame.timestamps[-1])
        else:
            self._last = frame.time
            if frame.name == "columns":
                self._columns = journal.columns(frame)
                self.keys |= {column.key: None for column in self._columns}
            elif frame.name == "evaluation":
                self.keys |= dict.fromkeys(frame.content["values"])
            elif frame.name == "image":
                self.pictures[frame.content["key"]] = frame.content["step"]
            elif frame.name in ("start", "status"):
                self.ended = frame.name == "status"
        found = non_finite(frame, self._columns)
        self._non_finite += found.count if found else 0
        return found

    def _metrics(self, frame: Event | Values) -> Iterator[Metric]:
        """A frame's metrics, column by column, and at last the number of those that are not finite."""
        found = self._observe(frame)
        if isinstance(frame, Values):
            values = np.where(np.isfinite(frame.values), frame.values, np.nan)
            for index, column in enumerate(self._columns):
                start = -frame.first_step % column.every
                rows = slice(start, None, column.every)
                steps = range(frame.first_step + start, frame.first_step + len(values), column.every)
                for value, timestamp, step in zip(
                    values[rows, index].tolist(), frame.timestamps[rows].tolist(), steps, strict=True
                ):
                    yield Metric(column.key, value, timestamp, step)
        elif frame.name == "evaluation":
            for key, value in frame.content["values"].items():
                yield Metric(key, value if np.isfinite(value) else np.nan, frame.time, frame.content["step"])
        if found:
            if found.count == self._non_finite:
                self._log(tags={"genloss.first_non_finite": found.first})
            yield Metric(NON_FINITE, self._non_finite, found.timestamp, found.step)

    def _open(self, when: int) -> None:
        """Finds or creates the run, and says what it is."""
        self._run_id = self._delivery.call(self._find_or_create, when)
        run = self._run
        self._log(
            tags={
                **self._content["tags"],
                "genloss.study": self._study,
                "genloss.attempt": str(run.attempt),
                "genloss.reproduce": run.reproduce,
            },
            params=run.parameters(),
        )
        try:
            self._delivery.call(self._client.log_inputs, self._run_id, [self._data()])
        except MlflowException as error:
            self._reject("data", str(error))

    def _find_or_create(self, when: int) -> str:
        created = str(self._content["created"])
        found = self._client.search_runs(
            [self._experiment_id],
            f"tags.`genloss.run` = '{self._name}' AND tags.`genloss.created` = '{created}'",
            max_results=1,
        )
        if found:
            return str(found[0].info.run_id)
        # The study's name alone may be somebody else's too, on a server for several people.
        tags = {"genloss.run": self._name, "genloss.created": created}
        if user := self._content["tags"].get(MLFLOW_USER):
            tags[MLFLOW_USER] = user
        run = self._client.create_run(self._experiment_id, when, tags, run_name=self._run.name)
        return str(run.info.run_id)

    def _data(self) -> DatasetInput:
        data = self._content["data"]
        dataset = Dataset(
            name=data["name"],
            digest=data["digest"][:LONGEST_DIGEST],
            source_type="genloss",
            source=data["source"],
            profile=json.dumps(data["profile"]),
        )
        return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, "training")])

    def _act(self, event: Event) -> None:
        content = event.content
        if event.name == "start":
            self._log(tags={f"genloss.{key}": str(value) for key, value in content.items()})
            if self._delivery.call(self._client.get_run, str(self._run_id)).info.status != "RUNNING":
                self._delivery.call(self._client.update_run, str(self._run_id), status="RUNNING")
        elif event.name == "artifact":
            self._file(content["path"], lambda path: self._artifact(path, content["to"] or None))
        elif event.name == "image":
            self._file(
                content["path"], lambda path: self._image(path, content["key"], content["step"], event.time)
            )
        elif event.name == "status":
            self._end(content["status"], content.get("message", ""), event.time)

    def _file(self, name: str, send: Callable[[Path], None]) -> None:
        path = self.folder.path / name
        if not path.exists():
            self._reject(name, "it is not there")
            return
        try:
            send(path)
        except (MlflowException, requests.HTTPError, Unreadable) as error:
            self._reject(name, str(error))

    def _artifact(self, path: Path, to: str | None) -> None:
        send = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        self._delivery.call(send, str(self._run_id), str(path), to)

    def _image(self, path: Path, key: str, step: int, when: int) -> None:
        try:
            with PIL.Image.open(path) as file:
                image = file.copy()
        except OSError as error:
            raise Unreadable(str(error)) from error
        # MLflow's name for it ends in a random part; the smaller copy is written last.
        begin = f"images/{key.replace('/', '~')}+step+{step}+timestamp+{when}+"

        def send() -> None:
            there = [file.path for file in self._client.list_artifacts(str(self._run_id), "images")]
            if not any(name.startswith(begin) and name.endswith("+compressed.webp") for name in there):
                self._client.log_image(
                    str(self._run_id), image, key=key, step=step, timestamp=when, synchronous=True
                )

        self._delivery.call(send)

    def _log(
        self,
        *,
        metrics: list[Metric] | None = None,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Logs to the run; gives the keys of what MLflow rejected, each as often as it did."""
        rejections = self._delivery.log(
            self._client,
            str(self._run_id),
            metrics=metrics or (),
            tags=[RunTag(key, shortened(value, LONGEST_TAG, "")) for key, value in (tags or {}).items()],
            params=[
                Param(key, shortened(value, LONGEST_PARAM, " (the whole is in the artifact config.yaml)"))
                for key, value in (params or {}).items()
            ],
        )
        for rejection in rejections:
            self._reject(rejection.item.key, rejection.reason)
        return [rejection.item.key for rejection in rejections]

    def _reject(self, what: str, reason: str) -> None:
        """Says, once, that something is not in MLflow."""
        if what not in self._rejections:
            self._rejections[what] = reason
            tell(f"run `{self._name}`: MLflow did not take `{what}`: {reason}")
            listed = "; ".join(f"{what}: {reason}" for what, reason in self._rejections.items())
            tag = RunTag("genloss.rejected", shortened(listed, LONGEST_TAG, ""))
            self._delivery.log(self._client, str(self._run_id), tags=[tag])

    def _give_up(self, why: str) -> None:
        self._given_up = True
        tell(why)

    def _resume(self) -> None:
        """Takes the cursor up again, if its run is still there."""
        try:
            cursor = json.loads((self.folder.path / "shipped.json").read_text())
            run_id, offset = str(cursor["run_id"]), int(cursor["offset"])
        except (OSError, ValueError, KeyError):
            return
        try:
            run = self._delivery.call(self._client.get_run, run_id)
        except MlflowException:
            return
        if run.info.lifecycle_stage != "active" or run.info.experiment_id != self._experiment_id:
            return
        self._run_id = run_id
        for frame, end in journal.read(self.folder.journal):
            if end > offset:
                break
            self._observe(frame)
            self.values += self._number(frame)
            self._offset = end

    def _number(self, frame: Event | Values) -> int:
        if isinstance(frame, Values):
            last = frame.first_step + len(frame.values) - 1
            return sum(
                last // column.every - (frame.first_step - 1) // column.every for column in self._columns
            )
        return len(frame.content["values"]) if frame.name == "evaluation" else 0

    def _save(self, offset: int) -> None:
        self._offset = offset
        content = {"run_id": self._run_id, "offset": offset}
        publish(self.folder.path / "shipped.json", json.dumps(content).encode())


def shortened(text: str, longest: int, remark: str) -> str:
    """The text, or its beginning with a remark."""
    remark = f"…{remark}"
    return text if len(text) <= longest else text[: longest - len(remark)] + remark


def tell(line: str) -> None:
    """A line for whoever reads the tracker's log."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
