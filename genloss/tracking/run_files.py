"""The files of a run on their way to MLflow: those that its journal names, and which of them MLflow lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from genloss.record.events import ArtifactWritten, Ended, Evaluated, Event
from genloss.record.folder import RunFolder
from genloss.tracking import paths, store

JOURNAL = "journal.gz"
IMAGES, TEXTS = "images", "texts"
UNLISTED = "MLflow does not list it among the run's artifacts"

UNANSWERED = (MlflowException, OSError, LookupError, TypeError, ValueError)
"""What MLflow's client raises where an artifact is not given, or the answer is none."""


@dataclass(frozen=True)
class Artifact:
    """A file or a folder of a run.

    Attributes:
        name: its path in the run's folder.
        to: the folder that it has among the run's artifacts.
        key: of a picture, what it shows; else empty.
        step: of a picture.
        when: of a picture, in milliseconds since 1970.
    """

    name: str
    to: str = ""
    key: str = ""
    step: int = 0
    when: int = 0

    @property
    def image(self) -> str:
        """What MLflow's name for a picture begins with; it ends in a random part."""
        return f"{IMAGES}/{self.key.replace('/', '~')}+step+{self.step}+timestamp+{self.when}+"

    def is_image_in(self, names: Iterable[str]) -> bool:
        """Return whether the picture is among these; its smaller copy is written last."""
        return any(name.startswith(self.image) and name.endswith("+compressed.webp") for name in names)


def named_by(event: Event) -> Iterator[Artifact]:
    """The files that an event names."""
    match event:
        case ArtifactWritten():
            yield Artifact(event.path, event.to)
        case Evaluated():
            if event.image:
                yield Artifact(event.image.path, IMAGES, event.image.key, event.step, event.time)
            if event.text:
                yield Artifact(event.text, TEXTS)
        case Ended():
            yield Artifact(f"artifacts/{JOURNAL}")


def missing(
    client: MlflowClient, run_id: str, folder: RunFolder, artifacts: Iterable[Artifact]
) -> dict[str, str]:
    """Those of a run's files that MLflow does not list, or lists in another size, with the reasons."""
    listing = _Listing(client, run_id)
    found: dict[str, str] = {}
    for artifact in artifacts:
        try:
            there = _is_there(listing, folder, artifact)
        except Exception as error:  # the store of the artifacts may be anything, and raises what it likes
            found[artifact.name] = f"it is unknown whether MLflow has it: {store.reason(error)}"
            continue
        if not there:
            found[artifact.name] = UNLISTED
    return found


class _Listing:
    """The files of a run, by the folder that they are in; each is asked for once."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client, self._run_id = client, run_id
        self._known: dict[str, dict[str, int | None]] = {}

    def __call__(self, folder: str) -> dict[str, int | None]:
        """Paths with their sizes, as far as they are known."""
        if folder not in self._known:
            files = store.artifacts_of(self._client, self._run_id).list_artifacts(folder or None)
            self._known[folder] = {file.path: file.file_size for file in files if not file.is_dir}
        return self._known[folder]


def _is_there(listing: _Listing, folder: RunFolder, artifact: Artifact) -> bool:
    if artifact.key:
        return artifact.is_image_in(listing(IMAGES))
    to = paths.destination(artifact.to)
    try:
        path = paths.own(folder.path, artifact.name)
    except paths.Refused:  # it is lost here, or was never sent
        return Path(to, Path(artifact.name).name).as_posix() in listing(to)
    if path.is_dir():
        return all(
            _is_listed(listing, each, Path(to, each.relative_to(path)))
            for each in path.rglob("*")
            if each.is_file()
        )
    return _is_listed(listing, path, Path(to, path.name))


def _is_listed(listing: _Listing, path: Path, there: Path) -> bool:
    parent = there.parent.as_posix()
    sizes = listing("" if parent == "." else parent)
    if there.as_posix() not in sizes:
        return False
    size = sizes[there.as_posix()]
    return size is None or size == path.stat().st_size
