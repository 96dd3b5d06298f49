"""What a report shows besides numbers, from MLflow: curves, pictures and texts."""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient

from genloss.comparison.artifacts import LONGEST_TEXT, Origin, made_with
from genloss.comparison.run_journal import Line, RunJournal
from genloss.record.folder import EXPERIMENT
from genloss.tracking import store, tags
from genloss.tracking.run_files import JOURNAL, UNANSWERED

if TYPE_CHECKING:
    from genloss.comparison.runs import RunResult

PICTURE = re.compile(r"images/samples\+step\+([0-9]{1,16})\+[^/]*\.png")
TEXT = re.compile(r"texts/[^0-9/]*([0-9]{1,16})\.txt")
JUDGED = ("eval/", "held_out/")


class MlflowArtifacts:
    """What MLflow holds of some runs. What it does not have, or does not give, is left out.

    The evaluations and the losses are those of the artifact that holds the journal; of a run that has none
    yet, the evaluations are those of MLflow's metrics.

    Args:
        client: of the store.
        runs: that are compared.
    """

    def __init__(self, client: MlflowClient, runs: Sequence[RunResult]) -> None:
        self._client = client
        self._runs = runs
        self._folder = Path(tempfile.mkdtemp(prefix="genloss-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._read: dict[str, RunJournal] = {}

    def evaluations(self, run: RunResult) -> Mapping[str, tuple[Sequence[int], Sequence[float]]]:
        """The numbers of the evaluations by key: steps, and values."""
        return self._journal(run).evaluations()

    def losses(self, run: RunResult) -> Mapping[str, Line]:
        """What each step recorded, by key."""
        return self._journal(run).losses

    def pictures(self, run: RunResult) -> Mapping[int, Path]:
        """The pictures of samples by step."""
        return dict(self._numbered(run, "images", PICTURE))

    def texts(self, run: RunResult) -> Mapping[int, str]:
        """Samples of text by step."""
        return {
            step: path.read_bytes()[:LONGEST_TEXT].decode(errors="replace")
            for step, path in self._numbered(run, "texts", TEXT)
        }

    def origins(self) -> Sequence[Origin]:
        """Of each study, where it comes from."""
        first: dict[str, RunResult] = {}
        for run in self._runs:
            if run.run_id is not None:
                first.setdefault(run.study, run)
        return [self._origin(study, run) for study, run in first.items()]

    def _origin(self, study: str, run: RunResult) -> Origin:
        text = ""
        path = self._artifact(run, EXPERIMENT)
        if path is not None:
            text = path.read_text(encoding="utf-8", errors="replace")
        try:
            said = self._client.get_run(run.run_id or "").data.tags
        except UNANSWERED:
            return Origin(study, text)
        content: dict[str, Any] = {
            "created": tags.created(said),
            "tags": said,
            "data": {"name": run.configuration.get("data.name", ""), "digest": run.data_digest},
            "devices": [],
        }
        return Origin(study, text, said.get(tags.COMMAND, ""), made_with(content))

    def _numbered(self, run: RunResult, folder: str, name: re.Pattern[str]) -> Iterator[tuple[int, Path]]:
        """The files of a folder of artifacts that bear a step in their names, in the order of the steps."""
        if run.run_id is None:
            return
        try:
            artifacts = store.artifacts_of(self._client, run.run_id)
            listed = [file.path for file in artifacts.list_artifacts(folder)]
        except UNANSWERED:
            return
        steps = {int(match[1]): path for path in sorted(listed) if (match := name.fullmatch(path))}
        for step, artifact in sorted(steps.items()):
            path = self._artifact(run, artifact)
            if path is not None:
                yield step, path

    def _artifact(self, run: RunResult, name: str) -> Path | None:
        """A copy of an artifact; None where there is none, or MLflow does not give it."""
        if run.run_id is None:
            return None
        to = self._folder / run.run_id
        to.mkdir(exist_ok=True)
        try:
            path = Path(store.artifacts_of(self._client, run.run_id).download_artifacts(name, str(to)))
        except UNANSWERED:
            return None
        within = path.resolve().is_relative_to(to.resolve())
        return path if within and path.is_file() else None

    def _journal(self, run: RunResult) -> RunJournal:
        if run.run_id is None:
            return RunJournal()
        if run.run_id not in self._read:
            path = self._artifact(run, JOURNAL)
            self._read[run.run_id] = self._history(run.run_id) if path is None else RunJournal.of(path, run)
        return self._read[run.run_id]

    def _history(self, run_id: str) -> RunJournal:
        """The evaluations, as MLflow's metrics have them."""
        reading = RunJournal()
        with suppress(*UNANSWERED):
            for key in self._client.get_run(run_id).data.metrics:
                if key.startswith(JUDGED):
                    for metric in self._client.get_metric_history(run_id, key):
                        reading.add(metric.step, {key: metric.value})
        return reading
