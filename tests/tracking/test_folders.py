"""A path is a path everywhere, whatever letters are in it and wherever it is moved."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

import genloss
from genloss.record.folder import StudyFolder
from genloss.tracking import address, server, views
from tests.tracking.conftest import Shipped

NAMES = ["jürgen", "100%20 b", "what?", "a#b", "a;b:c@d", "[x]&'y'+z"]
DEFAULT = "sqlite:///mlflow.db"

Make = Callable[..., Shipped]


@pytest.fixture
def shipped_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bytes) -> Make:
    """Enters a working folder, and ships a study of one run from there."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def ship(folder: Path, uri: str = DEFAULT) -> Shipped:
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        if not (folder / "mlflow.db").exists():
            (folder / "mlflow.db").write_bytes(fresh)
        study = Shipped(folder, address.absolute(uri))
        study.uri = uri
        study.record()
        assert study.ship()
        assert study.notes() == []
        return study

    return ship


def artifacts(folder: Path) -> list[Path]:
    return sorted(folder.glob("mlruns/*/*/artifacts/journal.gz"))


def check_values(run_id: str) -> None:
    """What MLflow gives of a run, by its id."""
    assert len(genloss.history(run_id, tracking_uri=DEFAULT)["generator/total"].values) == 5


@pytest.mark.parametrize("name", NAMES)
def test_whatever_letters_a_folder_has(tmp_path: Path, shipped_in: Make, name: str) -> None:
    work = tmp_path / name
    shipped = shipped_in(work)
    uri = address.absolute(DEFAULT)
    assert address.path_of(address.resolve(uri)) == work / "mlflow.db"
    assert len(artifacts(work)) == 1
    for each in (DEFAULT, uri):
        (run,) = genloss.compare("gan-losses", tracking_uri=each).runs
        assert run.status == "FINISHED"
    check_values(str(run.run_id))
    assert views.find(uri, shipped.study.read())
    assert list(tmp_path.iterdir()) == [work]
    assert {path.name.partition("-")[0] for path in work.iterdir()} == {".genloss", "mlflow.db", "mlruns"}


@pytest.mark.slow
def test_mlflow_itself_shows_the_same_there(tmp_path: Path, shipped_in: Make) -> None:
    shipped_in(tmp_path / "jürgen's 100%20 [what?] #1")
    for uri in (DEFAULT, address.absolute(DEFAULT)):
        port = server.free_port(None)
        with server.serving(uri, port):
            client = MlflowClient(f"http://{server.HOST}:{port}")
            found = client.get_experiment_by_name("gan-losses")
            assert found is not None
            (run,) = client.search_runs([found.experiment_id], "tags.`genloss.run` LIKE '%'")
            assert "journal.gz" in [file.path for file in client.list_artifacts(run.info.run_id)]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_what_was_moved_keeps_its_artifacts_beside_it(tmp_path: Path, shipped_in: Make, how: str) -> None:
    old, new = tmp_path / "old", tmp_path / "a new #1"
    shipped_in(old)
    before = artifacts(old)
    shutil.copytree(old, new)
    if how == "moved":
        shutil.rmtree(old)
    shipped_in(new)
    assert len(artifacts(new)) == 2
    assert artifacts(old) == (before if how == "copied" else [])
    for run in genloss.compare("gan-losses", tracking_uri=DEFAULT).runs:
        check_values(str(run.run_id))


def test_artifacts_that_were_elsewhere_from_the_beginning_stay_there(
    tmp_path: Path, shipped_in: Make
) -> None:
    shipped_in(tmp_path / "work")
    (tmp_path / "data").mkdir()
    (tmp_path / "work" / "mlflow.db").rename(tmp_path / "data" / "mlflow.db")
    shipped_in(tmp_path / "work", f"sqlite:///{tmp_path}/data/mlflow.db")
    assert len(artifacts(tmp_path / "work")) == 2
    assert artifacts(tmp_path / "data") == []


def test_records_may_lie_on_another_disk(tmp_path: Path, shipped_in: Make) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "scratch").mkdir()
    (tmp_path / "work" / ".genloss").symlink_to(tmp_path / "scratch")
    study = shipped_in(tmp_path / "work").study
    for folder in (study, StudyFolder.find(study.name)):
        assert folder.working_folder == tmp_path / "work"
    assert StudyFolder(study.path.resolve()).working_folder is None
