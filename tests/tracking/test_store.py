"""Stores that cannot be used are said to be so, before anything is shipped."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from genloss.errors import TrackingError
from genloss.tracking import store
from tests.tracking.conftest import Shipped


def test_a_deleted_experiment_keeps_its_name_and_that_is_said(shipped: Shipped) -> None:
    shipped.client.delete_experiment(shipped.client.create_experiment("gan-losses"))
    with pytest.raises(TrackingError) as caught:
        shipped.tracker()
    assert (
        caught.value.message
        == "the MLflow experiment `gan-losses` was deleted, and a deleted experiment keeps its name"
    )
    assert caught.value.hint is not None
    assert "mlflow experiments restore" in caught.value.hint


def test_a_store_of_another_version_is_refused_with_the_command_that_upgrades_it(
    shipped: Shipped, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
        connection.commit()
    with pytest.raises(TrackingError, match="is of an older MLflow than the installed") as caught:
        shipped.tracker()
    assert caught.value.hint is not None
    assert f"`mlflow db upgrade sqlite:///{tmp_path}/mlflow.db`" in caught.value.hint


def test_plain_files_are_refused(shipped: Shipped) -> None:
    with pytest.raises(TrackingError, match="no longer keeps its records in plain files"):
        shipped.tracker(uri="./mlruns")


def test_the_same_relative_address_in_another_folder_is_another_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        store.connect("sqlite:///mlflow.db").create_experiment(name)
    found = store.connect("sqlite:///mlflow.db").search_experiments()
    assert {experiment.name for experiment in found} == {"Default", "two"}
    assert (tmp_path / "one" / "mlflow.db").exists()


def test_what_is_left_of_a_deleted_store_is_not_mixed_into_a_new_one(tmp_path: Path) -> None:
    """A store in WAL mode is three files; people delete one of them."""
    path = tmp_path / "mlflow.db"
    uri = f"sqlite:///{path}"
    store.connect(uri)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE old (content)")
        connection.executemany("INSERT INTO old VALUES (?)", [("x" * 1000,)] * 1000)
        connection.commit()
        log = path.with_name("mlflow.db-wal").read_bytes()
    assert log
    path.unlink()
    path.with_name("mlflow.db-wal").write_bytes(log)
    store.connect(uri).create_experiment("new")
    with closing(sqlite3.connect(path)) as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'old'").fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert {found.name for found in store.connect(uri).search_experiments()} == {"Default", "new"}
