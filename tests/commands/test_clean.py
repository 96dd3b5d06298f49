"""`genloss clean` lists studies, and removes none that is alive or of which MLflow has not got all."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from genloss.comparison.from_records import comparison_of
from genloss.record import owner
from genloss.record.events import ColumnsDeclared, Ended, Status
from genloss.record.folder import StudyFolder
from genloss.tracking.tracker import Tracker
from tests.commands.conftest import Said
from tests.tracking.conftest import fresh  # noqa: F401 - a fixture
from tests.tracking.studies import begin, block, columns, write_study

Genloss = Callable[..., Said]
DAY = 24 * 3600


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bytes) -> Path:  # noqa: F811
    """A working folder of the test's own, with a store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_bytes(fresh)
    return tmp_path


def study(name: str, *, days: float = 0, shipped: bool = True, status: str = "FINISHED") -> StudyFolder:
    """A study of one run, recorded some days ago."""
    folder = write_study(Path(), name=name)
    run = folder.run("minimax-0")
    with begin(run) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        journal.values(block(0, np.ones((5, 1))))
        if status:
            journal.event(Ended(status=Status(status)))
    if shipped:
        ship(folder)
    then = time.time() - days * DAY
    os.utime(run.journal, (then, then))
    return folder


def ship(folder: StudyFolder) -> None:
    """Gives MLflow all of it."""
    tracker = Tracker(folder, comparison_of, lambda **_: None)
    tracker.open()
    tracker.finish()
    assert folder.pending() == 0


def test_studies_are_listed_the_oldest_first(genloss: Genloss) -> None:
    study("young", shipped=False)
    study("old", days=40, status="FAILED")
    said = genloss("clean")
    assert said.code == 0
    lines = [line.split() for line in said.out.splitlines()]
    assert lines[0] == ["study", "age", "size", "finished", "MLflow"]
    assert [line[0] for line in lines[1:]] == ["old", "young"]
    assert lines[1][1:3] == ["40", "days"]
    assert lines[1][-5:] == ["0", "of", "1", "has", "all"]
    assert lines[2][-2:] == ["to", "ship"]
    assert Path(".genloss/old").exists()


def test_without_a_study_it_says_so(genloss: Genloss) -> None:
    assert genloss("clean").err == "there is no study in this folder\n"
    assert genloss("clean", "--older-than", "1d").err == "there is nothing to remove\n"


def test_a_named_study_is_removed(genloss: Genloss) -> None:
    study("one")
    study("other")
    said = genloss("clean", "one", "--yes")
    assert said.code == 0
    assert "one" in said.out
    assert said.err.endswith("are free again\n")
    assert [path.parent.name for path in Path(".genloss").glob("*/study.json")] == ["other"]


def test_old_studies_are_removed(genloss: Genloss) -> None:
    study("old", days=31)
    study("young", days=29)
    assert genloss("clean", "--older-than", "30d", "--yes").code == 0
    assert [path.parent.name for path in Path(".genloss").glob("*/study.json")] == ["young"]


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1 year", "1e3d"])
def test_an_age_has_a_unit(genloss: Genloss, age: str) -> None:
    said = genloss("clean", f"--older-than={age}")
    assert said.code == 2
    assert f"`{age}` is not an age, such as 12h, 30d or 8w" in said.err


@pytest.mark.parametrize(("answer", "left"), [("y\n", []), ("n\n", ["one"]), ("\n", ["one"])])
def test_a_person_is_asked(
    genloss: Genloss, monkeypatch: pytest.MonkeyPatch, answer: str, left: list[str]
) -> None:
    study("one")
    stdin = io.TextIOWrapper(io.BytesIO(answer.encode()))
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", stdin)
    said = genloss("clean", "one")
    assert "Remove this record? [y/N]:" in said.err
    assert [path.parent.name for path in Path(".genloss").glob("*/study.json")] == left


def test_where_nobody_can_be_asked_nothing_is_removed(genloss: Genloss) -> None:
    study("one")
    said = genloss("clean", "one")
    assert said.code == 2
    assert said.err == "error: nobody can be asked here\nhint: `--yes` removes them without a question\n"
    assert Path(".genloss/one").exists()


def test_what_mlflow_has_not_got_is_kept(genloss: Genloss) -> None:
    study("pending", shipped=False)
    study("shipped")
    said = genloss("clean", "pending", "shipped", "--yes")
    assert said.code == 1
    assert "MLflow has not got, of study `pending`, " in said.err
    assert "hint: `genloss sync pending` ships it; `--unshipped` removes it all the same" in said.err
    assert [path.parent.name for path in Path(".genloss").glob("*/study.json")] == ["pending"]


def test_what_is_being_trained_or_shipped_is_kept(genloss: Genloss) -> None:
    folder = study("one")
    with folder.locked():
        said = genloss("clean", "one", "--yes")
    assert said.code == 1
    assert f"study `one` is being trained by {owner.this_process()}" in said.err
    with owner.held(folder.tracker_lock, "ships it"):
        assert genloss("clean", "one", "--yes").code == 1
    assert Path(".genloss/one").exists()


def test_what_a_crash_left_is_closed_and_shipped_first(genloss: Genloss) -> None:
    folder = study("crashed", status="")
    folder.lock.write_text(json.dumps(asdict(owner.this_process())))
    assert folder.has_crashed()
    said = genloss("clean", "crashed", "--yes")
    assert said.code == 1
    assert "`genloss sync crashed` ships it" in said.err
    ship(folder)
    assert genloss("clean", "crashed", "--yes").code == 0


def test_links_are_not_followed(genloss: Genloss, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("precious")
    folder = study("one")
    (folder.path / "linked").symlink_to(tmp_path / "precious")
    assert genloss("clean", "one", "--yes").code == 0
    study("two").path.rename(tmp_path / "two")
    Path(".genloss/three").symlink_to(tmp_path / "two")
    said = genloss("clean", "three", "--yes")
    assert "error: `.genloss/three` is a link" in said.err
    assert (tmp_path / "two" / "study.json").exists()
    assert (tmp_path / "precious" / "file").read_text() == "precious"


@pytest.mark.parametrize("name", ["../.genloss/one", "../..", "..", "."])
def test_only_names_of_studies_here_are_taken(genloss: Genloss, name: str) -> None:
    study("one")
    assert genloss("clean", name, "--yes").code == 2
    assert Path(".genloss/one").exists()


def test_a_study_that_cannot_be_read_is_listed_and_goes_if_that_is_asked_for(genloss: Genloss) -> None:
    folder = study("one")
    folder.study.write_text("{")
    said = genloss("clean")
    assert "unknown" in said.out
    assert "not known" in said.out
    assert genloss("clean", "one", "--yes").code == 1
    assert genloss("clean", "one", "--yes", "--unshipped").code == 0
    assert not Path(".genloss/one").exists()


def lose_the_store() -> None:
    with closing(sqlite3.connect("mlflow.db")) as store:
        for table in ("metrics", "latest_metrics", "tags", "params", "runs"):
            store.execute(f"DELETE FROM {table}")
        store.commit()


def test_a_study_that_a_store_has_lost_is_kept(genloss: Genloss) -> None:
    study("one")
    lose_the_store()
    assert "has not got all" in genloss("clean").out
    said = genloss("clean", "one", "--yes")
    assert said.code == 1
    assert "warning: MLflow has not got, of study `one`, run `minimax-0`" in said.err
    assert Path(".genloss/one").exists()


def test_a_store_that_cannot_be_asked_removes_nothing(genloss: Genloss) -> None:
    study("one")
    arguments = ["clean", "--tracking-uri", "sqlite:///other.db"]
    assert "not known" in genloss(*arguments).out
    said = genloss(*arguments, "one", "--yes")
    assert said.code == 1
    assert "it is not known what MLflow has of study `one`: there is no MLflow store" in said.err
    assert Path(".genloss/one").exists()
    assert not Path("other.db").exists()


def test_what_only_the_record_has_is_said(genloss: Genloss) -> None:
    """A file that MLflow refused is named with the reason, whether it stays or goes."""
    folder = study("one", shipped=False)
    run = folder.run("minimax-0")
    run.artifacts.rmdir()
    run.artifacts.write_text("no folder")
    tracker = Tracker(folder, comparison_of, lambda **_: None)
    tracker.open()
    tracker.finish()
    warning = "MLflow has not got, of study `one`, `artifacts/journal.gz` of run `minimax-0`: it cannot be"
    said = genloss("clean", "one", "--yes")
    assert said.code == 1
    assert warning in said.err
    said = genloss("clean", "one", "--yes", "--unshipped")
    assert said.code == 0
    assert warning in said.err
    assert not Path(".genloss/one").exists()
