"""A study of one run on its way to a store, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from genloss.comparison.from_records import comparison_of
from genloss.record.events import ColumnsDeclared, Ended, Status
from genloss.record.folder import RunFolder, StudyFolder, read_state
from genloss.tracking import store
from genloss.tracking.tracker import Tracker
from tests.tracking.studies import begin, block, columns, write_study


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A fresh store, which takes seconds to build."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    store.connect(f"sqlite:///{path}")
    return path.read_bytes()


class Shipped:
    """A study of one run, and what MLflow has of it."""

    def __init__(self, here: Path, uri: str) -> None:
        self.study: StudyFolder = write_study(here, uri=uri)
        self.uri = uri
        self.folder: RunFolder = self.study.run("minimax-0")
        self.client = MlflowClient(uri)
        self.said: list[dict[str, Any]] = []

    def tracker(self, *, uri: str | None = None, deleted: bool = False) -> Tracker:
        tracker = Tracker(self.study, comparison_of, self._hear, uri or self.uri, deleted)
        tracker.open()
        return tracker

    def ship(self, *, deleted: bool = False) -> bool:
        """Ships what there is; gives whether MLflow has all of it."""
        self.tracker(deleted=deleted).finish()
        shipped: bool = self.said[-1]["shipped"]
        return shipped

    def _hear(self, **event: Any) -> None:
        self.said.append(event)

    def notes(self) -> list[str]:
        """What a person was told."""
        return [event["text"] for event in self.said if event["event"] == "note"]

    def runs(self) -> list[Any]:
        """Those that were trained."""
        ids = [found.experiment_id for found in self.client.search_experiments()]
        return list(self.client.search_runs(ids, "tags.`genloss.run` LIKE '%'"))

    @property
    def run(self) -> Any:
        (run,) = self.runs()
        return run

    def steps(self, run_id: str, key: str = "generator/total") -> list[int]:
        return sorted(metric.step for metric in self.client.get_metric_history(run_id, key))

    def tags(self) -> dict[str, str]:
        tags: dict[str, str] = self.run.data.tags
        return tags

    def files(self, path: str | None = None) -> list[str]:
        """What is among the run's artifacts."""
        return sorted(file.path for file in self.client.list_artifacts(self.run.info.run_id, path))

    def record(self, steps: int = 5, *, status: str = "FINISHED", **more: Any) -> None:
        """Writes a whole attempt at the run, from where the last one ended."""
        first = read_state(self.folder).steps
        with begin(self.folder) as journal:
            journal.event(ColumnsDeclared(columns=columns("generator/total")))
            journal.values(block(first, np.ones((steps, 1))))
            journal.event(Ended(status=Status(status), **more))


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bytes) -> Shipped:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(fresh)
    return Shipped(tmp_path, f"sqlite:///{tmp_path}/mlflow.db")
