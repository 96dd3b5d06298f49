"""A report's curves, pictures and texts are the same from MLflow as from the records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from genloss.comparison.artifacts import RecordArtifacts
from genloss.comparison.from_records import comparison_of, read_study
from genloss.record.events import ArtifactWritten, ColumnsDeclared, Ended, Evaluated, Picture, Status
from genloss.record.folder import StudyFolder
from genloss.tracking import tags
from genloss.tracking.artifacts import MlflowArtifacts
from genloss.tracking.from_mlflow import Reader
from genloss.tracking.tracker import Tracker
from tests.comparison.written import study
from tests.tracking.studies import begin, block, columns


def address(here: Path | None = None) -> str:
    """The store's; MLflow keeps one open by its address, wherever the process goes then."""
    return f"sqlite:///{here or Path.cwd()}/mlflow.db"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bytes) -> StudyFolder:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(fresh)
    return study(tmp_path, numbers={"a": [0.0]}, seeds=[0], train=False, uri=address(tmp_path))


def train(made: StudyFolder, *, ends: bool = True) -> None:
    folder = made.run("a-0")
    (folder.artifacts / "experiment.yaml").write_text("name: gan-losses\n")
    for step in (10, 20):
        Image.new("L", (8, 8), step).save(folder.artifacts / f"step-{step:07d}.png")
        (folder.artifacts / f"step-{step:07d}.txt").write_text(f"a sample of step {step}")
    values = np.arange(20.0)[:, None]
    values[3] = np.inf
    with begin(folder) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        journal.event(ArtifactWritten(path="artifacts/experiment.yaml"))
        for step in (10, 20):
            journal.values(block(step - 10, values[step - 10 : step]))
            numbers = {"eval/recall": step / 100, "held_out/generator/a": float(step)}
            picture = Picture("samples", f"artifacts/step-{step:07d}.png")
            journal.event(Evaluated(step=step, values=numbers, image=picture))
            journal.event(Evaluated(step=step, text=f"artifacts/step-{step:07d}.txt"))
        if ends:
            journal.event(Ended(status=Status.FINISHED))


def ship(made: StudyFolder) -> None:
    tracker = Tracker(made, comparison_of, lambda **_: None)
    tracker.open()
    tracker.ship_due(at_once=True)


def test_mlflow_shows_what_the_records_show(made: StudyFolder) -> None:
    train(made)
    ship(made)
    (there,) = Reader(address()).find(made.name)
    (ours,), (theirs,) = read_study(made).runs, there.runs
    records = RecordArtifacts(made)
    source = MlflowArtifacts(MlflowClient(address()), there.runs)
    assert source.evaluations(theirs) == records.evaluations(ours)
    assert source.evaluations(theirs)["eval/recall"] == ([10, 20], [0.1, 0.2])
    lines, expected = source.losses(theirs), records.losses(ours)
    assert lines.keys() == expected.keys() == {"generator/total"}
    for line, other in zip(lines["generator/total"], expected["generator/total"], strict=True):
        np.testing.assert_array_equal(line, other)
    pictures = source.pictures(theirs)
    assert list(pictures) == [10, 20]
    for step, path in records.pictures(ours).items():
        with Image.open(path) as one, Image.open(pictures[step]) as other:
            assert list(one.convert("L").getdata()) == list(other.convert("L").getdata())
    assert source.texts(theirs) == {10: "a sample of step 10", 20: "a sample of step 20"}
    (origin,) = source.origins()
    assert (origin.study, origin.experiment) == (made.name, "name: gan-losses\n")
    assert origin.made_with["genloss"] == "0.1.0"
    assert origin.reproduce == records.origins()[0].reproduce == "genloss run gan.yaml"


def test_a_study_of_an_older_genloss_has_no_line_that_runs_it_again(made: StudyFolder) -> None:
    train(made)
    ship(made)
    (there,) = Reader(address()).find(made.name)
    client = MlflowClient(address())
    client.delete_tag(str(there.runs[0].run_id), tags.COMMAND)
    (origin,) = MlflowArtifacts(client, there.runs).origins()
    assert (origin.experiment, origin.reproduce) == ("name: gan-losses\n", "")


def test_of_a_run_that_has_not_ended_the_evaluations_are_there(made: StudyFolder) -> None:
    with made.run("a-0").locked():
        train(made, ends=False)
        ship(made)
        (there,) = Reader(address()).find(made.name)
    (run,) = there.runs
    assert run.status == "RUNNING"
    source = MlflowArtifacts(MlflowClient(address()), there.runs)
    assert source.evaluations(run) == {
        "eval/recall": ([10, 20], [0.1, 0.2]),
        "held_out/generator/a": ([10, 20], [10.0, 20.0]),
    }
    assert source.losses(run) == {}


def test_what_is_not_there_is_left_out(made: StudyFolder) -> None:
    train(made)
    ship(made)
    (there,) = Reader(address()).find(made.name)
    (run,) = there.runs
    for path in Path("mlruns").rglob("*"):
        if path.is_file():
            path.unlink()
    source = MlflowArtifacts(MlflowClient(address()), there.runs)
    assert source.evaluations(run)["eval/recall"] == ([10, 20], [0.1, 0.2])
    assert (source.losses(run), source.pictures(run), source.texts(run)) == ({}, {}, {})
    assert [origin.experiment for origin in source.origins()] == [""]


def test_of_a_run_that_has_not_begun_there_is_nothing(made: StudyFolder) -> None:
    (run,) = read_study(made).runs
    source = MlflowArtifacts(MlflowClient(address()), [run])
    assert (source.evaluations(run), source.losses(run), source.pictures(run)) == ({}, {}, {})
    assert (source.texts(run), source.origins()) == ({}, [])
