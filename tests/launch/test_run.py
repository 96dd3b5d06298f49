"""Whole studies: real processes, a real store, and what each part of the record holds afterwards."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from safetensors.torch import load_file

import genloss
from genloss.errors import RecordError
from genloss.launch.forkserver import FORKS
from genloss.launch.progress import Silence
from genloss.launch.recovery import tell_crashed
from genloss.launch.run import UnfinishedWarning
from tests.faults.traps.killing import family
from tests.launch.conftest import experiment


def shown(folder: Path) -> dict[str, MlflowRun]:
    """What MLflow has, by run name."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    ids = [found.experiment_id for found in client.search_experiments()]
    trained = client.search_runs(ids, "tags.`genloss.run` LIKE '%'", max_results=500)
    return {run.info.run_name: run for run in trained}


def artifacts(folder: Path, run: MlflowRun) -> set[str]:
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return {item.path for item in client.list_artifacts(run.info.run_id)}


GAN = {
    "name": "small-gan",
    "description": "Two objectives on a ring",
    "data": {"name": "gaussian_ring", "size": 500},
    "model": {"name": "gan", "latent_dim": 2, "hidden": [16]},
    "objectives": {
        "non_saturating": {"discriminator": "minimax_discriminator", "generator": "non_saturating_generator"},
        "wgan_gp": {
            "discriminator": ["wasserstein_discriminator", {"gradient_penalty": {"weight": 10, "every": 2}}],
            "generator": "wasserstein_generator",
            "with": {"training.players.discriminator.updates_per_step": 2},
        },
    },
    "training": {"steps": 60, "batch_size": 32},
    "seeds": [3, 5],
    "devices": "cpu",
    "workers": 2,
    "evaluation": {"every": 25, "samples": 200, "metrics": ["mixture_coverage"]},
}


def test_a_study_is_in_mlflow_whole(empty: Path) -> None:
    here = empty
    result = genloss.run(GAN)
    assert result.exit_code == 0
    assert result.shipped
    assert repr(result) == f"<study {result.name}: 4 of 4 runs finished, in .genloss/{result.name}>"
    assert result._repr_html_() == result.comparison._repr_html_()
    assert (here / ".genloss/.gitignore").read_text() == "*\n"
    for private in (
        here / ".genloss",
        result.folder,
        *result.folder.glob("*/journal"),
        *result.folder.glob("*.json"),
    ):
        assert private.stat().st_mode & 0o077 == 0
    runs = shown(here)
    assert set(runs) == {"non_saturating-3", "non_saturating-5", "wgan_gp-3", "wgan_gp-5"}
    client = MlflowClient(f"sqlite:///{here}/mlflow.db")
    for name, run in runs.items():
        objective, seed = name.split("-")
        assert run.info.status == "FINISHED"
        assert (run.data.params["objective"], run.data.params["seed"]) == (objective, seed)
        assert "mlflow.parentRunId" not in run.data.tags
        assert {
            "mlflow.user",
            "mlflow.source.name",
            "genloss.version",
            "genloss.torch",
            "genloss.plugins",
        } <= set(run.data.tags)
        assert {
            "config.yaml",
            "experiment.yaml",
            "packages.txt",
            "loss_curves.png",
            "model",
        } <= artifacts(here, run)
        assert run.inputs.dataset_inputs[0].dataset.name == "gaussian_ring"
        images = client.list_artifacts(run.info.run_id, "images")
        assert len([image for image in images if image.path.endswith(".png")]) >= 3
        terms = ["discriminator/total", "generator/total"]
        terms += (
            ["discriminator/minimax_discriminator", "generator/non_saturating_generator"]
            if objective == "non_saturating"
            else ["discriminator/wasserstein_discriminator", "generator/wasserstein_generator"]
        )
        for key in terms:
            steps = [metric.step for metric in client.get_metric_history(run.info.run_id, key)]
            assert sorted(steps) == list(range(60)), key
        evaluated = client.get_metric_history(run.info.run_id, "eval/modes_captured")
        assert [metric.step for metric in evaluated] == [25, 50, 60]
        assert f"held_out/{terms[2]}" in run.data.metrics
        assert "generator/gradient_norm" in run.data.metrics
    penalty = client.get_metric_history(runs["wgan_gp-3"].info.run_id, "discriminator/gradient_penalty")
    assert sorted(metric.step for metric in penalty) == list(range(0, 60, 2))
    found = client.get_experiment(runs["wgan_gp-3"].info.experiment_id)
    note = found.tags["mlflow.note.content"]
    for word in ("non_saturating", "wgan_gp", "modes_captured", "±", "real data", result.name):
        assert word in note
    view = json.loads(found.tags[f"mlflow.sharedViewState.{result.name}"])
    assert view["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "objective"}]

    # The model of a run comes back, from its folder and from MLflow.
    first = result.runs[0]
    here_model = genloss.load(first.folder.path)
    there_model = genloss.load(runs[first.name].info.run_id)
    for model in (
        here_model,
        there_model,
        genloss.load(first),
        genloss.load(replace(first, folder=None, run_id=runs[first.name].info.run_id)),
        genloss.load(first.folder),
        genloss.load(f"{result.name}/{first.name}"),
        genloss.load(first.folder.artifacts / "model"),
    ):
        torch.manual_seed(1)
        assert model.sample(5).shape == (5, 2)
    for ours, theirs in zip(here_model.parameters(), there_model.parameters(), strict=True):
        assert torch.equal(ours, theirs)

    # So do its values, each at its step.
    for found in (first, first.folder.path, f"{result.name}/{first.name}", runs[first.name].info.run_id):
        history = genloss.history(found)
        assert history["generator/total"].steps.tolist() == list(range(60))
        assert history["eval/modes_captured"].steps.tolist() == [25, 50, 60]
        assert {*history, "cost/seconds", "cost/peak_memory"} == set(runs[first.name].data.metrics)
    stored = client.get_metric_history(runs[first.name].info.run_id, "generator/total")
    assert [metric.value for metric in sorted(stored, key=lambda metric: metric.step)] == history[
        "generator/total"
    ].values.tolist()
    with pytest.raises(RecordError, match="there is no run `nothing`"):
        genloss.history("nothing")

    # The line that it is said to be reproduced by gives the same run again, bit for bit.
    run = next(run for run in result.runs if run.name == "wgan_gp-5")
    words = shlex.split(run.reproduce)
    assert words[:2] == ["genloss", "run"]
    subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True, timeout=300)
    folders = list(here.glob(".genloss/*/wgan_gp-5"))
    assert len(folders) == 2
    first, second = (load_file(folder / "artifacts" / "model" / "weights.safetensors") for folder in folders)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_that_goes_wrong_fails_alone(here: Path) -> None:
    wrong = ["raise", "kill", "kill_parent", "exit", "segfault", "nan", "hang"]
    faults = experiment("terminate", *wrong, "wander", "none", training=timed(4))
    with pytest.warns(
        UnfinishedWarning, match=r"8 of 10 runs of study `faults-.*` did not finish; `raise-0`"
    ):
        result = genloss.run(faults)
    status = {run.objective: run.status for run in result.runs}
    right = dict.fromkeys(["wander", "none"], "FINISHED")
    assert status == {"terminate": "INTERRUPTED", **right, **dict.fromkeys(wrong, "FAILED")}
    assert result.exit_code == 1
    assert result.resume == f"genloss resume {result.name}"
    messages = {run.objective: run.message for run in result.runs}
    assert re.fullmatch(
        r"loss `faulty` \(.*/launch/faulty\.py:\d+\): ZeroDivisionError: planted", messages["raise"]
    )
    hints = {run.objective: run.hint for run in result.runs}
    assert hints["nan"].startswith("lower the learning rate or clip gradients; ")
    assert hints["raise"] == hints["kill"] == ""
    assert messages["kill"] == messages["kill_parent"] == "the worker was ended by SIGKILL"
    assert not alive(int((here / "forked").read_text()))  # what a worker has started ends with it
    assert messages["terminate"] == "stopped at step 22"
    assert messages["segfault"] == "the worker was ended by SIGSEGV"
    assert messages["exit"] == "the worker ended by itself with exit code 0"
    assert messages["hang"] == "no progress for 4 s (`training.timeout`)"
    assert messages["nan"].startswith(
        "`network/faulty` became nan at step 21; the last finite values, at step 20"
    )
    runs = shown(here)
    assert {name: run.info.status for name, run in runs.items()} == {
        f"{objective}-0": said for objective, said in {**status, "terminate": "KILLED"}.items()
    }
    for run in runs.values():
        assert ("traceback.txt" in artifacts(here, run)) == (run.info.status == "FAILED")
    traceback = (result.folder / "raise-0" / "artifacts" / "traceback.txt").read_text()
    assert 'raise ZeroDivisionError("planted")' in traceback
    assert "genloss run" in traceback
    assert "--objective raise" in traceback
    note = (
        MlflowClient(f"sqlite:///{here}/mlflow.db")
        .get_experiment_by_name("faults")
        .tags["mlflow.note.content"]
    )
    assert "8 of 10 runs did not finish" in note


def timed(seconds: float) -> dict[str, Any]:
    return {"steps": 40, "batch_size": 16, "timeout": seconds}


def test_on_failure_stop_begins_no_more_runs(here: Path) -> None:
    with pytest.warns(UnfinishedWarning):
        result = genloss.run(experiment("raise", "none", on_failure="stop", seeds=3, workers=1))
    assert [run.status for run in result.runs].count("NOT STARTED") >= 4
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_a_signal_ends_the_runs_as_killed(here: Path, number: signal.Signals, code: int) -> None:
    (here / "slow.yaml").write_text(yaml.safe_dump(experiment("slow", steps=2000, seeds=3)))
    process = subprocess.Popen(
        [sys.executable, "-m", "genloss", "run", "slow.yaml"], stderr=subprocess.PIPE, text=True
    )
    wait_for_values(here, at_least=2)
    process.send_signal(number)
    _, said = process.communicate(timeout=300)
    assert process.returncode == code, said
    runs = shown(here)
    assert len(runs) == 2
    assert {run.info.status for run in runs.values()} == {"KILLED"}
    assert "0 of 3 runs finished" in said
    assert re.search(r"^  genloss resume faults-\S+$", said, re.MULTILINE)
    assert "Traceback" not in said


def test_workers_end_when_their_launcher_is_killed(here: Path) -> None:
    (here / "slow.yaml").write_text(yaml.safe_dump(experiment("slow", steps=4000, seeds=1)))
    process = subprocess.Popen(
        [sys.executable, "-m", "genloss", "run", "slow.yaml"], stderr=subprocess.DEVNULL
    )
    wait_for_values(here, at_least=1)
    children = family(process.pid)[1:]
    assert len(children) >= 2 + FORKS, "the worker, the tracker and what forks workers"
    process.kill()
    process.wait()
    deadline = time.monotonic() + 300
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [child for child in children if alive(child)]


def wait_for_values(here: Path, *, at_least: int) -> None:
    """Until so many runs have recorded values."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        begun = [path for path in here.glob(".genloss/*/*/journal") if path.stat().st_size > 1500]
        if len(begun) >= at_least:
            return
        time.sleep(0.1)
    raise AssertionError("no run has begun")


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return (
        "Z"
        not in subprocess.run(
            ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True
        ).stdout
    )


def test_a_disk_without_room_for_a_study_is_left_as_it_was(here: Path) -> None:
    (here / "none.yaml").write_text(yaml.safe_dump(experiment("none")))
    done = subprocess.run(
        ["sh", "-c", f"ulimit -f 2; exec {sys.executable} -m genloss run none.yaml"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"error: `\.genloss/faults-\S+` could not be filled: .*\n", done.stderr), done.stderr
    assert [path.name for path in here.glob(".genloss/*")] == [".gitignore"]


def test_where_files_cannot_be_locked_nothing_is_left_and_the_hint_says_where_to_work(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RecordError, match="cannot be locked: Function not implemented") as raised:
        genloss.run(experiment("none"))
    assert raised.value.hint == "its file system has no locks: work in a folder of a local disk"
    assert [path.name for path in here.glob(".genloss/*")] == [".gitignore"]


class Broken(Silence):
    """A display with a mistake."""

    def began(self, *_: object) -> None:
        raise ZeroDivisionError("planted")


class Unwritable(Silence):
    """A display whose reader is gone."""

    def ended(self, *_: object) -> None:
        raise BrokenPipeError

    def note(self, *_: object) -> None:
        raise ValueError("I/O operation on closed file")


def test_an_exception_of_the_launcher_is_told_as_a_crash_and_output_without_a_reader_ends_nothing(
    here: Path,
) -> None:
    with pytest.raises(ZeroDivisionError, match="planted"):
        genloss.run(experiment("none"), display=Broken())
    told: list[str] = []
    tell_crashed(told.append)
    assert re.fullmatch(r"`none-0` of study `\S+` did not finish, as its launcher died; go on with", told[0])
    result = genloss.resume(display=Unwritable())
    assert [run.status for run in result.runs] == ["FINISHED"]
