"""MLflow's store goes wrong while a study trains: training never notices, and MLflow gets all of it at last.

"All of it" is, for each run that was not deleted, exactly one row for each key and step of its journal.
"""

from __future__ import annotations

import http.client
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow import MlflowClient

from genloss.record import journal, owner
from genloss.record.folder import ROOT, StudyFolder, read_state, values_from
from genloss.record.frame import Values
from genloss.tracking import server, store
from tests.faults import support
from tests.faults.support import Done, genloss_in_this_process, the_study, wait_for
from tests.faults.test_disk import small_disk
from tests.launch.conftest import experiment
from tests.launch.test_server import unused_port

SEEDS, STEPS = 2, 160


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study does not wait for a minute until it ends without MLflow."""
    monkeypatch.setattr("genloss.launch.tracker_process.PATIENCE", 4.0)


def write(*, steps: int = STEPS, uri: str | None = None) -> Path:
    """An experiment of two runs here, of twenty steps a second."""
    tracking = {"uri": uri} if uri else {}
    evaluation = {"samples": 20, "metrics": ["reconstruction_error"]}
    return support.write(
        experiment("slow", steps=steps, seeds=SEEDS, tracking=tracking, evaluation=evaluation)
    )


def run_while(fault: Callable[[], object], *, steps: int = STEPS, uri: str | None = None) -> Done:
    """Runs a study while something goes wrong."""
    file = write(steps=steps, uri=uri)
    with ThreadPoolExecutor(1) as pool:
        gone_wrong = pool.submit(fault)
        done = genloss_in_this_process("run", file)
        assert gone_wrong.exception() is None, done.err
    return done


def rows(here: Path) -> Counter[tuple[str, str, int]]:
    """How many rows the store has, by study and run, key and step; deleted runs do not count, nor what
    a run took.
    """
    query = """SELECT tags.value, metrics.key, step FROM metrics JOIN runs USING (run_uuid)
               JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = 'genloss.run'
               WHERE lifecycle_stage = 'active' AND metrics.key NOT LIKE 'cost/%'"""
    with closing(sqlite3.connect(here / "mlflow.db")) as opened:
        return Counter(opened.execute(query).fetchall())


def recorded(*, without: str = "") -> Counter[tuple[str, str, int]]:
    """What the store is to have of all studies here."""
    found: Counter[tuple[str, str, int]] = Counter()
    for path in ROOT.glob("*/*/journal"):
        folder = StudyFolder(path.parents[1]).run(path.parent.name)
        name = f"{path.parents[1].name}/{path.parent.name}"
        record = read_state(folder)
        if path.parent.name == without:
            continue
        for block in values_from(folder, 0):
            steps = range(block.first_step, block.first_step + len(block.values))
            found.update((name, c.key, step) for c in record.columns for step in steps if step % c.every == 0)
        for step, numbers in record.evaluations.items():
            found.update((name, key, step) for key in numbers)
    assert len(found) > 200
    assert set(found.values()) == {1}
    return found


def assert_whole(here: Path, *, steps: int = STEPS) -> None:
    """All runs here finished, and the store has all of them."""
    for path in ROOT.glob("*/*/journal"):
        folder = StudyFolder(path.parents[1]).run(path.parent.name)
        assert (read_state(folder).status, read_state(folder).steps) == ("FINISHED", steps)
        assert folder.pending() == 0
    assert rows(here) == recorded()
    with closing(sqlite3.connect(here / "mlflow.db")) as opened:
        query = "SELECT status FROM runs WHERE lifecycle_stage = 'active' AND name != 'comparison'"
        statuses = [status for (status,) in opened.execute(query)]
    assert statuses == ["FINISHED"] * len(list(ROOT.glob("*/*/journal")))


def client_of(here: Path) -> MlflowClient:
    """A client of the store, once there is one: it takes seconds to begin, in which a study may end."""

    def come() -> bool:
        with suppress(sqlite3.OperationalError):
            rows(here)
            return True
        return False

    wait_for("a store", come)
    client = MlflowClient(f"sqlite:///{here}/mlflow.db")
    client.search_experiments()
    return client


def wait_for_rows(here: Path, count: int = 1) -> None:
    """Until both runs have values in the store."""

    def come() -> bool:
        with suppress(sqlite3.OperationalError):
            return len({run for run, _, _ in rows(here)}) == SEEDS and rows(here).total() >= count
        return False

    wait_for("values in the store", come)


def assert_not_all_shipped(done: Done) -> None:
    """The study ended well, and says what to do for MLflow."""
    assert done.code == 0, done.err
    study = the_study()
    assert f"MLflow has not got all of it; the records are safe in `{study.path}`" in done.err
    assert f"genloss sync {study.name}\n" in done.err
    assert study.pending() > 0


@pytest.mark.slow
def test_the_tracker_alone_is_killed(here: Path) -> None:
    def kill() -> None:
        wait_for_rows(here)
        tracker = owner.read(the_study().tracker_lock)
        assert tracker is not None
        assert tracker.kill()

    done = run_while(kill)
    assert done.code == 0, done.err
    assert "the tracker was ended by SIGKILL; it is started again" in done.err
    assert_whole(here)


def test_sqlite_is_locked_by_another_process(here: Path, request: pytest.FixtureRequest) -> None:
    seconds, steps = (60, 1400) if request.config.getoption("--full") else (2, STEPS)

    def lock() -> None:
        wait_for_rows(here)
        with closing(sqlite3.connect(here / "mlflow.db", isolation_level=None)) as opened:
            opened.execute("PRAGMA busy_timeout = 20000")
            opened.execute("BEGIN IMMEDIATE")
            before = rows(here)
            time.sleep(seconds)
            assert rows(here) == before
            opened.execute("ROLLBACK")

    done = run_while(lock, steps=steps)
    assert done.code == 0, done.err
    assert ("is locked; training goes on, and it is asked again" in done.err) == (seconds == 60)
    assert_whole(here, steps=steps)


@contextmanager
def serving(here: Path, port: int) -> Iterator[Callable[[], None]]:
    """An MLflow server of the store here; gives what kills it."""
    with server.serving(f"sqlite:///{here}/mlflow.db", port) as process:
        yield lambda: os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_server_is_killed_and_comes_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genloss.launch.tracker_process.PATIENCE", 60.0)
    store.connect(f"sqlite:///{here}/mlflow.db")
    port = unused_port()

    def kill_and_restart(kill: Callable[[], None]) -> None:
        wait_for_rows(here)
        kill()
        steps = [read_state(run).steps for run in the_study().runs()]
        time.sleep(1)
        shipped = rows(here)
        time.sleep(2)
        assert rows(here) == shipped
        assert [read_state(run).steps for run in the_study().runs()] > steps
        with serving(here, port):
            wait_for("the study's end", lambda: not the_study().is_alive())

    with serving(here, port) as kill:
        uri = f"http://{server.HOST}:{port}"
        done = run_while(lambda: kill_and_restart(kill), steps=240, uri=uri)
    assert done.code == 0, done.err
    assert "; training goes on, and it is asked again" in done.err
    assert_whole(here, steps=240)


@pytest.mark.slow
def test_a_server_is_killed_and_never_comes_again_until_sync(here: Path) -> None:
    store.connect(f"sqlite:///{here}/mlflow.db")
    port = unused_port()

    def kill_for_good(kill: Callable[[], None]) -> None:
        wait_for_rows(here)
        kill()

    with serving(here, port) as kill:
        done = run_while(lambda: kill_for_good(kill), uri=f"http://{server.HOST}:{port}")
    assert_not_all_shipped(done)
    assert rows(here).total() < recorded().total()
    still = genloss_in_this_process("sync")
    assert still.code == 1
    assert "does not answer: connection refused; it is asked again" in still.err
    with serving(here, port):
        said = genloss_in_this_process("sync", the_study().name)
        assert said.code == 0, said.err
        assert said.out == f"{the_study().name}: {recorded().total():,} values are in MLflow\n"
    assert_whole(here)


class Liar(BaseHTTPRequestHandler):
    """Hands requests on to a server and, now and then, answers 500 whatever that one has done."""

    behind: int
    random: random.Random
    lies: list[str]

    def forward(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        upstream = http.client.HTTPConnection(server.HOST, self.behind, timeout=30)
        headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
        upstream.request(self.command, self.path, self.rfile.read(length), headers)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        call = "/".join(self.path.partition("?")[0].split("/")[3:6])
        call = "artifacts" if "artifacts" in call else call
        # Each kind of call is answered wrongly the first time, and each sixth time thereafter.
        lie = answer.status == 200 and (call not in self.lies or self.random.random() < 1 / 6)
        if lie:
            self.lies.append(call)
            content = b"oops"
        self.send_response(500 if lie else answer.status)
        self.send_header("Content-Type", answer.getheader("Content-Type", "text/plain"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.mark.slow
def test_a_server_answers_500_after_it_has_committed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genloss.launch.tracker_process.PATIENCE", 60.0)
    store.connect(f"sqlite:///{here}/mlflow.db")
    port = unused_port()
    lies: list[str] = []
    handler = type("Handler", (Liar,), {"behind": port, "random": random.Random(0), "lies": lies})
    with serving(here, port), ThreadingHTTPServer((server.HOST, 0), handler) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        uri = f"http://{server.HOST}:{proxy.server_port}"
        done = genloss_in_this_process("run", write(steps=60, uri=uri))
        proxy.shutdown()
    assert done.code == 0, done.err
    assert {"mlflow/runs/create", "mlflow/runs/log-batch", "mlflow/runs/update", "artifacts"} <= set(lies)
    assert_whole(here, steps=60)


@pytest.mark.slow
def test_the_store_s_disk_is_full_until_sync(here: Path) -> None:
    (here / "mlruns").symlink_to(here / "disk" / "mlruns")
    uri = f"sqlite:///{here}/disk/mlflow.db"
    with small_disk(here / "disk", "8m"):
        os.chdir(here)
        (here / "disk" / "mlruns").mkdir()
        filling = here / "disk" / "filling"

        def fill() -> None:
            wait_for_rows(here / "disk")
            with suppress(OSError), filling.open("wb", buffering=0) as file:
                while file.write(bytes(512)):
                    continue

        done = run_while(fill, uri=uri)
        assert_not_all_shipped(done)
        assert " is full; training goes on, and it is asked again" in done.err
        filling.unlink()
        said = genloss_in_this_process("sync")
        assert said.code == 0, said.err
        assert_whole(here / "disk")
        for name in support.runs(here / "disk"):
            assert "journal.gz" in support.artifacts(here / "disk", name)
            assert "model/weights.safetensors" in support.artifacts(here / "disk", name)


@pytest.mark.slow
def test_a_run_is_deleted_and_another_is_not(here: Path) -> None:
    def delete() -> None:
        client = client_of(here)
        wait_for_rows(here)
        (found,) = [e for e in client.search_experiments() if e.name == "faults"]
        (run,) = [r for r in client.search_runs([found.experiment_id]) if r.info.run_name == "slow-0"]
        client.delete_run(run.info.run_id)

    done = run_while(delete, steps=4 * STEPS)  # it is not at its end by then
    name = the_study().name
    assert done.code == 0, done.err
    assert f"run `{name}/slow-0` was deleted in MLflow, which is sent no more of it" in done.err
    assert rows(here) == recorded(without="slow-0")
    assert support.runs(here) == {"slow-1": "FINISHED"}
    assert read_state(the_study().run("slow-0")).status == "FINISHED"
    assert genloss_in_this_process("sync").err == "MLflow has all of the studies here\n"
    assert support.runs(here) == {"slow-1": "FINISHED"}
    assert genloss_in_this_process("sync", name, "--deleted").code == 0
    assert_whole(here, steps=4 * STEPS)


@pytest.mark.slow
def test_an_experiment_is_deleted_and_restored(here: Path) -> None:
    found: list[str] = []

    def delete() -> None:
        client = client_of(here)
        wait_for_rows(here)
        found.extend(e.experiment_id for e in client.search_experiments() if e.name == "faults")
        client.delete_experiment(found[0])

    done = run_while(delete, steps=4 * STEPS)
    assert_not_all_shipped(done)
    assert "the MLflow experiment `faults` was deleted, and a deleted experiment keeps its name" in done.err
    assert "mlflow experiments restore --experiment-id" in done.err
    still = genloss_in_this_process("sync")
    assert still.code == 1
    assert "mlflow experiments restore --experiment-id" in still.err
    MlflowClient(f"sqlite:///{here}/mlflow.db").restore_experiment(found[0])
    assert genloss_in_this_process("sync").code == 0
    assert_whole(here, steps=4 * STEPS)


@pytest.mark.slow
def test_a_store_of_another_schema_is_refused_and_gets_all_once_it_is_right(here: Path) -> None:
    store.connect(f"sqlite:///{here}/mlflow.db")

    def set_version(version: str) -> str:
        with closing(sqlite3.connect(here / "mlflow.db")) as opened:
            ((before,),) = opened.execute("SELECT version_num FROM alembic_version").fetchall()
            opened.execute("UPDATE alembic_version SET version_num = ?", [version])
            opened.commit()
        return str(before)

    right = set_version("451aebb31d03")
    done = genloss_in_this_process("run", write(steps=2000))
    assert done.code == 1
    assert "is of an older MLflow than the installed" in done.err
    assert "`mlflow db upgrade sqlite:///mlflow.db`" in done.err
    assert rows(here).total() == 0
    set_version(right)
    assert genloss_in_this_process("sync", the_study().name).code == 0
    statuses = support.runs(here)
    assert set(statuses.values()) == {"KILLED"}
    shipped = Counter({row: count for row, count in rows(here).items() if row[2] >= 0})
    expected: Counter[tuple[str, str, int]] = Counter()
    for run in the_study().runs():
        columns = read_state(run).columns
        for frame, _ in journal.read(run.journal):
            if isinstance(frame, Values):
                steps = range(frame.first_step, frame.first_step + len(frame.values))
                expected.update(
                    (f"{the_study().name}/{run.path.name}", column.key, step)
                    for column in columns
                    for step in steps
                    if step % column.every == 0
                )
    assert shipped == expected


@pytest.mark.slow
def test_two_studies_begin_one_fresh_store_together(here: Path) -> None:
    file = write()
    processes = [support.start("run", file) for _ in range(2)]
    for process in processes:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert "Traceback" not in said
    assert len(list(ROOT.glob("*/study.json"))) == 2
    assert_whole(here)
