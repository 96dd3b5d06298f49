"""The experiments of this repository, as a newcomer runs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests import processor
from tests.tracking.pages import browser, find_groups_and_chart, served

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
ALL = sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))
FEW_STEPS = ("training.steps=6", "seeds=1", "evaluation.every=3", "evaluation.samples=20")
MINUTES = 20
"""What an experiment may take of a core: half of that is usual for `gan`, which takes most."""


def genloss(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    shutil.copytree(EXPERIMENTS, cwd / "experiments")
    return subprocess.run(
        [sys.executable, "-m", "genloss", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def test_all_experiments_are_listed() -> None:
    listed = (EXPERIMENTS / "README.md").read_text()
    assert [name for name in ALL if f"[{name}.yaml]({name}.yaml)" not in listed] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_an_experiment_runs(name: str, tmp_path: Path) -> None:
    settings = [word for setting in FEW_STEPS for word in ("--set", setting)]
    done = genloss("run", f"experiments/{name}.yaml", *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
    for run in client.search_runs([experiment.experiment_id], "tags.`genloss.run` LIKE '%'"):
        assert any(key.startswith("eval/") for key in run.data.metrics)
        kept = {item.path for item in client.list_artifacts(run.info.run_id)}
        assert kept & {"images", "texts"}, "there are no samples"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["gan", "vae", "vae_sweep", "autoencoder", "autoregressive", "ring", "language", "markov"]
)
def test_an_experiment_finishes_in_minutes(name: str, tmp_path: Path) -> None:
    before = processor.of_children()
    # A seed more of the others would test nothing more.
    one_seed = ["--set", "seeds=1"] if name != "gan" else []
    done = genloss("run", f"experiments/{name}.yaml", *one_seed, cwd=tmp_path)
    minutes = (processor.of_children() - before) / 60
    print(f"{name}.yaml took {minutes:.1f} minutes of a core\n{done.stdout}")
    assert done.returncode == 0, done.stderr
    assert minutes <= MINUTES
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
    runs = client.search_runs([experiment.experiment_id], "tags.`genloss.run` LIKE '%'", max_results=1000)
    assert {run.info.status for run in runs} == {"FINISHED"}
    objectives = {run.data.params["objective"] for run in runs}
    seeds = {run.data.params["seed"] for run in runs}
    assert len(runs) == len(objectives) * len(seeds)
    if name == "gan":
        assert (len(objectives), len(seeds)) == (6, 8)
    for run in runs:
        assert "mlflow.parentRunId" not in run.data.tags
        steps = int(run.data.params["training.steps"])
        for key in run.data.metrics:
            if key.endswith("/total"):
                history = client.get_metric_history(run.info.run_id, key)
                assert sorted(metric.step for metric in history) == list(range(steps)), (
                    run.info.run_name,
                    key,
                )
        kept = {item.path for item in client.list_artifacts(run.info.run_id)}
        assert {"config.yaml", "packages.txt", "loss_curves.png", "model"} <= kept
        assert kept & {"images", "texts"}
    if name == "gan":
        study = done.stdout.split()[-1]
        with served(study, tmp_path) as page, browser(tmp_path / "profile") as driver:
            find_groups_and_chart(driver, page)
