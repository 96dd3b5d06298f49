"""The curves, pictures and texts of a report, from a study's records or from MLflow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from genloss.comparison.run_journal import Line, RunJournal
from genloss.errors import RecordError
from genloss.record.folder import EXPERIMENT, StudyFolder

if TYPE_CHECKING:
    from genloss.comparison.runs import RunResult

LONGEST_TEXT = 100_000
"""Bytes of sampled text that are read."""


@dataclass(frozen=True)
class Origin:
    """Where a study's numbers come from.

    Attributes:
        study: its name.
        experiment: the YAML as it was written; empty if it is not known.
        reproduce: the shell's line that runs it again; empty if it is not known.
        made_with: versions, commit, data, machine, in words.
    """

    study: str
    experiment: str = ""
    reproduce: str = ""
    made_with: Mapping[str, str] = field(default_factory=dict)


class Artifacts(Protocol):
    """What a report shows besides the numbers of a comparison. What is not there is left out, not raised."""

    def evaluations(self, run: RunResult) -> Mapping[str, tuple[Sequence[int], Sequence[float]]]:
        """The numbers of the evaluations by key, `eval/…` and `held_out/…`: steps, and values."""
        ...

    def losses(self, run: RunResult) -> Mapping[str, Line]:
        """What each step recorded, by key: mean steps and values over equal parts of the planned steps."""
        ...

    def pictures(self, run: RunResult) -> Mapping[int, Path]:
        """The pictures of samples by step."""
        ...

    def texts(self, run: RunResult) -> Mapping[int, str]:
        """Samples of text by step."""
        ...

    def origins(self) -> Sequence[Origin]:
        """Of each study that is compared, where it comes from."""
        ...


class RecordArtifacts:
    """The records of studies. A run's journal is read once, when it is first asked for.

    Args:
        folders: the studies' folders.
    """

    def __init__(self, *folders: StudyFolder) -> None:
        self._folders = folders
        self._read: dict[Path, RunJournal] = {}

    def evaluations(self, run: RunResult) -> Mapping[str, tuple[Sequence[int], Sequence[float]]]:
        """The numbers of the evaluations by key: steps, and values."""
        return self._journal(run).evaluations()

    def losses(self, run: RunResult) -> Mapping[str, Line]:
        """What each step recorded, by key."""
        return self._journal(run).losses

    def pictures(self, run: RunResult) -> Mapping[int, Path]:
        """The pictures of samples by step."""
        return {step: path for step, path in self._shown(run) if path.suffix == ".png"}

    def texts(self, run: RunResult) -> Mapping[int, str]:
        """Samples of text by step."""
        return {
            step: path.read_bytes()[:LONGEST_TEXT].decode(errors="replace")
            for step, path in self._shown(run)
            if path.suffix == ".txt"
        }

    def origins(self) -> Sequence[Origin]:
        """Of each study, where it comes from."""
        return [_origin(folder) for folder in self._folders]

    def _shown(self, run: RunResult) -> Iterator[tuple[int, Path]]:
        """The files that show samples, as far as they are the run's own."""
        if run.folder is None:
            return
        root = run.folder.path.resolve()
        for step, name in sorted(self._journal(run).shown.items()):
            path = (root / name).resolve()
            if path.is_relative_to(root) and path.is_file():
                yield step, path

    def _journal(self, run: RunResult) -> RunJournal:
        if run.folder is None:
            return RunJournal()
        path = run.folder.path
        if path not in self._read:
            self._read[path] = RunJournal.of(run.folder.journal, run)
        return self._read[path]


def _origin(folder: StudyFolder) -> Origin:
    from genloss.experiment.source import command

    text = ""
    with suppress(OSError):
        text = (folder.path / EXPERIMENT).read_text(encoding="utf-8", errors="replace")
    try:
        study = folder.read()
    except RecordError:
        return Origin(folder.name, text)
    again = command(study["experiment"], str(folder.path / EXPERIMENT))
    return Origin(folder.name, text, again, made_with(study))


def made_with(study: Mapping[str, Any]) -> dict[str, str]:
    tags, data = study["tags"], study["data"]
    commit = tags.get("mlflow.source.git.commit", "")
    dirty = tags.get("genloss.git.dirty") == "true"
    devices = [
        f"{d['name']} (workers: {d['workers']}, threads of each: {d['threads']})"
        for d in study.get("devices", [])
    ]
    found = {
        "begun": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(study["created"] / 1000)),
        "genloss": tags.get("genloss.version", ""),
        "torch": tags.get("genloss.torch", ""),
        "Python": tags.get("genloss.python", ""),
        "plugins": tags.get("genloss.plugins", ""),
        "metrics": tags.get("genloss.metrics", ""),
        "data": f"{data['name']}, SHA-256 {data['digest'][:12]}",
        "devices": ", ".join(devices),
        "git commit": commit + (", with changes that are in no commit" if commit and dirty else ""),
    }
    return {name: value for name, value in found.items() if value}
