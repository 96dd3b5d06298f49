"""A sweep's points are runs like any others: they are trained, shown and resumed by their names."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

import genloss
from genloss.launch.result import StudyResult
from genloss.record.folder import RunFolder
from tests.launch.records import assert_same, events, weights
from tests.launch.test_run import wait_for_values

WEIGHT, WIDTH = "objectives.vae.network.gaussian_kl.weight", "model.latent_dim"


def grid(steps: int, *, weights: list[float], widths: list[int], **more: Any) -> dict[str, Any]:
    """A grid of points of a VAE, and an objective that only the widths are swept of."""
    return {
        "name": "grid",
        "data": {"name": "two_moons", "size": 300},
        "model": {"name": "vae", "latent_dim": 1, "hidden": [4], "likelihood": "gaussian"},
        "objectives": {
            "vae": {"network": ["gaussian_nll", "gaussian_kl"]},
            **more.pop("others", {}),
        },
        "training": {"steps": steps, "batch_size": 16},
        "sweep": {WEIGHT: weights, WIDTH: widths},
        "seeds": 1,
        "devices": "cpu",
        "workers": 2,
        "evaluation": {"samples": 40, "metrics": ["reconstruction_error"]},
        **more,
    }


def folders(result: StudyResult) -> list[RunFolder]:
    return [RunFolder(result.folder / run.name) for run in result.runs]


def test_points_are_trained_and_shown_as_objectives_and_one_alone_has_the_same_bits(here: Path) -> None:
    content = grid(12, weights=[0.5, 4.0], widths=[2], others={"plain": {"network": "gaussian_nll"}})
    (here / "grid.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    result = genloss.run("grid.yaml")
    assert result.exit_code == 0
    names = ["vae,weight=0.5,latent_dim=2", "vae,weight=4.0,latent_dim=2", "plain,latent_dim=2"]
    assert [run.objective for run in result.runs] == names
    client = MlflowClient(f"sqlite:///{here}/mlflow.db")
    (experiment,) = [found for found in client.search_experiments() if found.name == "grid"]
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    shown = runs["vae,weight=4.0,latent_dim=2-0"].data
    assert shown.params["objective"] == names[1]
    assert shown.params["network.gaussian_kl.weight"] == "4.0"
    assert shown.params["model.latent_dim"] == "2"
    view = json.loads(experiment.tags[f"mlflow.sharedViewState.{result.name}"])
    assert set(view["groupsExpanded"]) == {f"param.objective.{name}" for name in names}

    line = shlex.split(shown.tags["genloss.reproduce"])
    assert line[:5] == ["genloss", "run", "grid.yaml", "--objective", names[1]]
    overrides = [word for flag, word in pairwise(line) if flag == "--set"]
    again = genloss.run(line[2], objectives=[line[4]], overrides=overrides)
    (alone,), (half, four, _) = folders(again), folders(result)
    assert weights(alone) == weights(four) != weights(half)


@pytest.mark.slow
def test_a_grid_that_is_killed_is_resumed_to_the_same_bits(here: Path) -> None:
    """Three by three points; what they are is in study.json: the file says something else by then."""
    content = grid(400, weights=[0.5, 1, 4], widths=[1, 2, 3])
    content["training"]["checkpoint_every"] = 50
    reference = genloss.run(content)
    (here / "grid.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    before = set(here.glob(".genloss/*"))
    process = subprocess.Popen(
        [sys.executable, "-m", "genloss", "run", "grid.yaml"], stderr=subprocess.DEVNULL
    )
    wait_for_values(here, at_least=len(reference.runs) + 3)
    process.kill()
    process.wait()
    (folder,) = set(here.glob(".genloss/*-*")) - before
    (here / "grid.yaml").write_text(yaml.safe_dump({**content, "sweep": None}))
    result = genloss.resume(folder.name)
    assert result.exit_code == 0
    assert result.shipped
    assert len(result.runs) == 9
    attempts = []
    for run, other in zip(folders(result), folders(reference), strict=True):
        assert run.path.name == other.path.name
        assert_same(run, other)
        attempts.append(len(events(run, "start")))
    assert 1 in attempts
    assert 2 in attempts  # it was killed in the midst
