"""The tracker, as a process of its own, with real stores: nothing lost, nothing twice."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from genloss.record.events import ColumnsDeclared, Ended, Status
from genloss.record.folder import StudyFolder
from genloss.tracking.tracker import NICENESS
from tests.tracking.studies import begin, block, columns, gan_study, write_study


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def start(study: StudyFolder, **how: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "genloss.tracking.tracker", str(study.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


def ship(study: StudyFolder) -> list[dict[str, Any]]:
    """Ships all of a study; gives what the tracker said."""
    out, err = start(study).communicate(timeout=300)
    assert "Traceback" not in err, err
    return [json.loads(line) for line in out.splitlines()]


def rows(here: Path) -> Counter[tuple[str, str, int]]:
    """How often each value is in the store, by run, key and step; what a run took left out."""
    query = """SELECT name, key, step FROM metrics JOIN runs USING (run_uuid)
               WHERE key NOT LIKE 'cost/%'"""
    with closing(sqlite3.connect(here / "mlflow.db")) as connection:
        return Counter(connection.execute(query).fetchall())


def test_everything_is_shipped_once_however_often_it_is_shipped(here: Path) -> None:
    study, written = gan_study(here, steps=90, seeds=1)
    said = ship(study)
    assert [event["event"] for event in said if event["event"] != "shipped"] == ["ready", "done"]
    assert max(event["values"] for event in said if event["event"] == "shipped") == written
    log = here / "mlflow.db-wal"
    assert not log.exists() or log.stat().st_size == 0  # a copy of the one file is whole
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
        out, err = process.communicate(timeout=300)
        assert '"done"' in out, err
    client = MlflowClient(uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "gan-losses"]
    assert len(client.search_runs([experiment.experiment_id], "tags.`genloss.run` LIKE '%'")) == 12


def test_the_tracker_gives_way_to_the_workers(here: Path) -> None:
    process = start(write_study(here), start_new_session=True)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "ready"
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == mine + NICENESS
    group = Path(f"/proc/{process.pid}/autogroup")
    if group.exists():
        assert group.read_text().endswith(f" nice {mine + NICENESS}\n")
    process.communicate(timeout=300)


LAUNCHER = """
import os, subprocess, sys
command = [sys.executable, "-m", "genloss.tracking.tracker", *sys.argv[1:], "--parent", str(os.getpid())]
subprocess.Popen(command, stdin=subprocess.PIPE)
os._exit(0)  # while the tracker imports MLflow
"""


def test_a_tracker_whose_launcher_died_before_it_could_ask_ends_where_the_store_does_not_answer(
    here: Path,
) -> None:
    study = write_study(here)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        uri = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", LAUNCHER, str(study.path)],
            capture_output=True,
            timeout=300,
            env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        )
    assert b"nobody waits for it any more" in done.stderr


@pytest.mark.slow
def test_memory_is_flat(here: Path) -> None:
    study = write_study(here)
    values = 4 * 50_000
    with begin(study.run("minimax-0")) as journal:
        journal.event(ColumnsDeclared(columns=columns("a/b", "a/total", "c/d", "c/total")))
        random = np.random.default_rng(0)
        for first in range(0, values // 4, 1000):
            journal.values(block(first, random.standard_normal((1000, 4))))
        journal.event(Ended(status=Status.FINISHED))
    process = start(study)
    held: dict[int, int] = {}
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdin = None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "shipped":
            resident = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
            held[event["values"]] = int(resident) * os.sysconf("SC_PAGE_SIZE")
    process.communicate()
    assert max(held) == values
    early = max(size for count, size in held.items() if count < values / 3)
    assert max(held.values()) < early + 8_000_000, held
