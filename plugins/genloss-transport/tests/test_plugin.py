"""The plugin as genloss finds it: what it offers, the conformance suite, and its experiments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import genloss
import pytest
from genloss.conformance import Check, checks

import genloss_transport

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
OFFERED = [*genloss_transport.genloss_losses(), *genloss_transport.genloss_metrics()]


@pytest.mark.parametrize("check", checks(*OFFERED), ids=str)
def test_conformance(check: Check) -> None:
    check.run()


def test_genloss_finds_what_it_offers() -> None:
    catalogue = genloss.catalogue()
    assert {"sinkhorn_divergence", "sliced_wasserstein", "wasserstein"} <= set(catalogue.losses)
    assert {"sinkhorn_divergence", "sliced_wasserstein_distance"} <= set(catalogue.metrics)


def test_finding_it_imports_neither_torch_nor_a_solver() -> None:
    code = "import sys, genloss_transport; print({'torch', 'ot', 'geomloss'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_experiment_trains(path: Path, tmp_path: Path) -> None:
    small = ["training.steps=2", "training.batch_size=16", "seeds=1", "evaluation.samples=50"]
    options = [part for setting in small for part in ("--set", setting)]
    done = subprocess.run(
        [sys.executable, "-m", "genloss", "run", str(path), "--set", "evaluation.every=2", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert "wasserstein" in done.stdout
