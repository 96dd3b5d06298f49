"""MLflow's server as a child: where it listens, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from genloss.errors import RequestError, TrackingError
from genloss.record.events import ColumnsDeclared, Ended, Status
from genloss.tracking import server, store, watched
from tests.tracking.studies import begin, block, columns, write_study
from tests.tracking.test_tracker import rows, ship, start


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def any_port() -> int:
    """A port that the system chose, so that no other test has it; MLflow's own may be anybody's."""
    with socket.socket() as probe:
        probe.bind((server.HOST, 0))
        return int(probe.getsockname()[1])


def test_a_port_that_is_taken_is_refused_if_it_was_asked_for() -> None:
    with socket.socket() as taken:
        taken.bind((server.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RequestError, match=f"port {port} is taken"):
            server.free_port(port)
    assert server.free_port(port) == port


def test_a_server_that_does_not_come_up_says_its_last_words(here: Path) -> None:
    (here / "mlflow.db").write_text("no database at all")
    with (
        pytest.raises(TrackingError, match=r"(?s)did not come up.*not a database"),
        server.serving(f"sqlite:///{here}/mlflow.db", any_port()),
    ):
        pytest.fail("it came up")


@pytest.mark.slow
def test_the_server_of_another_is_not_taken_for_ours(here: Path) -> None:
    database, port = f"sqlite:///{here}/mlflow.db", any_port()
    store.connect(database)
    with (
        server.serving(database, port),
        pytest.raises(TrackingError, match="address already in use"),
        server.serving(database, port),
    ):
        pytest.fail("the first server's answer was taken for the second's")


def test_what_is_no_store_or_a_newer_one_is_refused(here: Path) -> None:
    (here / "text.db").write_text("no database at all, and more than enough of it to be one")
    with pytest.raises(TrackingError, match=r"`sqlite:///text\.db` cannot be opened"):
        store.connect("sqlite:///text.db")
    with closing(sqlite3.connect("newer.db")) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('ffffffffffff')")
        connection.commit()
    with pytest.raises(TrackingError, match="is of a newer MLflow") as caught:
        store.connect("sqlite:///newer.db")
    assert "pip install --upgrade mlflow" in str(caught.value.hint)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.slow
def test_genloss_ui_leaves_nothing_running(here: Path, number: signal.Signals) -> None:
    study = write_study(here)
    with begin(study.run("minimax-0")) as journal:
        journal.event(Ended(status=Status.FINISHED))
    ship(study)
    process = subprocess.Popen(
        [sys.executable, "-m", "genloss", "ui", "--no-open"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    groups = [int(child) for child in children.read_text().split()] if children.exists() else []
    process.send_signal(number)
    process.communicate(timeout=300)
    assert process.returncode == (-number if number is signal.SIGKILL else 128 + number)
    deadline = time.monotonic() + 300
    while number is signal.SIGKILL and any(map(is_there, groups)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not list(filter(is_there, groups))


def is_there(group: int) -> bool:
    """Whether a process of the group is."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_command_ends_with_whoever_started_it(here: Path) -> None:
    """Though the command does not heed SIGTERM."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True)"
    command = [sys.executable, "-P", watched.__file__, sys.executable, "-c", f"{code}; time.sleep(600)"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    process.communicate(timeout=300)  # closes its standard input, and waits until nobody holds its output
    assert process.returncode == -signal.SIGKILL
    with subprocess.Popen([*command[:3], sys.executable, "-c", "exit(3)"], stdin=subprocess.PIPE) as other:
        assert other.wait(timeout=300) == 3


@pytest.mark.slow
def test_an_outage_in_mid_study_loses_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database, port = f"sqlite:///{here}/mlflow.db", any_port()
    uri = f"http://{server.HOST}:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    study = write_study(here, uri=uri)
    store.connect(database)
    with begin(study.run("minimax-0")) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        journal.values(block(0, np.ones((1500, 1))))
        process = start(study)
        assert process.stdout is not None

        # It ends the wait for a line that never comes.
        watch = threading.Timer(300, process.kill)
        watch.start()

        def until(event: str) -> None:
            assert process.stdout is not None
            for line in process.stdout:
                if json.loads(line)["event"] == event:
                    return
            pytest.fail(f"the tracker never said `{event}`")

        with server.serving(database, port):
            until("shipped")
        journal.values(block(1500, np.full((1500, 1), np.nan)))
        until("waiting")
        journal.event(Ended(status=Status.FINISHED))
    with server.serving(database, port):
        out, err = process.communicate(timeout=300)
    assert json.loads(out.splitlines()[-1]) == {"event": "done", "shipped": True}, err
    watch.cancel()
    found = rows(here)
    assert found["minimax-0", "non_finite_values", 2999] == 1
    assert sum(found.values()) == 3001
