"""A run's numbers depend on its run.json alone, and on nothing that another run has left behind."""

from __future__ import annotations

import os
import random
import signal
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import genloss
from genloss.errors import RequestError
from genloss.launch.forkserver import ForkServers, Process
from genloss.launch.isolation import needs_own_process
from genloss.launch.pool import LAST_WORDS, TICK_SECONDS, Pool, Worker
from genloss.planning.plan import plan, runs
from genloss.record.folder import RunFolder, StudyFolder, values_from
from genloss.training.devices import Device
from genloss.training.surroundings import kept
from tests.launch.stains import soil

STAINS = Path(__file__).parent / "stains.py"
STEPS = 30


def experiment(objectives: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": "stains",
        "plugins": [str(STAINS)],
        "data": {"name": "two_moons", "size": 200},
        "model": {"name": "autoencoder", "latent_dim": 1, "hidden": [4]},
        "objectives": objectives,
        "training": {"steps": STEPS, "batch_size": 16},
        "seeds": 1,
        "devices": "cpu",
        "workers": 1,
        **more,
    }


@pytest.mark.filterwarnings("ignore::genloss.launch.result.UnfinishedWarning")
def test_a_run_computes_the_same_before_and_after_one_that_leaves_everything_changed(here: Path) -> None:
    progress = {"linear": {"from": 0.0, "to": 1.0, "steps": STEPS}}
    clean = {"network": "stain"}
    staining = {"network": {"stain": {"leave": True, "progress": progress}}}
    result = genloss.run(experiment({"before": clean, "staining": staining, "after": clean}))
    assert [run.name for run in result.runs] == ["before-0", "staining-0", "after-0"]
    before, after = (
        [row[0] for block in values_from(RunFolder(result.folder / name), 0) for row in block.values]
        for name in ("before-0", "after-0")
    )
    assert len(before) == STEPS
    assert after == before


def test_a_process_may_end_at_any_moment_and_its_worker_gets_the_next_run(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks first whether it still ends is told so, and then it has ended."""
    asked: set[Process] = set()
    is_leaving = Worker.is_leaving

    def ends_in_between(worker: Worker) -> bool:
        if worker._leaving is None:
            return False
        process, _ = worker._leaving
        if process in asked:
            process.wait()
            return is_leaving(worker)
        asked.add(process)
        return True

    monkeypatch.setattr(Worker, "is_leaving", ends_in_between)
    result = genloss.run(experiment({"stain": {"network": "stain"}}, seeds=3))
    assert [run.status for run in result.runs] == ["FINISHED"] * 3
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("changed", "own"),
    [({}, False), ({"plugins": [str(STAINS)]}, True), ({"training.compile": True}, True)],
)
def test_what_ships_with_genloss_shares_a_process(changed: dict[str, Any], own: bool) -> None:
    planned = plan(experiment({"plain": {"network": "squared_error"}}, plugins=[]), overrides=changed)
    (run,) = runs(planned, "study")
    assert needs_own_process(run, planned.catalogue) is own


def state() -> list[object]:
    return [
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.is_anomaly_enabled(),
        torch.nn.functional.mse_loss,
        list(warnings.filters),
        Path.cwd(),
        dict(os.environ),
        signal.getsignal(signal.SIGTERM),
    ]


def test_a_plan_leaves_its_process_as_it_was_and_tries_each_objective_alone() -> None:
    before = state()
    staining = {"network": {"stain": {"leave": True, "in_plan": True}}}
    with pytest.raises(RequestError, match="gets a gradient") as raised:
        plan(experiment({"staining": staining}))
    assert "staining" in str(raised.value.where)
    assert state() == before
    with kept():
        soil()
    plan(experiment({"clean": {"network": "stain"}}))
    assert state() == before


def test_functions_of_classes_and_libraries_are_put_back() -> None:
    inherited = torch.Tensor.add
    before = [torch.Tensor.mean, torch.linalg.norm, np.mean, random.random, "add" in vars(torch.Tensor)]
    with kept():
        torch.Tensor.mean = torch.Tensor.sum  # type: ignore[method-assign, assignment]
        torch.Tensor.add = torch.Tensor.sub  # type: ignore[method-assign, assignment]
        torch.linalg.norm = torch.linalg.det
        np.mean = np.sum  # type: ignore[assignment]
        random.random = lambda: 0.5
    assert before == [
        torch.Tensor.mean,
        torch.linalg.norm,
        np.mean,
        random.random,
        "add" in vars(torch.Tensor),
    ]
    assert torch.Tensor.add is inherited


def test_a_reference_leaves_its_process_as_it_was() -> None:
    """In a thread, as references are computed in."""
    before = state()

    def compute() -> None:
        with kept():
            torch.set_default_dtype(torch.float64)
            os.chdir("/")

    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    assert state() == before


def test_what_stops_the_launcher_too_is_no_silence_of_a_worker(tmp_path: Path) -> None:
    device = Device("cpu", "as asked for", 1, 1)
    study: Any = SimpleNamespace(folder=StudyFolder(tmp_path), devices=(device,))
    pool = Pool(study, False, ForkServers())
    pool._looked -= 20  # as after SIGSTOP and SIGCONT, or a closed lid
    assert list(pool.messages()) == []
    assert pool.workers[0].silence <= TICK_SECONDS


def test_of_a_large_log_the_last_words_alone_are_read(tmp_path: Path) -> None:
    worker = Worker(0, Device("cpu", "", 1, 1), StudyFolder(tmp_path), {}, ForkServers())
    assert worker.last_words() == ""
    (tmp_path / "logs").mkdir()
    with (tmp_path / "logs" / "worker-0.log").open("wb") as log:
        log.truncate(1 << 40)  # more than any memory holds
        log.seek(0, os.SEEK_END)
        log.write(b"the end")
    assert worker.last_words().endswith("\0the end")
    assert len(worker.last_words()) == LAST_WORDS
