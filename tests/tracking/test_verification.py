"""What cursors say is in MLflow is asked for: a store may be lost, put back from a copy, cleaned by hand."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from mlflow.utils.file_utils import local_file_uri_to_path
from PIL import Image

from genloss.errors import TrackingError
from genloss.record.events import ArtifactWritten, ColumnsDeclared, Ended, Evaluated, Picture, Status
from genloss.tracking.verification import lacking
from tests.tracking.conftest import Shipped
from tests.tracking.studies import begin, block, columns

WEIGHTS = "artifacts/model/weights.safetensors"


@pytest.fixture
def whole(shipped: Shipped) -> Shipped:
    """A study of one run with files of each kind, and its report, all of which MLflow has."""
    artifacts = shipped.folder.artifacts
    (artifacts / "model").mkdir()
    (shipped.folder.path / WEIGHTS).write_bytes(bytes(100))
    (artifacts / "step-5.txt").write_text("a sample")
    Image.new("L", (8, 8)).save(artifacts / "step-5.png")
    with begin(shipped.folder) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total", ("generator/rare", 4))))
        journal.values(block(0, np.ones((10, 2))))
        shown = Picture("samples", "artifacts/step-5.png")
        journal.event(Evaluated(step=5, values={"eval/x": 1.0}, image=shown, text="artifacts/step-5.txt"))
        journal.event(ArtifactWritten(path=WEIGHTS, to="model"))
        journal.event(Ended(status=Status.FINISHED))
    shipped.study.report.write_text("the report")
    assert shipped.ship()
    return shipped


def said(whole: Shipped) -> list[str]:
    return [each.what for each in lacking(whole.study)]


def sql(*statements: str) -> None:
    """Does to the store what a person, a copy or a crash has done."""
    with closing(sqlite3.connect("mlflow.db")) as store:
        for statement in statements:
            store.execute(statement)
        store.commit()


def artifacts(whole: Shipped) -> Path:
    return Path(local_file_uri_to_path(whole.run.info.artifact_uri))  # type: ignore[no-untyped-call]


def assert_whole_again(whole: Shipped) -> None:
    """One more visit gives MLflow all of it, and no value twice."""
    assert whole.ship()
    assert said(whole) == []
    run_id = whole.run.info.run_id
    assert whole.run.info.status == "FINISHED"
    assert whole.steps(run_id) == list(range(10))
    assert whole.steps(run_id, "generator/rare") == [0, 4, 8]
    assert whole.steps(run_id, "eval/x") == [5]
    assert whole.files("model") == ["model/weights.safetensors"]
    assert len(whole.files("images")) == 2


def test_where_it_is_all_there_nothing_is_lacking(whole: Shipped) -> None:
    assert whole.study.pending() == 0
    assert said(whole) == []


def test_a_store_without_the_run(whole: Shipped) -> None:
    tables = ("metrics", "latest_metrics", "tags", "params", "inputs", "runs")
    sql(*(f"DELETE FROM {table}" for table in tables))
    assert whole.study.pending() == 0
    assert said(whole) == ["run `minimax-0`", "the report"]
    assert_whole_again(whole)


def test_a_store_that_is_not_there(whole: Shipped) -> None:
    with pytest.raises(TrackingError, match=r"there is no MLflow store `.*elsewhere\.db`"):
        lacking(whole.study, "sqlite:///elsewhere.db")
    assert not Path("elsewhere.db").exists()


@pytest.mark.parametrize(
    ("lost", "what"),
    [
        (
            [
                "DELETE FROM metrics WHERE step > 6",
                "UPDATE latest_metrics SET step = 6 WHERE key = 'generator/total'",
            ],
            "the values of `generator/total` up to step 9",
        ),
        (
            ["DELETE FROM metrics WHERE key = 'eval/x'", "DELETE FROM latest_metrics WHERE key = 'eval/x'"],
            "the values of `eval/x` up to step 5",
        ),
        (["UPDATE runs SET status = 'RUNNING' WHERE name = 'minimax-0'"], "how it ended"),
    ],
)
def test_a_store_from_before(whole: Shipped, lost: list[str], what: str) -> None:
    """As a copy has it that is put back."""
    sql(*lost)
    assert said(whole) == [f"{what} of run `minimax-0`"]
    assert_whole_again(whole)
    assert f"MLflow has lost {what}; all of it is shipped again" in whole.notes()[-1]


def test_a_run_that_is_of_another_journal(whole: Shipped) -> None:
    sql("UPDATE tags SET value = 'other' WHERE key = 'genloss.journal'")
    assert said(whole) == ["run `minimax-0`"]
    assert whole.ship()
    assert said(whole) == []
    assert len(whole.runs()) == 2


@pytest.mark.parametrize(
    ("lost", "what"),
    [
        ("model", WEIGHTS),
        ("texts/step-5.txt", "artifacts/step-5.txt"),
        ("images", "artifacts/step-5.png"),
        ("journal.gz", "artifacts/journal.gz"),
    ],
)
def test_files_that_are_gone(whole: Shipped, lost: str, what: str) -> None:
    path = artifacts(whole) / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert said(whole) == [f"`{what}` of run `minimax-0`"]
    assert_whole_again(whole)


def test_a_file_of_another_size(whole: Shipped) -> None:
    (artifacts(whole) / "model/weights.safetensors").write_bytes(b"cut off")
    assert said(whole) == [f"`{WEIGHTS}` of run `minimax-0`"]
    assert_whole_again(whole)
    assert (artifacts(whole) / "model/weights.safetensors").read_bytes() == bytes(100)


def test_a_run_that_was_deleted_is_told_apart(whole: Shipped) -> None:
    whole.client.delete_run(whole.run.info.run_id)
    (found,) = lacking(whole.study)
    assert found.deleted
    assert found.what == "run `minimax-0`, which was deleted there"
    whole.ship()
    assert whole.study.pending() == 0  # that was done on purpose
    (found,) = lacking(whole.study)
    assert found.deleted


def test_a_comparison_without_its_report_or_its_end(whole: Shipped) -> None:
    sql("UPDATE runs SET status = 'RUNNING' WHERE name = 'comparison'")
    assert said(whole) == ["the report"]
    assert_whole_again(whole)
    (report,) = Path("mlruns").rglob("report.html")
    report.unlink()
    assert said(whole) == ["the report"]
    assert_whole_again(whole)
