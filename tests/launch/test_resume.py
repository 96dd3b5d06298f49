"""Studies that were cut off and go on: what they come to is what they would have come to."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

import genloss
from genloss.comparison.from_records import comparison_of
from genloss.errors import RecordError, RequestError, TrackingError
from genloss.experiment.schema import Run
from genloss.launch import recovery
from genloss.launch.preparation import prepare
from genloss.launch.progress import Silence
from genloss.launch.result import UnfinishedWarning
from genloss.planning.plan import plan, runs
from genloss.record import owner
from genloss.record.events import Started
from genloss.record.folder import RunFolder, StudyFolder, read_state
from genloss.record.journal import Journal
from tests.launch.conftest import FAULTY, experiment
from tests.launch.records import assert_same, assert_shipped, events, weights
from tests.launch.test_run import wait_for_values

STEPS = 60


def noisy(fault: str, **more: Any) -> dict[str, Any]:
    """An experiment with noise, moments, an average of the weights, evaluations and checkpoints to lose."""
    content = experiment(fault, steps=STEPS)
    loss = content["objectives"][fault]["network"]["faulty"]
    content["model"] = {"name": "vae", "latent_dim": 2, "hidden": [8], "likelihood": "gaussian"}
    content["objectives"] = {"vae": {"network": [{"faulty": loss}, {"gaussian_kl": {"every": 2}}]}}
    content["training"] |= {"ema": 0.9, "checkpoint_every": 7}
    metrics = [{"maximum_mean_discrepancy": {"features": "data"}}]
    content["evaluation"] = {"every": 25, "samples": 40, "metrics": metrics}
    return {**content, **more}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, fresh_store: bytes) -> RunFolder:
    """The run that nobody interrupts."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "mlflow.db").write_bytes(fresh_store)
    before = Path.cwd()
    os.chdir(folder)
    try:
        (run,) = genloss.run(noisy("none")).runs
    finally:
        os.chdir(before)
    assert run.status == "FINISHED", run.message
    return RunFolder(folder / run.folder.path)


class CtrlC(Silence):
    """Somebody who presses Ctrl-C once a run has come so far, and again when it is ending, if impatient."""

    def __init__(self, step: int, *, impatient: bool = False) -> None:
        self.step = step
        self.impatient = impatient
        self.said: list[str] = []
        self._pressed = False

    def progress(self, _: Run, message: Mapping[str, Any]) -> None:
        if message["step"] >= self.step and not self._pressed:
            self._pressed = True
            signal.raise_signal(signal.SIGINT)

    def stopping(self) -> None:
        if self.impatient:
            signal.raise_signal(signal.SIGINT)

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.slow
def test_a_study_that_is_interrupted_twice_ends_with_the_same_bits(here: Path, reference: RunFolder) -> None:
    with pytest.warns(UnfinishedWarning, match="1 of 1 runs"):
        first = genloss.run(noisy("slow"), display=CtrlC(10))
    assert (first.exit_code, first.resume) == (130, f"genloss resume {first.name}")
    run = first.runs[0].folder
    stopped = read_state(run)
    assert (stopped.status, stopped.message) == ("INTERRUPTED", f"stopped at step {stopped.steps}")
    assert 10 <= stopped.steps < STEPS

    with pytest.warns(UnfinishedWarning, match="1 of 1 runs"):
        second = genloss.resume(display=CtrlC(stopped.steps + 5, impatient=True))
    assert second.exit_code == 130
    assert read_state(run).message == "ended at once by a second signal"
    assert not second.folder.joinpath("launcher.lock").read_text()

    third = genloss.resume(first.name)
    assert third.exit_code == 0
    assert third.shipped
    starts = events(run, "start")
    assert [start["attempt"] for start in starts] == [1, 2, 3]
    assert "resumed_from" not in starts[0]
    assert starts[1]["resumed_from"] == stopped.steps
    assert stopped.steps <= starts[2]["resumed_from"] < STEPS
    assert_same(run, reference)
    assert_shipped(here, "vae-0", reference)
    assert not run.checkpoints.exists()


def test_a_worker_that_is_killed_is_started_again_where_it_was(here: Path, reference: RunFolder) -> None:
    result = genloss.run(noisy("kill_once", on_failure={"retry": 1}))
    assert result.exit_code == 0
    run = result.runs[0].folder
    assert [path.name for path in result.folder.glob("vae-0*")] == ["vae-0"]
    _, second = events(run, "start")
    assert (second["attempt"], second["resumed_from"]) == (2, 28)
    failed, _ = events(run, "status")
    assert (failed["status"], failed["message"]) == ("FAILED", "the worker was ended by SIGKILL")
    assert_same(run, reference)
    assert_shipped(here, "vae-0", reference)


@pytest.mark.slow
def test_a_retry_is_one_of_so_many(here: Path) -> None:
    with pytest.warns(UnfinishedWarning, match="1 of 2 runs"):
        result = genloss.run(experiment("raise", "none", on_failure={"retry": 2}))
    assert [run.status for run in result.runs] == ["FAILED", "FINISHED"]
    assert [start["attempt"] for start in events(result.runs[0].folder, "start")] == [1, 2, 3]
    assert len(events(result.runs[1].folder, "start")) == 1


@pytest.mark.slow
def test_a_full_disk_fails_the_run_and_what_is_there_goes_on(here: Path, reference: RunFolder) -> None:
    with pytest.warns(UnfinishedWarning, match="1 of 1 runs"):
        result = genloss.run(noisy("full_disk"))
    (run,) = result.runs
    assert run.status == "FAILED"
    assert re.search("the journal `.*/journal` could not be written", run.message)
    assert "`genloss resume`" in run.hint
    assert genloss.resume().exit_code == 0
    assert_same(run.folder, reference)
    assert_shipped(here, "vae-0", reference)


@pytest.mark.slow
def test_the_weights_of_the_last_finite_step_are_kept(here: Path) -> None:
    content = experiment("nan", "none")
    content["objectives"]["none"]["with"] = {"training.steps": 20}
    content["objectives"]["none"]["network"] = content["objectives"]["nan"]["network"]
    with pytest.warns(UnfinishedWarning, match=r"`network/faulty` became nan at step 21"):
        result = genloss.run(content)
    nan, none = result.runs
    assert (nan.status, none.status) == ("FAILED", "FINISHED")
    (status,) = events(nan.folder, "status")
    assert status["weights_step"] == 20
    assert status["weights"] == weights(none.folder)
    kept, trained = (run.folder.artifacts / "model" / "weights.safetensors" for run in (nan, none))
    assert kept.read_bytes() == trained.read_bytes()
    genloss.load(nan)


@pytest.mark.slow
def test_kernels_are_deterministic_where_that_is_asked_for(here: Path) -> None:
    content = experiment("kernels", "none", workers=1)
    content["objectives"]["kernels"]["with"] = {"training.deterministic": True}
    content["objectives"]["none"]["network"] = content["objectives"]["kernels"]["network"]
    with pytest.warns(UnfinishedWarning, match="`none-0` failed: .*kernels may give other bits"):
        result = genloss.run(content)
    assert [run.status for run in result.runs] == ["FINISHED", "FAILED"]


def prepared(content: Mapping[str, Any], name: str = "faults-1") -> StudyFolder:
    """A study whose launcher died before it trained anything."""
    folder = StudyFolder.create(name)
    planned = plan(content)
    prepare(folder, planned, runs(planned, folder.name))
    return folder


def test_what_has_changed_is_refused_by_name_or_accepted_and_tagged(here: Path) -> None:
    shutil.copy(FAULTY, "mine.py")
    folder = prepared(experiment("none", plugins=[str(here / "mine.py")], steps=4))
    with Path("mine.py").open("a") as plugin:
        plugin.write(f"# {here}\n")  # code that nobody has run before
    content = folder.read()
    content["fingerprint"]["torch"] = "2.0.0"
    folder.write(content)
    run = folder.run("none-0")
    run.run.write_text(run.run.read_text().replace('"batch_size":16', '"batch_size":17'))
    with pytest.raises(RequestError) as caught:
        genloss.resume("faults-1")
    assert re.fullmatch(
        r"study `faults-1` would not go on as it began: plugin mine\.py \w+, now \w+", caught.value.message
    )
    assert "`genloss resume faults-1 --allow-drift --plugin mine.py`" in str(caught.value.hint)
    with pytest.raises(RequestError) as caught:
        genloss.resume("faults-1", plugins=["mine.py"])
    assert re.fullmatch(
        r"study `faults-1` would not go on as it began: torch 2\.0\.0, now \S+; "
        r"plugin mine\.py \w+ \(\w+\), now \w+ \(\w+\); configuration of none-0 \w+, now \w+",
        caught.value.message,
    )
    assert "--allow-drift" in str(caught.value.hint)
    assert not run.journal.exists()

    before = Run.model_validate_json(run.run.read_text()).code
    assert genloss.resume(folder.path, allow_drift=True).exit_code == 0
    after = Run.model_validate_json(run.run.read_text()).code
    assert [name for name in before if before[name] != after[name]] == ["network.faulty.@code"]
    (start,) = events(run, "start")
    assert start["drift"].startswith("torch 2.0.0, now ")
    with closing(sqlite3.connect("mlflow.db")) as store:
        ((tag,),) = store.execute("SELECT value FROM tags WHERE key = 'genloss.drift'")
    assert tag == start["drift"]
    # There is nothing left that could differ.
    done = genloss.resume()
    assert (done.exit_code, done.resume) == (0, None)


@pytest.mark.parametrize("name", ["nothing", "../nothing", "", ".genloss/faults"])
def test_a_study_that_is_not_there(here: Path, name: str) -> None:
    with pytest.raises(RequestError, match=r"there is no study `.*` in this folder"):
        genloss.resume(name)


def test_no_study_at_all(here: Path) -> None:
    with pytest.raises(RequestError, match="there is no study in this folder"):
        genloss.resume()


@pytest.mark.parametrize(
    "damage",
    [
        {"runs": [{"name": "none-0"}]},
        {"runs": 3},
        {"metrics": None},
        {"fingerprint": []},
        {"devices": [{"name": "cpu"}]},
        {"experiment": {}},
    ],
    ids=str,
)
def test_a_study_json_that_is_not_as_it_was_written(here: Path, damage: dict[str, Any]) -> None:
    folder = prepared(experiment("none", steps=4))
    folder.write({**folder.read(), **damage})
    with pytest.raises(RecordError, match=r"study\.json` is damaged: "):
        genloss.resume()


def test_a_run_json_that_says_nothing_is_written_again(here: Path) -> None:
    folder = prepared(experiment("none", steps=4, seeds=3))
    files = [folder.run(name).run for name in folder.names()]
    before = [file.read_bytes() for file in files]
    files[0].unlink()
    files[1].write_text("")
    files[2].write_text("{}")
    assert genloss.resume().exit_code == 0
    assert [file.read_bytes() for file in files] == before


def test_a_study_json_that_names_a_run_elsewhere(here: Path) -> None:
    folder = prepared(experiment("none", steps=4))
    folder.study.write_text(folder.study.read_text().replace('"name": "none-0"', '"name": "../../../none-0"'))
    with pytest.raises(RecordError, match="which is not a name of a folder in it"):
        genloss.resume()
    assert not (here.parent / "none-0").exists()


def test_no_password_is_recorded(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:sesame@127.0.0.1:9/#/experiments/0")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "team")
    folder = prepared(experiment("none", steps=4))
    content = folder.read()
    assert content["tracking_uri"] == "http://127.0.0.1:9"
    assert content["experiment_name"] == "team"
    assert not [path for path in here.rglob("*") if path.is_file() and b"sesame" in path.read_bytes()]
    folder = prepared(experiment("none", steps=4, tracking={"experiment": "mine"}))
    assert folder.read()["experiment_name"] == "mine"


def test_a_study_json_that_names_a_store_elsewhere(here: Path) -> None:
    folder = prepared(experiment("none", steps=4))
    folder.write({**folder.read(), "tracking_uri": "http://127.0.0.1:9"})
    with pytest.raises(TrackingError, match="which nothing else here names"):
        genloss.resume()
    assert not folder.run("none-0").journal.exists()
    assert genloss.resume(tracking_uri="sqlite:///mlflow.db").shipped


def test_another_study_does_not_stumble_over_a_damaged_one(here: Path) -> None:
    folder = StudyFolder.create("faults-1")
    folder.study.write_text("[]")
    folder.lock.write_text(json.dumps(asdict(owner.this_process())))
    said: list[str] = []
    recovery.tell_crashed(said.append)
    assert said == ["`.genloss/faults-1/study.json` cannot be read: it is not a mapping"]


def test_a_study_of_another_folder_is_resumed_there(here: Path) -> None:
    (here / "there/.genloss/faults-1").mkdir(parents=True)
    (here / "there/.genloss/faults-1/study.json").write_text("{}")
    with pytest.raises(RequestError, match="study `faults-1` was not run in this folder") as caught:
        genloss.resume("there/.genloss/faults-1")
    assert caught.value.hint == f"cd {here}/there && genloss resume faults-1"


def test_only_one_is_at_a_study(here: Path) -> None:
    folder = prepared(experiment("none", steps=4))
    with folder.locked(), pytest.raises(RecordError) as caught:
        genloss.resume()
    assert re.fullmatch(rf"process {os.getpid()} on \S+ is at study `faults-1`", caught.value.message)
    assert not folder.run("none-0").journal.exists()


@pytest.mark.slow
def test_runs_whose_journal_is_damaged_or_missing_begin_anew(here: Path) -> None:
    before = genloss.run(experiment("none", "slow", steps=8))
    flipped, missing = (run.folder for run in before.runs)
    digests = weights(flipped), weights(missing)
    content = bytearray(flipped.journal.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.journal.write_bytes(content)
    missing.journal.unlink()
    shown = comparison_of(StudyFolder(before.folder)).runs
    assert [run.status for run in shown] == ["FAILED", "NOT STARTED"]
    notes = CtrlC(STEPS)
    after = genloss.resume(before.name, display=notes)
    assert after.exit_code == 0, after.runs
    assert (weights(flipped), weights(missing)) == digests
    assert re.search(r"the journal `.*none-0/journal` is damaged at byte \d+; ", notes.said[0])
    assert notes.said[1].startswith("the journal of `slow-0` is missing; it starts over")
    aside = {path.name for path in before.folder.glob("*.damaged-1")}
    assert aside == {"none-0.damaged-1", "slow-0.damaged-1"}
    assert status(here) == {
        "none-0": "FINISHED",
        "slow-0": "FINISHED",
        "none-0.damaged-1": "FAILED",
        "slow-0.damaged-1": "FAILED",
    }


@pytest.mark.slow
def test_a_study_whose_launcher_died_is_told_and_closed(here: Path) -> None:
    folder = prepared(experiment("slow", "none"), name="dead-1")
    with Journal(folder.run("slow-0").journal) as journal:
        journal.event(Started(device="cpu", device_name="cpu", threads=1, attempt=1))
    folder.lock.write_text('{"host": "somewhere", "process": 1, "started": "long ago"}')
    notes = CtrlC(STEPS)
    genloss.run(experiment("none", steps=4), display=notes)
    assert notes.said[:2] == [
        "`slow-0` and `none-0` of study `dead-1` did not finish, as its launcher died; go on with",
        "  genloss resume dead-1",
    ]
    assert read_state(folder.run("slow-0")).status == "INTERRUPTED"
    deadline = time.monotonic() + 300  # nobody waits for the tracker, which is a process by itself
    while status(here) != {"slow-0": "KILLED", "none-0": "FINISHED"}:
        assert time.monotonic() < deadline, status(here)
        time.sleep(0.2)


def status(here: Path) -> dict[str, str]:
    """MLflow's status of each run."""
    with closing(sqlite3.connect(here / "mlflow.db")) as store:
        return dict(store.execute("SELECT name, status FROM runs WHERE name != 'comparison'").fetchall())


HOLD = """
import pathlib, sys, time
from genloss.record.folder import RunFolder

with RunFolder(pathlib.Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_worker_that_hangs_without_its_launcher_is_ended(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "PATIENCE", 0.3)
    folder = prepared(experiment("none", steps=4))
    run = folder.run("none-0")
    with subprocess.Popen([sys.executable, "-c", HOLD, run.path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        notes = CtrlC(STEPS)
        assert genloss.resume(display=notes).exit_code == 0
        assert holder.wait() == -signal.SIGKILL
    assert notes.said[0] == "waiting up to 0 s for the workers of the last launcher to end `none-0`"
    assert f"process {holder.pid} on" in notes.said[1]


def begin(*arguments: str) -> subprocess.Popen[str]:
    """Starts `genloss …` in the working folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "genloss", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_launcher_that_is_killed_is_followed_by_another(here: Path, reference: RunFolder) -> None:
    Path("slow.yaml").write_text(yaml.safe_dump(noisy("slow")))
    launcher = begin("run", "slow.yaml")
    wait_for_values(here, at_least=1)
    launcher.kill()
    launcher.communicate()
    (folder,) = [StudyFolder(path.parent) for path in here.glob(".genloss/*/study.json")]
    run = folder.run("vae-0")
    assert folder.has_crashed() or not folder.is_alive()
    Path("slow.yaml").write_text("name: something else\n")
    resumed = begin("resume")
    said, told = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, told
    assert said.splitlines()[-1] == f"genloss ui {folder.name}"
    assert "`slow.yaml` has changed since; the study goes on with what it began with" in told
    assert_same(run, reference)
    assert_shipped(here, "vae-0", reference)
    Path("slow.yaml").unlink()
    again = begin("resume", folder.name)
    said, told = again.communicate(timeout=300)
    assert again.returncode == 0, told
    assert "1 of them finished before, nothing is left to train" in told


@pytest.mark.slow
def test_two_launchers_at_once(empty: Path) -> None:
    Path("slow.yaml").write_text(yaml.safe_dump(noisy("slow")))
    first, second = begin("run", "slow.yaml"), begin("run", "slow.yaml")
    for launcher in (first, second):
        _, told = launcher.communicate(timeout=300)
        assert launcher.returncode == 0, told
    one, other = (RunFolder(path) for path in sorted(empty.glob(".genloss/*/vae-0")))
    assert_same(one, other)
    with closing(sqlite3.connect("mlflow.db")) as store:
        found = store.execute("SELECT status FROM runs WHERE name != 'comparison'").fetchall()
    assert found == [("FINISHED",)] * 2


@pytest.mark.slow
def test_two_resumes_at_once(here: Path) -> None:
    with pytest.warns(UnfinishedWarning):
        genloss.run(noisy("slow"), display=CtrlC(10))
    both = [begin("resume"), begin("resume")]
    told = [launcher.communicate(timeout=300)[1] for launcher in both]
    codes = [launcher.returncode for launcher in both]
    assert sorted(codes) == [0, 1], told
    refused = codes.index(1)
    assert re.search(rf"error: process {both[1 - refused].pid} on \S+ is at study `faults-", told[refused])
