"""`genloss sync` ships what is pending, and says what it could not ship."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from genloss.record.events import ColumnsDeclared, Ended, Status
from genloss.record.folder import StudyFolder
from tests.commands.conftest import Said
from tests.faults import support
from tests.tracking.studies import begin, block, columns, write_study

Genloss = Callable[..., Said]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of the test's own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "work"


def study(root: Path, name: str = "gan-losses") -> StudyFolder:
    """A study of one run that has finished."""
    folder = write_study(root, name=name)
    with begin(folder.run("minimax-0")) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        journal.values(block(0, np.ones((5, 1))))
        journal.event(Ended(status=Status.FINISHED))
    return folder


def count(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        query = "SELECT count(*) FROM metrics WHERE key NOT LIKE 'cost/%'"
        ((rows,),) = store.execute(query).fetchall()
    return int(rows)


def test_what_is_pending_here_is_shipped(genloss: Genloss, here: Path) -> None:
    folders = [study(here, "first"), study(here, "second")]
    said = genloss("sync")
    assert (said.code, said.out) == (
        0,
        "first: 5 values are in MLflow\nsecond: 5 values are in MLflow\n",
    ), said.err
    assert [folder.pending() for folder in folders] == [0, 0]
    assert count(here) == 10
    said = genloss("sync")
    assert (said.code, said.out, said.err) == (0, "", "MLflow has all of the studies here\n")


def test_a_study_of_another_folder_goes_where_it_was_recorded(
    genloss: Genloss, here: Path, tmp_path: Path
) -> None:
    folder = study(tmp_path / "elsewhere")
    assert genloss("sync", folder.path).code == 0
    assert count(tmp_path / "elsewhere") == 5
    assert not (here / "mlflow.db").exists()
    said = genloss("sync", folder.path, "--tracking-uri", f"sqlite:///{here}/mlflow.db")
    assert said.code == 0, said.err
    assert count(here) == 5


def test_a_store_that_cannot_be_used_is_said(genloss: Genloss, here: Path) -> None:
    folder = study(here)
    said = genloss("sync", folder.name, "--tracking-uri", "file:./mlruns")
    assert said.code == 1
    assert "error: MLflow no longer keeps its records in plain files" in said.err
    assert "MLflow has not got all of study `gan-losses`; its records are safe in" in said.err
    assert folder.pending() > 0


def test_a_study_that_is_being_trained_is_left_to_its_own_tracker(genloss: Genloss, here: Path) -> None:
    folder = study(here)
    with folder.locked():
        said = genloss("sync")
    assert said.code == 0
    assert "is being trained by process" in said.err
    assert "whose own tracker ships it" in said.err
    assert folder.pending() > 0


def test_a_study_that_is_not_there(genloss: Genloss, here: Path) -> None:
    study(here)
    said = genloss("sync", "gan-loses")
    assert said.code == 2
    assert said.err == (
        "error: there is no study `gan-loses` in this folder\nhint: did you mean `gan-losses`?\n"
    )


def test_a_store_that_is_gone_gets_all_of_it_again(here: Path) -> None:
    """Each command in a process of its own: this one would still have the old store open."""
    study(here)
    assert support.genloss("sync").code == 0
    for path in here.glob("mlflow.db*"):
        path.unlink()
    said = support.genloss("sync")
    assert (said.code, said.out) == (0, "gan-losses: 5 values are in MLflow\n"), said.err
    assert count(here) == 5


def test_what_is_rejected_is_told_until_mlflow_takes_it(genloss: Genloss, here: Path) -> None:
    folder = study(here)
    (here / "mlruns").write_text("no folder")
    for _ in range(2):
        said = genloss("sync")
        assert (said.code, said.out) == (1, "")
        assert "MLflow did not take `artifacts/journal.gz`: not a directory" in said.err
        assert f"MLflow has not got all of study `{folder.name}`" in said.err
    (here / "mlruns").unlink()
    assert genloss("sync").code == 0
    assert genloss("sync").err == "MLflow has all of the studies here\n"


def test_a_study_that_cannot_be_read_harms_no_other(genloss: Genloss, here: Path) -> None:
    study(here, "first").study.write_text("{")
    study(here, "second")
    said = genloss("sync")
    assert (said.code, said.out) == (1, "second: 5 values are in MLflow\n")
    assert "error: `.genloss/first/study.json` cannot be read" in said.err
