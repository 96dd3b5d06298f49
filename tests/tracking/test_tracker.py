"""The tracker, as a process of its own, with real stores: nothing lost, nothing twice."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from genloss.experiment.schema import Choice, Objective
from genloss.record.folder import StudyFolder
from genloss.tracking import server, store
from tests.tracking.studies import begin, block, columns, gan_study, objective, write_run, write_study


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def start(study: StudyFolder) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "genloss.tracking.tracker", str(study.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ship(study: StudyFolder) -> list[dict[str, Any]]:
    """Ships all of a study; gives what the tracker said."""
    out, err = start(study).communicate(timeout=120)
    assert "Traceback" not in err, err
    return [json.loads(line) for line in out.splitlines()]


def rows(here: Path) -> Counter[tuple[str, str, int]]:
    """How often each value is in the store, by run, key and step."""
    query = "SELECT name, key, step FROM metrics JOIN runs USING (run_uuid)"
    with closing(sqlite3.connect(here / "mlflow.db")) as connection:
        return Counter(connection.execute(query).fetchall())


def one_run(here: Path) -> Any:
    client = MlflowClient(f"sqlite:///{here}/mlflow.db")
    ids = [found.experiment_id for found in client.search_experiments()]
    (run,) = client.search_runs(ids)
    return client.get_run(run.info.run_id)


def test_everything_is_shipped_once_however_often_it_is_shipped(here: Path) -> None:
    study, written = gan_study(here, steps=90, seeds=1)
    said = ship(study)
    assert [event["event"] for event in said if event["event"] != "shipped"] == ["ready", "done"]
    assert max(event["values"] for event in said if event["event"] == "shipped") == written
    first = rows(here)
    assert sum(first.values()) == written
    assert set(first.values()) == {1}
    pictures = sorted(path.name for path in here.glob("mlruns/**/images/*"))
    ship(study)
    for cursor in study.path.glob("*/shipped.json"):
        cursor.unlink()
    ship(study)
    assert rows(here) == first
    assert sorted(path.name for path in here.glob("mlruns/**/images/*")) == pictures
    assert len(pictures) == 6 * 3 * 2  # each picture has a smaller copy


def test_a_killed_tracker_goes_on_where_it_was(here: Path) -> None:
    study, written = gan_study(here, steps=900, seeds=1)
    process = start(study)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "shipped":
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = rows(here)
    assert 0 < sum(before.values()) < written
    ship(study)
    after = rows(here)
    assert sum(after.values()) == written
    assert set(after.values()) == {1}


def test_two_trackers_build_one_fresh_store(here: Path) -> None:
    uri = f"sqlite:///{here}/mlflow.db"
    studies = [gan_study(here, steps=30, seeds=1, uri=uri)[0] for _ in range(2)]
    processes = [start(study) for study in studies]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert '"done"' in out, err
    client = MlflowClient(uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "gan-losses"]
    assert len(client.search_runs([experiment.experiment_id])) == 12


def test_what_is_not_finite_is_nan_and_told(here: Path) -> None:
    study = write_study(here)
    values = np.ones((20, 1))
    values[7], values[9] = np.inf, np.nan
    with begin(study.run("minimax-0")) as journal:
        journal.event("columns", columns=columns("generator/total"))
        journal.values(block(0, values))
        journal.event("status", status="FAILED", message="planted")
    ship(study)
    run = one_run(here)
    history = MlflowClient(f"sqlite:///{here}/mlflow.db").get_metric_history(
        run.info.run_id, "generator/total"
    )
    assert sorted(metric.step for metric in history if np.isnan(metric.value)) == [7, 9]
    assert run.info.status == "FAILED"
    assert run.data.metrics["non_finite_values"] == 2
    assert run.data.tags["genloss.first_non_finite"] == "step 7: generator/total = inf"
    assert run.data.tags["genloss.message"] == "planted"


def test_a_value_that_mlflow_rejects_takes_no_other_with_it(here: Path) -> None:
    study = write_study(here)
    with begin(study.run("minimax-0")) as journal:
        journal.event("columns", columns=columns("generator/total", "generator/a|b"))
        journal.values(block(0, np.ones((50, 2))))
        journal.event("status", status="FINISHED")
    ship(study)
    run = one_run(here)
    assert run.info.status == "FINISHED"
    assert sum(rows(here).values()) == 50
    assert "generator/a|b" in run.data.tags["genloss.rejected"]


def test_a_param_that_is_too_long_says_where_the_whole_is(here: Path) -> None:
    long: Objective = objective("minimax", 10, generator=("minimax_generator",)).model_copy(
        update={"model": Choice(name="gan", options={"hidden": [128] * 3000})}
    )
    study = write_study(here, objectives=[long])
    write_run(study.run("minimax-0"), steps=10, seed=0, pictures=False)
    ship(study)
    hidden = one_run(here).data.params["model.hidden"]
    assert len(hidden) == 6000
    assert hidden.endswith("(the whole is in the artifact config.yaml)")


def test_a_server_that_comes_later_gets_all_of_it(here: Path) -> None:
    port = server.free_port(None)
    uri = f"http://{server.HOST}:{port}"
    study, written = gan_study(here, steps=30, seeds=1, uri=uri)
    process = start(study)
    assert process.stdin is not None
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "waiting"
    store.connect(f"sqlite:///{here}/mlflow.db")
    with server.serving(f"sqlite:///{here}/mlflow.db", port):
        out, err = process.communicate(timeout=120)
        assert json.loads(out.splitlines()[-1]) == {"event": "done"}, err
    assert sum(rows(here).values()) == written
    assert set(rows(here).values()) == {1}


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Holds the database for writing, and lets it go after a while."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")

    def release() -> None:
        time.sleep(seconds)
        connection.execute("ROLLBACK")
        connection.close()

    thread = threading.Thread(target=release)
    thread.start()
    yield
    thread.join()


def test_a_locked_store_is_waited_for(here: Path) -> None:
    study, written = gan_study(here, steps=30, seeds=1)
    store.connect(f"sqlite:///{here}/mlflow.db")
    with locked(here / "mlflow.db", 6):
        assert ship(study)[-1] == {"event": "done"}
    assert sum(rows(here).values()) == written


def problem(study: StudyFolder) -> dict[str, Any]:
    """What the tracker says of a store that it cannot use."""
    process = start(study)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    event: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert event["event"] == "error"
    return event


def test_a_deleted_experiment_keeps_its_name_and_that_is_said(here: Path) -> None:
    client = store.connect(f"sqlite:///{here}/mlflow.db")
    client.delete_experiment(client.create_experiment("gan-losses"))
    said = problem(gan_study(here, steps=10, seeds=1)[0])
    assert (
        said["message"]
        == "the MLflow experiment `gan-losses` was deleted, and a deleted experiment keeps its name"
    )
    assert "mlflow experiments restore" in said["hint"]


def test_a_store_of_another_version_is_refused_with_the_command_that_upgrades_it(here: Path) -> None:
    store.connect(f"sqlite:///{here}/mlflow.db")
    with closing(sqlite3.connect(here / "mlflow.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
        connection.commit()
    said = problem(gan_study(here, steps=10, seeds=1)[0])
    assert "is of an older MLflow than the installed" in said["message"]
    assert "`mlflow db upgrade sqlite:///mlflow.db`" in said["hint"]


def test_plain_files_are_refused(here: Path) -> None:
    said = problem(gan_study(here, steps=10, seeds=1, uri="./mlruns")[0])
    assert "no longer keeps its records in plain files" in said["message"]
