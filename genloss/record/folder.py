"""Where a study and its runs lie on disk.

.genloss/<study>/study.json            the experiment, its runs, where it is shown
.genloss/<study>/<run>/run.json        all that a worker needs
                      /journal         see journal.py
                      /checkpoints/    see checkpoint.py
                      /artifacts/      what MLflow shows besides the values
                      /lock            held by the worker while it trains
.genloss/cache/                        what depends on the data alone
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genloss.errors import RecordError
from genloss.record import journal
from genloss.record.files import publish
from genloss.record.journal import Column, Event, Values

ROOT = Path(".genloss")
EXPERIMENT, PACKAGES, GIT_DIFF = "experiment.yaml", "packages.txt", "git.diff"
"""What the runs of a study share; a copy of each is among a run's artifacts."""


@dataclass(frozen=True)
class RunFolder:
    """A run's folder."""

    path: Path

    @property
    def run(self) -> Path:
        return self.path / "run.json"

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def artifacts(self) -> Path:
        return self.path / "artifacts"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder's lock; it goes with the process, however that ends.

        Raises:
            RecordError: another process holds it.
        """
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RecordError(f"another process trains in `{self.path}`") from error
            yield


@dataclass(frozen=True)
class StudyFolder:
    """A study's folder."""

    path: Path

    @classmethod
    def create(cls, name: str, root: Path = ROOT) -> StudyFolder:
        """A new folder of that name, with a number added where it is taken."""
        root.mkdir(parents=True, exist_ok=True)
        for number in range(1, 10_000):
            path = root / (name if number == 1 else f"{name}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return cls(path)
        raise RecordError(f"`{root}` has ten thousand studies named `{name}`")

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def study(self) -> Path:
        return self.path / "study.json"

    @property
    def floors(self) -> Path:
        return self.path / "floors.json"

    def write(self, content: dict[str, Any]) -> None:
        """Writes study.json."""
        publish(self.study, json.dumps(content, indent=1).encode())

    def read(self) -> dict[str, Any]:
        """Reads study.json.

        Raises:
            RecordError: it is missing or damaged.
        """
        try:
            content: dict[str, Any] = json.loads(self.study.read_text())
        except (OSError, ValueError) as error:
            raise RecordError(f"`{self.study}` cannot be read: {error}") from error
        return content

    def run(self, name: str) -> RunFolder:
        return RunFolder(self.path / name)

    def runs(self) -> list[RunFolder]:
        """The runs that have begun, in the order of their names."""
        return [RunFolder(path.parent) for path in sorted(self.path.glob("*/journal"))]


@dataclass
class Record:
    """What a journal says, gathered.

    Attributes:
        status: RUNNING, or how the run ended: FINISHED, FAILED, KILLED.
        message: why it failed.
        hint: what to do about it.
        columns: what the values are.
        values: in the order of the steps.
        evaluations: metrics and held-out losses by step.
        duration: seconds from the first to the last event.
    """

    status: str = "RUNNING"
    message: str = ""
    hint: str = ""
    columns: list[Column] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)
    evaluations: dict[int, dict[str, float]] = field(default_factory=dict)
    duration: float = 0.0

    @property
    def steps(self) -> int:
        """Steps that are recorded."""
        return self.values[-1].first_step + len(self.values[-1].values) if self.values else 0

    @property
    def final(self) -> dict[str, float]:
        """The last evaluation's numbers."""
        return self.evaluations[max(self.evaluations)] if self.evaluations else {}


def read_record(folder: RunFolder, *, values: bool = True) -> Record:
    """Reads a run's journal, without the values of the steps if they are not wanted.

    Raises:
        RecordError: it is damaged.
    """
    record = Record()
    first = last = 0
    if not folder.journal.exists():
        return record
    for frame, _ in journal.read(folder.journal):
        if isinstance(frame, Values):
            if values:
                record.values.append(frame)
            continue
        first, last = first or frame.time, frame.time
        _gather(record, frame)
    record.duration = (last - first) / 1000
    return record


def _gather(record: Record, event: Event) -> None:
    if event.name == "columns":
        record.columns = journal.columns(event)
    elif event.name == "evaluation":
        record.evaluations.setdefault(event.content["step"], {}).update(event.content["values"])
    elif event.name == "status":
        record.status = event.content["status"]
        record.message = event.content.get("message", "")
        record.hint = event.content.get("hint", "")


def latest_study(root: Path = ROOT) -> StudyFolder | None:
    """The study that was begun last in this folder."""
    found = sorted(root.glob("*/study.json"), key=lambda path: path.stat().st_mtime)
    return StudyFolder(found[-1].parent) if found else None
