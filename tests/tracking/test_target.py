"""What is said of a run in MLflow besides its values."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genloss.errors import TrackingError
from genloss.experiment.schema import Run
from genloss.record import journal as journals
from genloss.record.events import (
    ArtifactWritten,
    ColumnsDeclared,
    Ended,
    Evaluated,
    Picture,
    Started,
    Status,
    Warned,
)
from genloss.record.journal import Journal
from genloss.tracking import store
from tests.tracking.conftest import Shipped
from tests.tracking.studies import BEGAN, begin, block, columns


def test_a_run_says_what_it_is(shipped: Shipped, tmp_path: Path) -> None:
    with begin(shipped.folder) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total", ("generator/rare", 10))))
        journal.values(block(0, np.arange(50.0).reshape(25, 2)))
        journal.event(Ended(status=Status.FINISHED))
    shipped.ship()
    run = shipped.run
    assert run.info.run_name == "minimax-0"
    assert run.data.params["objective"] == "minimax"
    assert run.data.params["seed"] == "0"
    assert run.data.tags["mlflow.user"] == "ada"
    assert run.data.tags["genloss.device"] == "cpu"
    assert run.data.tags["genloss.run"] == f"{shipped.study.name}/minimax-0"
    assert run.info.artifact_uri.startswith(f"file://{tmp_path}/mlruns/")
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("digits", ("0123456789abcdef" * 4)[:36])
    rare = shipped.client.get_metric_history(run.info.run_id, "generator/rare")
    assert sorted((m.step, m.value, m.timestamp - BEGAN) for m in rare) == [
        (0, 1.0, 0),
        (10, 21.0, 40),
        (20, 41.0, 80),
    ]


def test_a_param_that_is_too_long_says_where_the_whole_is(shipped: Shipped) -> None:
    run = Run.model_validate_json(shipped.folder.run.read_text())
    model = run.objective.model.model_copy(update={"options": {"hidden": [128] * 3000}})
    objective = run.objective.model_copy(update={"model": model})
    shipped.folder.run.write_text(
        run.model_copy(update={"objective": objective}).model_dump_json(by_alias=True)
    )
    shipped.record()
    shipped.ship()
    hidden = shipped.run.data.params["model.hidden"]
    assert len(hidden) == 6000
    assert hidden.endswith("(the whole is in the artifact config.yaml)")


def test_a_run_whose_process_died_silently_is_killed_and_runs_again_when_it_is_resumed(
    shipped: Shipped,
) -> None:
    with begin(shipped.folder) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        journal.values(block(0, np.ones((5, 1))))
    shipped.ship()
    assert shipped.run.info.status == "KILLED"
    assert shipped.run.data.tags["genloss.message"] == "the worker died without reporting a status"
    with begin(shipped.folder) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        journal.values(block(5, np.ones((5, 1))))
    with shipped.folder.locked():
        shipped.tracker().ship_due(at_once=True)
        assert shipped.run.info.status == "RUNNING"
    assert shipped.steps(shipped.run.info.run_id) == list(range(10))


def test_a_run_that_goes_on_after_its_end_runs_again(shipped: Shipped) -> None:
    shipped.record(status="FAILED", message="planted", weights="cd" * 32, weights_step=4)
    shipped.ship()
    assert shipped.run.info.status == "FAILED"
    assert shipped.tags()["genloss.message"] == "planted"
    assert shipped.tags()["genloss.weights_step"] == "4"
    run_id = shipped.run.info.run_id
    with Journal(shipped.folder.journal) as journal, shipped.folder.locked():
        journal.event(Started(device="cpu", threads=1, attempt=2, resumed_from=5, drift="torch 1, now 2"))
        shipped.tracker().ship_due(at_once=True)
        tags = shipped.tags()
        assert shipped.run.info.status == "RUNNING"
        assert not tags.keys() & {"genloss.message", "genloss.weights", "genloss.weights_step"}
        assert "mlflow.note.content" not in tags
        assert (tags["genloss.attempt"], tags["genloss.resumed_from"]) == ("2", "5")
        assert tags["genloss.drift"] == "torch 1, now 2"
        journal.values(block(5, np.ones((5, 1))))
        journal.event(Ended(status=Status.FINISHED, weights="ab" * 32))
    assert shipped.ship()
    assert shipped.run.info.run_id == run_id
    assert shipped.run.info.status == "FINISHED"
    assert shipped.tags()["genloss.weights"] == "ab" * 32
    assert shipped.steps(run_id) == list(range(10))


def test_what_a_person_wrote_about_a_run_stays(shipped: Shipped) -> None:
    with begin(shipped.folder) as journal, shipped.folder.locked():
        shipped.tracker().ship_due(at_once=True)
        shipped.client.set_tag(shipped.run.info.run_id, "mlflow.note.content", "looks odd")
        journal.event(Ended(status=Status.FAILED, message="planted"))
        journal.event(Started(attempt=2))
    shipped.ship()
    assert shipped.tags()["mlflow.note.content"] == "looks odd"


def test_warnings_are_a_tag(shipped: Shipped) -> None:
    with begin(shipped.folder) as journal:
        for message in ("no room for a checkpoint", "no room for a checkpoint", "b" * 6000):
            journal.event(Warned(message=message))
        journal.event(Ended(status=Status.FINISHED))
    shipped.ship()
    said = shipped.tags()["genloss.warning"]
    assert said.startswith("no room for a checkpoint; bbb")
    assert len(said) == 5000


def test_the_journal_is_an_artifact_of_the_run(shipped: Shipped, tmp_path: Path) -> None:
    shipped.record()
    shipped.ship()
    copy = Path(shipped.client.download_artifacts(shipped.run.info.run_id, "journal.gz", str(tmp_path)))
    assert gzip.decompress(copy.read_bytes()) == shipped.folder.journal.read_bytes()
    assert len(list(journals.read(copy))) == 4


def test_an_evaluation_s_text_is_an_artifact(shipped: Shipped) -> None:
    (shipped.folder.artifacts / "step-5.txt").write_text("a sample")
    with begin(shipped.folder) as journal:
        journal.event(Evaluated(step=5, values={"eval/x": 1.0}, text="artifacts/step-5.txt"))
        journal.event(Ended(status=Status.FINISHED))
    shipped.ship()
    assert shipped.files("texts") == ["texts/step-5.txt"]
    assert shipped.run.data.metrics["eval/x"] == 1.0


def test_files_outside_of_the_record_are_not_sent(shipped: Shipped, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    artifacts = shipped.folder.artifacts
    (artifacts / "link.txt").symlink_to(tmp_path / "secret.txt")
    (artifacts / "round").symlink_to(artifacts / "round")
    (artifacts / "linked").symlink_to(tmp_path)
    (artifacts / "model").mkdir()
    (artifacts / "model" / "deep.txt").symlink_to(tmp_path / "secret.txt")
    os.mkfifo(artifacts / "pipe")
    wrong = ["artifacts/link.txt", "artifacts/round", "artifacts/linked", "artifacts/model", "artifacts/pipe"]
    wrong += ["../../../secret.txt", str(tmp_path / "secret.txt"), "artifacts/\0"]
    (artifacts / "fine.txt").write_text("fine")
    (artifacts / "short.txt").symlink_to("fine.txt")
    with begin(shipped.folder) as journal:
        for path in wrong:
            journal.event(ArtifactWritten(path=path))
            journal.event(Evaluated(step=1, values={}, image=Picture("samples", path)))
        journal.event(ArtifactWritten(path="artifacts/fine.txt", to="../../.."))
        journal.event(ArtifactWritten(path="artifacts/short.txt"))
        journal.event(Ended(status=Status.FINISHED))
    shipped.ship()
    assert shipped.run.info.status == "FINISHED"
    assert shipped.files() == ["journal.gz", "short.txt"]
    assert len([said for said in shipped.notes() if "MLflow did not take `" in said]) == len(wrong) + 1
    said = shipped.tags()["genloss.rejected"]
    assert "artifacts/link.txt: it lies outside of the run's folder" in said
    assert "artifacts/pipe: it is not a file" in said


def test_a_file_that_is_missing_or_no_picture_is_told_and_nothing_else_is_lost(shipped: Shipped) -> None:
    (shipped.folder.artifacts / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    Image.new("L", (8, 8)).save(shipped.folder.artifacts / "whole.png")
    with begin(shipped.folder) as journal:
        journal.event(ArtifactWritten(path="artifacts/missing.yaml"))
        for step, name in [(1, "torn"), (2, "whole")]:
            picture = Picture("samples", f"artifacts/{name}.png")
            journal.event(Evaluated(step=step, image=picture))
        journal.event(Ended(status=Status.FINISHED))
    shipped.ship()
    run = shipped.run
    assert run.info.status == "FINISHED"
    assert "artifacts/missing.yaml: it is not there" in run.data.tags["genloss.rejected"]
    assert "artifacts/torn.png" in run.data.tags["genloss.rejected"]
    images = [file.path for file in shipped.client.list_artifacts(run.info.run_id, "images")]
    assert len(images) == 2
    assert all(name.startswith("images/samples+step+2+") for name in images)


def test_a_failed_run_s_description_has_the_line_that_reproduces_it(shipped: Shipped) -> None:
    with begin(shipped.folder) as journal:
        journal.event(Ended(status=Status.FAILED, message="`generator/total` became nan at step 3"))
    shipped.ship()
    note = shipped.run.data.tags["mlflow.note.content"]
    assert "became nan at step 3" in note
    assert "genloss run gan.yaml --set seeds=[0]" in note


def test_a_download_is_the_artifact_or_an_error_that_says_which(shipped: Shipped) -> None:
    (shipped.folder.artifacts / "config.yaml").write_text("name: gan\n")
    with begin(shipped.folder) as journal:
        journal.event(ArtifactWritten(path="artifacts/config.yaml", to="configuration"))
        journal.event(Ended(status=Status.FINISHED))
    shipped.ship()
    uri, run_id = shipped.client.tracking_uri, shipped.run.info.run_id
    assert store.download(run_id, "configuration/config.yaml", uri).read_text() == "name: gan\n"
    with pytest.raises(TrackingError, match=r"`other\.yaml`"):
        store.download(run_id, "other.yaml", uri)
    with pytest.raises(TrackingError, match="there is no MLflow store"):
        store.download(run_id, "other.yaml", "sqlite:///none.db")
    assert not Path("none.db").exists()
