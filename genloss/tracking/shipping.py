"""One run on its way to MLflow: its journal is read on from where the last batch ended.

What is shipped twice is in MLflow once: a value's row carries the journal's timestamp, and all else says the
same again (see target.py). Of the values, no more than a batch and a frame of the journal is held.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import requests
from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException

from genloss.errors import RecordError
from genloss.record import journal
from genloss.record.cursor import Cursor
from genloss.record.events import (
    SILENT,
    ArtifactWritten,
    Ended,
    Evaluated,
    Event,
    Started,
    Status,
    Warned,
)
from genloss.record.folder import RunFolder
from genloss.record.frame import Values
from genloss.record.journal import Damaged
from genloss.tracking import rows, run_files, verification
from genloss.tracking.delivery import RunGone
from genloss.tracking.rows import NON_FINITE, Seen
from genloss.tracking.run_files import Artifact
from genloss.tracking.target import StudyContext, Target
from genloss.tracking.verification import Claim

BATCH = 1000
"""Metrics in one call: MLflow takes no more, and a call of one costs half of a call of a thousand."""

BATCHES_A_VISIT = 20
"""Then it is another run's turn."""

PATIENCE = 2.0
"""Seconds that less than a batch waits for more."""

BYTES_A_BATCH = 8 * BATCH


class RunShipping:
    """Ships one run.

    Args:
        folder: the run's.
        store: where it goes.
        anew: whether the run is created again if it was deleted in MLflow.

    Attributes:
        seen: what the journal says, as far as it is shipped.
        values: values shipped, in all.
    """

    def __init__(self, folder: RunFolder, store: StudyContext, *, anew: bool = False) -> None:
        self.folder = folder
        self.seen = Seen()
        self.values = 0
        self._refused = False
        self._retried: dict[str, Artifact] = {}
        self._store = store
        self._anew = anew
        self._target = Target(folder, store)
        self._journal = ""
        self._offset = self._steps = 0
        self._closed = ""
        self._damage = ""
        self._given_up = self._is_deleted = False
        self._visited = 0.0
        with self._lenient():
            self._resume()

    @property
    def complete(self) -> bool:
        """Whether MLflow has all that can be read of it, unless it was deleted there."""
        return not self._refused and not (self._target.pending and not self._is_deleted)

    def left(self) -> int:
        """Bytes of the journal left to ship, including a torn-off end."""
        try:
            size = self.folder.journal.stat().st_size
        except FileNotFoundError:
            return 0
        return 0 if self._given_up else max(0, size - max(self._offset, journal.HEAD.size))

    def due(self, *, at_once: bool) -> bool:
        """Return whether there is enough to ship, or anything if it is to be at once."""
        left = self.left()
        if not left:
            return False
        waited = time.monotonic() - self._visited >= PATIENCE
        return at_once or not self._target.run_id or left >= BYTES_A_BATCH or waited

    def ship(self) -> bool:
        """Ship what the journal has, or a good part of it; return whether anything was shipped."""
        self._visited = time.monotonic()
        before = self._offset
        with self._lenient():
            self._ship()
        return self._offset > before

    def end(self) -> None:
        """Report in MLflow how a run ended that does not say so itself any more."""
        if not self._target.run_id or self._given_up or self._closed == self.folder.path.name:
            return
        if not self.seen.ended or self._damage or self._target.is_set_aside():
            with self._lenient():
                self._end(Status.INTERRUPTED, SILENT, self.seen.last)
                self._close()

    @contextmanager
    def _lenient(self) -> Iterator[None]:
        """Return the run up, not the study, if MLflow refuses it or its record cannot be read."""
        try:
            yield
        except RecordError as error:
            self._refused = not self._target.is_set_aside()
            self._give_up(str(error))
            with self._lenient():
                self._fail(error.message)
        except RunGone:
            self._deleted()
        except (MlflowException, requests.HTTPError) as error:
            if self._target.run_id and self._store.delivery.is_gone(self._store.client, self._target.run_id):
                self._deleted()
            else:
                self._store.check()
                self._refused = True
                self._give_up(f"MLflow refuses run `{self._target.name}`: {error}")

    def _fail(self, message: str) -> None:
        """Report in MLflow that the record cannot be read any more, where something of it was shipped."""
        cursor = Cursor.read(self.folder.shipped)
        if cursor is None or cursor.deleted or cursor.closed == self.folder.path.name:
            return
        self._adopt(cursor)
        there = f"the values of the steps 0 to {cursor.steps - 1} are" if cursor.steps else "no value is"
        if self._target.is_set_aside():
            self._target.set_aside()
        self._target.end(Status.FAILED, f"{message}; {there} here", self.seen.last)
        self._close()

    def _adopt(self, cursor: Cursor) -> None:
        self._target.run_id, self._journal, self._closed = cursor.run_id, cursor.journal, cursor.closed
        self._offset, self._steps = cursor.offset, cursor.steps

    def _deleted(self) -> None:
        self._store.check()  # with an experiment its runs are deleted, and come back with it
        self._is_deleted = True
        self._save(self._offset)
        study = self._store.content["study"]
        self._give_up(
            f"run `{self._target.name}` was deleted in MLflow, which is sent no more of it; "
            f"`genloss sync {study} --deleted` makes it anew"
        )

    def _give_up(self, why: str) -> None:
        self._given_up = True
        self._store.tell(why)

    def _frames(self, offset: int = 0) -> Iterator[tuple[Event | Values, int]]:
        """The frames of the journal that are on the disk.

        A power cut must not take from it what MLflow has: that would be recorded once more, at another time.
        """
        durable = journal.sync(self.folder.journal)
        for frame, end in self._readable(offset):
            if end > durable:
                return
            yield frame, end

    def _readable(self, offset: int) -> Iterator[tuple[Event | Values, int]]:
        """The journal's frames, those behind a damaged one, too."""
        end = offset
        try:
            for frame, end in journal.read(self.folder.journal, offset):
                yield frame, end
        except Damaged as damage:
            if not self._damage:
                self._damage = f"{damage.message}; what can be read is here"
                self._store.tell(f"run `{self._target.name}`: {damage}")
            for frame, behind in journal.read(self.folder.journal, end, salvage=True):
                if self.seen.can_be_read(frame):
                    yield frame, behind
                else:
                    self._damage = f"{damage.message}; what the values are of is lost"

    def _ship(self) -> None:
        if not self._target.run_id and not self._open():
            return
        pending: list[Metric] = []
        whole = self._offset
        batches = 0
        for frame, end in self._frames(self._offset):
            for metric in self._metrics(frame):
                pending.append(metric)
                if len(pending) == BATCH:
                    self._log(pending, whole)
                    pending = []
                    batches += 1
            self._closed = ""
            if isinstance(frame, Event) and (not isinstance(frame, Evaluated) or frame.image or frame.text):
                if pending:
                    self._log(pending, whole)
                    pending = []
                self._act(frame)
                self._steps = self.seen.steps
                self._save(end)
            whole, self._steps = end, self.seen.steps
            self.values += rows.number(frame, self.seen.columns)
            if batches >= BATCHES_A_VISIT:
                break
        self._log(pending, whole)

    def _log(self, metrics: list[Metric], whole: int) -> None:
        """Ship a batch; `whole` is where the last frame ends that is shipped completely with it."""
        self._target.metrics(metrics)
        if whole > self._offset:
            self._save(whole)

    def _metrics(self, frame: Event | Values) -> Iterator[Metric]:
        """A frame's metrics, and at last the number of all values that are not finite."""
        self.seen.take(frame)
        yield from rows.metrics(frame, self.seen.columns)
        if found := rows.non_finite(frame, self.seen.columns):
            if found.count == self.seen.non_finite:
                self._target.log(tags={"genloss.first_non_finite": found.first})
            yield Metric(NON_FINITE, self.seen.non_finite, found.timestamp, found.step)

    def _open(self) -> bool:
        """Find or makes the run in MLflow, if the journal has begun."""
        self._journal = journal.identity(self.folder.journal) or ""
        for frame, _ in self._frames():
            when = frame.time if isinstance(frame, Event) else int(frame.timestamps[0])
            self._target.find_or_create(self._journal, when)
            self._save(0)
            self._target.describe()
            return True
        return False

    def _act(self, event: Event) -> None:
        content, target = event.content(), self._target
        match event:
            case Started():
                target.begin_again()
                target.log(tags={f"genloss.{key}": str(value) for key, value in content.items()})
            case Warned():
                target.log(tags={"genloss.warning": "; ".join(self.seen.warnings)})
            case ArtifactWritten() | Evaluated():
                for artifact in run_files.named_by(event):
                    self._send(artifact)
            case Ended():
                told = [key for key in ("weights", "weights_step", "hint") if key in content]
                tags = {f"genloss.{key}": str(content[key]) for key in told}
                target.log(tags={**tags, "genloss.steps": str(self.seen.steps)})
                target.metrics(self.seen.cost_metrics(event.time))
                self._end(event.status, event.message, event.time)

    def _end(self, status: Status, message: str, when: int) -> None:
        if self._damage:
            status, message = Status.FAILED, self._damage
        if self._target.is_set_aside():
            self._target.set_aside()
        self._send(self._journal_copy)
        self._target.end(status, message, when)

    @property
    def _journal_copy(self) -> Artifact:
        return Artifact(f"{self.folder.artifacts.name}/{run_files.JOURNAL}")

    def _send(self, artifact: Artifact) -> None:
        """Send a file; one that MLflow does not take is tried again when all else is shipped."""
        if artifact == self._journal_copy:
            if not self.folder.journal.exists():
                raise RecordError(f"`{self.folder.journal}` is missing")
            try:
                self.folder.artifacts.mkdir(exist_ok=True)
                journal.compress(self.folder.journal, self.folder.path / artifact.name)
            except OSError as error:
                self._target.reject(artifact.name, f"it cannot be written: {error.strerror}", pending=True)
                self._retried[artifact.name] = artifact
                return
        self._target.send(artifact)
        if artifact.name in self._target.pending:
            self._retried[artifact.name] = artifact

    def send_again(self) -> None:
        """Try the files once more that MLflow has not taken."""
        if self._given_up or not self._retried:
            return
        retried, self._retried = self._retried, {}
        with self._lenient():
            for artifact in retried.values():
                self._send(artifact)
            self._save(self._offset)

    def _resume(self) -> None:
        """Take the cursor up again, if it is of this journal and MLflow has what it says."""
        if not self.folder.journal.exists():
            raise RecordError(f"`{self.folder.journal}` is missing")
        cursor = Cursor.read(self.folder.shipped)
        identity = journal.identity(self.folder.journal)
        if cursor is not None and identity is None:
            raise RecordError(f"`{self.folder.journal}` is empty")
        if cursor is None or cursor.journal != identity:
            return
        run = self._store.delivery.call(verification.find, self._store.client, cursor)
        if run is None or run.info.experiment_id != self._store.experiment_id:
            return
        if run.info.lifecycle_stage != "active":
            if not self._anew:
                self._adopt(cursor)
                self._deleted()
            return
        self._adopt(cursor)
        self._verify(run, cursor)

    def _verify(self, run: Run, cursor: Cursor) -> None:
        """Go on behind what MLflow has; starts over where it has not got what the cursor says."""
        claim = Claim(closed=cursor.closed == self.folder.path.name)
        self.values = self._offset = self._steps = 0
        for frame, end in self._frames():
            if end > cursor.offset:
                break
            claim.take(frame)
            self.values += rows.number(frame, claim.seen.columns)
            self._offset, self._steps = end, claim.seen.steps
        lost = claim.lacking(run, cursor)
        if lost:
            self._store.tell(f"run `{self._target.name}`: MLflow has lost {lost}; all of it is shipped again")
        missing = claim.missing(self._store.client, self.folder, cursor)
        unnamed = cursor.rejected.keys() - {file.name for file in claim.files} - {self._journal_copy.name}
        if lost or unnamed or self._offset == 0:
            self._offset = self._steps = self.values = 0
            self._closed = ""
            self._target.describe()
            return
        self.seen = claim.seen
        self._retried = {file.name: file for file in [*claim.files, self._journal_copy]}
        self._retried = {
            name: file for name, file in self._retried.items() if name in missing or name in cursor.rejected
        }
        self._target.pending |= {**missing, **cursor.rejected}

    def _close(self) -> None:
        self._closed = self.folder.path.name
        self._save(self._offset)

    def _save(self, offset: int) -> None:
        self._offset = offset
        cursor = Cursor(
            self._target.run_id,
            self._journal,
            offset,
            self._steps,
            self._closed,
            self._is_deleted,
            dict(self._target.pending),
        )
        with suppress(OSError):  # a full disk: what is shipped once more does no harm
            cursor.write(self.folder.shipped)


def tell(line: str) -> None:
    """Write a line to the tracker's log."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
