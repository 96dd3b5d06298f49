"""The folders of studies and runs.

.genloss/<study>/study.json            the experiment, its runs, where it is shown
                /report.html           the comparison of its runs; its plots are in plots/
                /report.shipped        the digest of the report that MLflow has
                /launcher.lock         held by the launcher while it lives
                /tracker.lock          held by the tracker while it ships the study
.genloss/<study>/<run>/run.json        all that a worker needs
                      /journal         see journal.py
                      /checkpoints/    see checkpoint.py
                      /artifacts/      what MLflow shows besides the values
                      /lock            held by the worker while it trains
                      /shipped.json    how far MLflow has it: its run, the journal's id, the offset there
.genloss/<study>/<run>.damaged-1/      a run that had to start over, as it was
.genloss/cache/                        what depends on the data alone
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genloss.errors import RecordError, RequestError, did_you_mean
from genloss.record import journal, owner
from genloss.record.cursor import Cursor
from genloss.record.files import PRIVATE_FOLDER, publish
from genloss.record.frame import Values
from genloss.record.owner import Owner
from genloss.record.parsing import Fields, read_json
from genloss.record.state import RunState

ROOT = Path(".genloss")
EXPERIMENT, PACKAGES, GIT_DIFF = "experiment.yaml", "packages.txt", "git.diff"
"""What the runs of a study share: copies of the first two are among each run's artifacts, and the diff, which
may be large, among those of the study's comparison."""


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

    @property
    def cache(self) -> Path:
        return self.path.parents[1] / "cache"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    def locked(self, patience: float = 0.0) -> AbstractContextManager[Callable[[], None]]:
        """Hold the folder's lock; it goes with the process, however that ends.

        Raises:
            RecordError: another process has held it for so many seconds.
        """
        return owner.held(self.lock, f"trains in `{self.path}`", patience)

    def is_trained(self) -> bool:
        """Return whether a process trains in it."""
        return owner.is_held(self.lock)

    @property
    def shipped(self) -> Path:
        return self.path / "shipped.json"

    def rejected(self) -> Mapping[str, str]:
        """Its files and metrics that MLflow did not take, with the reasons."""
        cursor = Cursor.read(self.shipped)
        return {} if cursor is None or cursor.deleted else cursor.rejected

    def pending(self) -> int:
        """Bytes that MLflow has not got, of whole frames of its journal and of files that were rejected.

        None if it was deleted there.
        """
        cursor = Cursor.read(self.shipped)
        if cursor is not None and cursor.deleted:
            return 0
        return self._pending_frames(cursor) + sum(map(self._size, self.rejected()))

    def _size(self, name: str) -> int:
        """Of a file; of what is none, a byte, so that it counts."""
        try:
            return max((self.path / name).lstat().st_size, 1)
        except (OSError, ValueError):
            return 1

    def _pending_frames(self, cursor: Cursor | None) -> int:
        if not self.journal.exists():
            return 0
        begin = journal.HEAD.size
        try:
            if cursor is not None and cursor.journal == journal.identity(self.journal):
                begin = max(begin, cursor.offset)
            frames = journal.read(self.journal, begin, salvage=True)
            return max((end for _, end in frames), default=begin) - begin
        except RecordError:  # nothing of it can be read
            said = cursor is not None and cursor.closed == self.path.name
            return 0 if said else self.journal.stat().st_size

    def has_finished(self) -> bool:
        """Return whether its journal says so; a trial that was pruned has, too."""
        try:
            return read_state(self).status.is_done
        except RecordError:
            return False

    def begun(self) -> bool:
        """Return whether there is more than what a run needs to begin."""
        return any(path.name not in ("run.json", "lock") for path in self.path.iterdir())


@dataclass(frozen=True)
class StudyFolder:
    """A study's folder."""

    path: Path

    @classmethod
    def create(cls, name: str, root: Path = ROOT) -> StudyFolder:
        """A new folder of that name, with a number added where it is taken.

        Raises:
            RecordError: it cannot be made.
        """
        try:
            root.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            with suppress(OSError):  # a study can be kept without it
                _ignored_by_git(root)
            for number in range(1, 10_000):
                path = root / (name if number == 1 else f"{name}-{number}")
                with suppress(FileExistsError):
                    path.mkdir(mode=PRIVATE_FOLDER)
                    return cls(path)
        except OSError as error:
            raise RecordError(f"no study can be kept in `{root}`: {error.strerror}") from error
        raise RecordError(f"`{root}` has ten thousand studies named `{name}`")

    @classmethod
    def find(cls, name: str | Path, root: Path = ROOT) -> StudyFolder:
        """The study of that name here, or whose folder that is.

        Raises:
            RequestError: there is none.
        """
        known = [path.parent.name for path in root.glob("*/study.json")]
        if name in known:
            return cls(root / name)
        path = Path(name)
        if path.name != str(name) and (path / "study.json").is_file():
            return cls(path if path.name not in ("", "..") else path.resolve())
        raise RequestError(f"there is no study `{name}` in this folder", hint=did_you_mean(str(name), known))

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def working_folder(self) -> Path | None:
        """Where it was run, though `.genloss` be a link to another disk; None if it was taken out of it."""
        path = self.path.absolute()
        return path.parents[1] if path.parent.name == ROOT.name else None

    @property
    def study(self) -> Path:
        return self.path / "study.json"

    @property
    def references(self) -> Path:
        return self.path / "floors.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def shipped_report(self) -> Path:
        return self.path / "report.shipped"

    @property
    def cache(self) -> Path:
        return self.path.parent / "cache"

    def write(self, content: dict[str, Any]) -> None:
        """Write study.json."""
        publish(self.study, json.dumps(content, indent=1).encode())

    def read(self) -> dict[str, Any]:
        """Read study.json.

        Raises:
            RecordError: it is missing or damaged.
        """
        content = self._read()
        try:
            _check(Fields(content))
        except RecordError as error:
            raise RecordError(f"`{self.study}` is damaged: {error.message}") from None
        return content

    def _read(self) -> dict[str, Any]:
        content = read_json(self.study)
        if not isinstance(content, dict):
            raise RecordError(f"`{self.study}` cannot be read: it is not a mapping")
        return content

    def read_references(self) -> dict[str, float]:
        """The references, by metric: what real data gets in place of samples.

        Raises:
            RecordError: it is missing or damaged.
        """
        references = {"references": read_json(self.references)}
        return Fields(references, f"`{self.references}` cannot be read: it").numbers("references")

    def names(self) -> list[str]:
        """The names of its runs, whether or not they have begun.

        Raises:
            RecordError: study.json is missing or damaged.
        """
        content = self._read()
        try:
            runs = Fields(content).list("runs")
            return [Fields(run).text("name") for run in runs]
        except RecordError as error:
            raise RecordError(f"`{self.study}` does not say what its runs are: {error.message}") from error

    @property
    def lock(self) -> Path:
        return self.path / "launcher.lock"

    def locked(self, patience: float = 0.0) -> AbstractContextManager[Callable[[], None]]:
        """Hold the study's lock, which a launcher does while it lives.

        Raises:
            RecordError: another process has held it for so many seconds; says which.
        """
        return owner.held(self.lock, f"is at study `{self.name}`", patience)

    @property
    def tracker_lock(self) -> Path:
        return self.path / "tracker.lock"

    def owner(self) -> Owner | None:
        """The launcher that is at it, or that died while it was."""
        return owner.read(self.lock)

    def is_alive(self) -> bool:
        """Return whether a launcher is at it."""
        return owner.is_held(self.lock)

    def has_crashed(self) -> bool:
        """Return whether its launcher died before it came to an end."""
        return self.owner() is not None and not self.is_alive()

    def unfinished(self) -> list[str]:
        """The names of its runs that have not finished.

        Raises:
            RecordError: study.json is missing or damaged.
        """
        return [name for name in self.names() if not self.run(name).has_finished()]

    def pending(self) -> int:
        """Bytes of its journals and of its report that MLflow has not got."""
        return sum(run.pending() for run in self.runs()) + self._pending_report()

    def _pending_report(self) -> int:
        try:
            report = self.report.read_bytes()
        except FileNotFoundError:
            return 0
        try:
            shipped = self.shipped_report.read_text(encoding="utf-8")
        except (OSError, ValueError):
            shipped = ""
        return 0 if digest(report) == shipped else len(report)

    def run(self, name: str) -> RunFolder:
        """The folder of one of its runs.

        Raises:
            RecordError: a folder of that name would not lie in the study's.
        """
        if name != Path(name).name or name in ("", ".."):
            raise RecordError(f"`{self.study}` names a run {name!r}, which is not a name of a folder in it")
        return RunFolder(self.path / name)

    def runs(self) -> list[RunFolder]:
        """The runs that have begun, in the order of their names."""
        return [RunFolder(path.parent) for path in sorted(self.path.glob("*/journal"))]


def _check(study: Fields) -> None:
    """Return whether study.json is what a launcher writes; see preparation.py.

    Raises:
        RecordError: it is something else.
    """
    study.text("study")
    study.time("created")
    study.text("experiment_name")
    if "tracking_uri" in study:
        study.text("tracking_uri")
    study.texts("tags")
    experiment = study.fields("experiment")
    experiment.text("baseline")
    experiment.text("description")
    experiment.text("source")
    for key in ("chosen", "overrides", "plugins"):
        if not all(isinstance(each, str) for each in experiment.list(key, [])):
            raise RecordError(f"its `{key}` are not what was written")
    experiment.list("seeds")
    for objective in experiment.list("objectives"):
        Fields(objective, "an objective").text("name")
    if "search" in experiment:
        experiment.fields("search").text("metric")
    data = study.fields("data")
    data.text("name")
    data.text("digest")
    data.text("source")
    data.fields("profile")
    for run in study.list("runs"):
        said = Fields(run, "a run")
        said.text("name")
        said.fields("objective").text("name")
    for name in study.fields("metrics").names():
        direction = study.fields("metrics").fields(name)
        direction.flag("higher_is_better")
        direction.text("unit")
        direction.text("version", "1")
        if direction.names() - {"higher_is_better", "unit", "version"}:
            raise RecordError(f"`{name}` is not a metric")
    for device in study.list("devices", []):
        said = Fields(device, "a device")
        said.text("name")
        said.count("workers")
        said.count("threads")


def read_state(folder: RunFolder) -> RunState:
    """How the run stands, from its journal.

    Raises:
        RecordError: the journal is damaged.
    """
    state = RunState()
    if folder.journal.exists():
        for frame, _ in journal.read(folder.journal):
            state.take(frame)
    return state


def values_from(folder: RunFolder, step: int) -> list[Values]:
    """What is recorded of a step and those after it.

    Raises:
        RecordError: the journal is damaged.
    """
    found = []
    for frame, _ in journal.read(folder.journal):
        if isinstance(frame, Values) and frame.end > step:
            skip = max(step - frame.first_step, 0)
            found.append(Values(frame.first_step + skip, frame.timestamps[skip:], frame.values[skip:]))
    return found


def digest(report: bytes) -> str:
    """By which a report is known that was shipped."""
    return hashlib.sha256(report).hexdigest()


def _ignored_by_git(root: Path) -> None:
    """Make git ignore the records, unless there is a .gitignore already."""
    if not (root / ".gitignore").exists():
        (root / ".gitignore").write_text("*\n", encoding="utf-8")


def latest_study(root: Path = ROOT) -> StudyFolder | None:
    """The study that was begun last in this folder."""
    found = sorted(root.glob("*/study.json"), key=lambda path: path.stat().st_mtime)
    return StudyFolder(found[-1].parent) if found else None
