"""One run on its way to MLflow when something is not as it should be, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from genloss.errors import TrackingError
from genloss.record.folder import RunFolder, StudyFolder
from genloss.tracking import store
from genloss.tracking.tracker import Tracker
from tests.tracking.studies import BEGAN, begin, block, columns, write_study


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A fresh store, which takes seconds to build."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    store.connect(f"sqlite:///{path}")
    return path.read_bytes()


class Shipped:
    """A study of one run, and what MLflow has of it."""

    def __init__(self, here: Path, uri: str) -> None:
        self.study: StudyFolder = write_study(here, uri=uri)
        self.folder: RunFolder = self.study.run("minimax-0")
        self.client = MlflowClient(uri)

    def tracker(self) -> Tracker:
        tracker = Tracker(self.study, lambda _: "", lambda **_: None)
        tracker.open()
        return tracker

    def ship(self) -> None:
        self.tracker().finish()

    def runs(self) -> list[Any]:
        ids = [found.experiment_id for found in self.client.search_experiments()]
        return list(self.client.search_runs(ids))

    @property
    def run(self) -> Any:
        (run,) = self.runs()
        return run

    def steps(self, run_id: str, key: str = "generator/total") -> list[int]:
        return sorted(metric.step for metric in self.client.get_metric_history(run_id, key))


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bytes) -> Shipped:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(fresh)
    return Shipped(tmp_path, f"sqlite:///{tmp_path}/mlflow.db")


def test_a_run_says_what_it_is(shipped: Shipped, tmp_path: Path) -> None:
    with begin(shipped.folder) as journal:
        journal.event("columns", columns=columns("generator/total", ("generator/rare", 10)))
        journal.values(block(0, np.arange(50.0).reshape(25, 2)))
        journal.event("status", status="FINISHED")
    shipped.ship()
    run = shipped.run
    assert run.info.run_name == "minimax-0"
    assert run.data.params["objective"] == "minimax"
    assert run.data.params["seed"] == "0"
    assert run.data.tags["mlflow.user"] == "ada"
    assert run.data.tags["genloss.device"] == "cpu"
    assert run.data.tags["genloss.run"] == f"{shipped.study.name}/minimax-0"
    assert run.info.artifact_uri.startswith(f"{tmp_path}/mlruns/")
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("digits", ("0123456789abcdef" * 4)[:36])
    rare = shipped.client.get_metric_history(run.info.run_id, "generator/rare")
    assert sorted((m.step, m.value, m.timestamp - BEGAN) for m in rare) == [
        (0, 1.0, 0),
        (10, 21.0, 40),
        (20, 41.0, 80),
    ]


def test_a_run_whose_process_died_silently_is_killed_and_runs_again_when_it_is_resumed(
    shipped: Shipped,
) -> None:
    with begin(shipped.folder) as journal:
        journal.event("columns", columns=columns("generator/total"))
        journal.values(block(0, np.ones((5, 1))))
    shipped.ship()
    assert shipped.run.info.status == "KILLED"
    assert shipped.run.data.tags["genloss.message"] == "its process ended without a word"
    with begin(shipped.folder) as journal:
        journal.event("columns", columns=columns("generator/total"))
        journal.values(block(5, np.ones((5, 1))))
    with shipped.folder.locked():
        shipped.tracker().pass_over(at_once=True)
        assert shipped.run.info.status == "RUNNING"
    assert shipped.steps(shipped.run.info.run_id) == list(range(10))


def test_a_run_deleted_in_mlflow_is_left_alone_and_made_anew_by_the_next_tracker(
    shipped: Shipped, capsys: pytest.CaptureFixture[str]
) -> None:
    with begin(shipped.folder) as journal, shipped.folder.locked():
        journal.event("columns", columns=columns("generator/total"))
        journal.values(block(0, np.ones((5, 1))))
        tracker = shipped.tracker()
        tracker.pass_over(at_once=True)
        deleted = shipped.run.info.run_id
        shipped.client.delete_run(deleted)
        journal.values(block(5, np.ones((5, 1))))
        journal.event("status", status="FINISHED")
        tracker.finish()
    assert "was deleted in MLflow" in capsys.readouterr().err
    assert shipped.runs() == []
    shipped.ship()
    assert shipped.run.info.run_id != deleted
    assert shipped.run.info.status == "FINISHED"
    assert shipped.steps(shipped.run.info.run_id) == list(range(10))


def test_a_file_that_is_missing_or_no_picture_is_told_and_nothing_else_is_lost(shipped: Shipped) -> None:
    (shipped.folder.artifacts / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    Image.new("L", (8, 8)).save(shipped.folder.artifacts / "whole.png")
    with begin(shipped.folder) as journal:
        journal.event("artifact", path="artifacts/missing.yaml", to="")
        journal.event("image", key="samples", step=1, path="artifacts/torn.png")
        journal.event("image", key="samples", step=2, path="artifacts/whole.png")
        journal.event("status", status="FINISHED")
    shipped.ship()
    run = shipped.run
    assert run.info.status == "FINISHED"
    assert "artifacts/missing.yaml: it is not there" in run.data.tags["genloss.rejected"]
    assert "artifacts/torn.png" in run.data.tags["genloss.rejected"]
    images = [file.path for file in shipped.client.list_artifacts(run.info.run_id, "images")]
    assert len(images) == 2
    assert all(name.startswith("images/samples+step+2+") for name in images)


def test_a_damaged_journal_is_shipped_up_to_the_damage(shipped: Shipped) -> None:
    with begin(shipped.folder) as journal:
        journal.event("columns", columns=columns("generator/total"))
        journal.values(block(0, np.ones((5, 1))))
        size = shipped.folder.journal.stat().st_size
        journal.values(block(5, np.ones((5, 1))))
    content = bytearray(shipped.folder.journal.read_bytes())
    content[size + 20] ^= 1
    shipped.folder.journal.write_bytes(content)
    shipped.ship()
    assert shipped.steps(shipped.run.info.run_id) == list(range(5))
    assert shipped.run.info.status == "FAILED"
    assert "is damaged at byte" in shipped.run.data.tags["genloss.message"]


def test_a_failed_run_s_description_has_the_line_that_reproduces_it(shipped: Shipped) -> None:
    with begin(shipped.folder) as journal:
        journal.event("status", status="FAILED", message="`generator/total` became nan at step 3")
    shipped.ship()
    note = shipped.run.data.tags["mlflow.note.content"]
    assert "became nan at step 3" in note
    assert "genloss run gan.yaml --set seeds=[0]" in note


def test_a_download_is_the_artifact_or_an_error_that_says_which(shipped: Shipped) -> None:
    (shipped.folder.artifacts / "config.yaml").write_text("name: gan\n")
    with begin(shipped.folder) as journal:
        journal.event("artifact", path="artifacts/config.yaml", to="configuration")
        journal.event("status", status="FINISHED")
    shipped.ship()
    uri, run_id = shipped.client.tracking_uri, shipped.run.info.run_id
    assert store.download(run_id, "configuration/config.yaml", uri).read_text() == "name: gan\n"
    with pytest.raises(TrackingError, match=r"`other\.yaml`"):
        store.download(run_id, "other.yaml", uri)
    with pytest.raises(TrackingError, match="there is no MLflow store"):
        store.download(run_id, "other.yaml", "sqlite:///none.db")
    assert not Path("none.db").exists()
