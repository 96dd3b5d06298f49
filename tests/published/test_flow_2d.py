"""Flows in the plane, as in Tong et al. 2023: the data, a tiny run, and the clearest ordering."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

import genloss
from genloss.errors import DefinitionError
from genloss.planning.plan import Plan, plan
from genloss_builtin.models.flow_matching import FlowMatching
from tests.published.conftest import PUBLISHED

NAMES = sorted(path.stem for path in PUBLISHED.glob("flow_2d_*.yaml"))
MOONS = "flow_2d_moons_8gaussians"


@pytest.fixture
def flow_2d(module: Callable[[str], ModuleType]) -> Any:
    """The module of the checks."""
    return module("checks.flow_2d")


def planned(name: str, *overrides: str) -> Plan:
    return plan(PUBLISHED / f"{name}.yaml", overrides=overrides)


def points(name: str) -> Tensor:
    train = planned(name).data.train
    assert not isinstance(train, torch.utils.data.Dataset)
    return train["x"].double()


def run(name: str, *overrides: str) -> genloss.StudyResult:
    return genloss.run(PUBLISHED / f"{name}.yaml", overrides=overrides)


def test_there_is_a_check_for_each_pair_of_distributions(flow_2d: Any) -> None:
    assert {check.experiment for check in flow_2d.CHECKS} == set(NAMES)
    assert len(NAMES) == 4


def test_the_ordering_must_come_out_where_the_papers_own_seeds_show_it(flow_2d: Any) -> None:
    shown = {name for name in NAMES if flow_2d.shown_by_the_paper(name)}
    assert shown == {MOONS, "flow_2d_normal_moons"}
    i_cfm = {0: 0.30, 1: 0.32, 2: 0.34}
    undecided = {0: 0.1, 1: 0.5, 2: 0.3}
    better, worse = ({seed: value + by + seed / 100 for seed, value in i_cfm.items()} for by in (-0.1, 0.1))
    for name, missed in ((MOONS, [False, True, True]), ("flow_2d_normal_scurve", [False, False, True])):
        rows = [
            flow_2d.difference(name, {"ot_cfm": ours, "i_cfm": i_cfm}) for ours in (better, undecided, worse)
        ]
        assert [row.missed for row in rows] == missed


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_are_the_papers(name: str, flow_2d: Any) -> None:
    full = planned(name, *(f"{key}={value}" for key, value in flow_2d.FULL.items()))
    experiment, data = full.experiment, full.data
    assert not isinstance(data.held_out, torch.utils.data.Dataset)
    assert experiment.evaluation is not None
    assert data.spec.size == len(data.held_out["x"]) == experiment.evaluation.samples == 10_000
    assert [objective.name for objective in experiment.objectives] == ["i_cfm", "ot_cfm"]
    for objective in experiment.objectives:
        training = objective.training
        assert training.steps == 1000 * (10_000 // training.batch_size)
        assert training.optimizer.name == "adamw"
        assert training.optimizer.options.items() >= {"lr": 1e-3, "weight_decay": 1e-5}.items()
        model = genloss.catalogue().models["flow_matching"].build(data.spec, **objective.model.options)
        weights = [tuple(weight.shape) for weight in model.parameters() if weight.ndim == 2]
        assert weights == [(64, 3), (64, 64), (64, 64), (2, 64)]
        assert sum(isinstance(layer, torch.nn.SELU) for layer in model.modules()) == 3


def test_the_moments_are_those_of_the_distributions() -> None:
    """Of 10,000 points: the standard error of a mean of deviation s is s / 100."""
    ring = points("flow_2d_normal_8gaussians")
    torch.testing.assert_close(ring.mean(0), torch.zeros(2).double(), rtol=0, atol=0.15)
    torch.testing.assert_close(ring.T.cov(), (25 / 2 + 1) * torch.eye(2).double(), rtol=0, atol=0.5)
    moons = points("flow_2d_normal_moons")
    torch.testing.assert_close(moons.mean(0), torch.tensor([0, 0.5]).double(), rtol=0, atol=0.08)
    variance = 4 * torch.tensor([3 / 4, 5 / 8 - 1 / math.pi - 1 / 16]).double() + 0.1**2
    torch.testing.assert_close(moons.var(0), variance, rtol=0.04, atol=0)
    curve = points("flow_2d_normal_scurve")
    torch.testing.assert_close(curve.mean(0), torch.zeros(2).double(), rtol=0, atol=0.1)
    # E[(cos t − 1)²] = 3/2 + 4/(3π), E[sin t · sign(t)(cos t − 1)] = −1/(3π), t uniform on [−3π/2, 3π/2]
    between = -1 / (3 * math.pi)
    second = torch.tensor([[1 / 2, between], [between, 3 / 2 + 4 / (3 * math.pi)]]).double()
    expected = 1.5**2 * (second + 0.05**2 * torch.eye(2))
    torch.testing.assert_close(curve.T.cov(), expected, rtol=0, atol=0.15)


def test_a_tiny_run_carries_held_out_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flow_2d: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = ("training.steps=6", "seeds=2", "evaluation.samples=40", "data.size=600", "data.held_out=50")
    result = run(MOONS, *tiny)
    assert result.exit_code == 0, result.summary()
    rows = flow_2d.rows(MOONS, result)
    assert [row.expected for row in rows[:2]] == ["0.601 ± 0.027", "1.557 ± 0.407"]
    assert float(rows[-1].ours) > 0
    model = genloss.load(result.runs[0])
    assert isinstance(model, FlowMatching)
    assert model.data.source
    assert model.sample_from(torch.zeros(3, 2)).shape == (3, 2)
    with pytest.raises(DefinitionError, match="starts from the data's sources"):
        model.sample(3)


@pytest.mark.slow
def test_optimal_transport_is_better_where_the_paper_has_it_clearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flow_2d: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(MOONS, "training.steps=300", "evaluation.samples=1000", "data.held_out=1000", "seeds=5")
    assert result.exit_code == 0, result.summary()
    _, _, ordering, reference = flow_2d.rows(MOONS, result)
    print(f"OT-CFM less I-CFM: {ordering.ours}; reference {reference.ours}")
    assert ordering.verdict == "significant"
