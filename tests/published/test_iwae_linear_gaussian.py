"""The linear Gaussian model: its gaps by quadrature, in closed form, by Monte Carlo, and by the losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import genloss
from genloss.errors import DefinitionError
from tests.published.conftest import PUBLISHED

Import = Callable[[str], ModuleType]
STANDARD_ERRORS = 5
SEED = 1
"""Not the data's, whose noise would come again."""


@pytest.fixture
def catalogue() -> Any:
    return genloss.catalogue(PUBLISHED / "iwae_linear_gaussian.py")


def test_the_gaps_are_those_to_expect(module: Import) -> None:
    iwae, expected = module("checks.iwae_linear_gaussian"), module("checks.expected")
    assert iwae.elbo_gap() == pytest.approx(expected.ELBO_GAP, abs=5e-8)
    assert iwae.gap_times_k() == pytest.approx(expected.IWAE_GAP_TIMES_K, abs=5e-5)
    assert iwae.gap(1) == pytest.approx(iwae.elbo_gap(), abs=1e-9)
    beyond = [abs(iwae.gap(samples) * samples - iwae.gap_times_k()) for samples in (8, 64, 512)]
    assert beyond == pytest.approx([0.0031, 0.00051, 0.000066], rel=0.03)


@pytest.mark.parametrize("samples", [1, 8, 64])
def test_the_quadrature_is_the_mean_of_a_simulation(samples: int, module: Import) -> None:
    """Of Gaussians in 20 dimensions, as the model has them."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(10):
        u = math.sqrt(2 / 3) * generator.standard_normal((40_000 // samples, samples, 20))
        log_weights = 10 * math.log(4 / 3) - (u**2).sum(2) / 4
        mean = np.exp(log_weights).mean(1)
        found.append(mean - 1 - np.log(mean))
    gaps = np.concatenate(found)
    apart = gaps.mean() - module("checks.iwae_linear_gaussian").gap(samples)
    assert abs(apart) < STANDARD_ERRORS * gaps.std() / math.sqrt(len(gaps))


@pytest.mark.parametrize("mean", [0.0, 3.0], ids=["untrained", "elsewhere"])
@pytest.mark.parametrize("samples", [1, 8])
def test_the_metric_is_the_gap_wherever_the_model_is(
    samples: int, mean: float, catalogue: Any, module: Import
) -> None:
    data = catalogue.datasets["shifted_gaussian"]()
    model = catalogue.models["linear_gaussian"].build(data.spec, importance_samples=samples).eval()
    torch.nn.init.constant_(model.mean, mean)
    torch.manual_seed(SEED)
    metric = catalogue.metrics["bound_gap"]
    gaps = [metric(model=model, held_out=data.held_out["x"]) for _ in range(20)]
    apart = np.mean(gaps) - module("checks.iwae_linear_gaussian").gap(samples)
    assert abs(apart) < STANDARD_ERRORS * np.std(gaps, ddof=1) / math.sqrt(len(gaps))


@pytest.mark.parametrize(
    ("terms", "samples"),
    [
        (["gaussian_nll", "gaussian_kl"], 1),
        (["gaussian_nll", "monte_carlo_kl"], 1),
        (["iwae"], 1),
        (["iwae"], 8),
    ],
    ids=["elbo", "elbo_monte_carlo", "iwae_1", "iwae_8"],
)
def test_the_losses_have_the_gap(terms: list[str], samples: int, catalogue: Any, module: Import) -> None:
    data = catalogue.datasets["shifted_gaussian"](held_out=40_000)
    model = catalogue.models["linear_gaussian"].build(data.spec, importance_samples=samples)
    torch.manual_seed(SEED)
    with torch.no_grad():
        turn = model.turns()["network"](model, data.held_out)
        bound = torch.zeros(40_000)
        for term in terms:
            loss = catalogue.losses[term]
            names = [name for name in loss.quantities if hasattr(type(turn), name)]
            bound += loss(**{name: getattr(turn, name) for name in names})
        gaps = (bound + model.log_likelihood(turn.x)).double()
    apart = float(gaps.mean()) - module("checks.iwae_linear_gaussian").gap(samples)
    assert abs(apart) < STANDARD_ERRORS * float(gaps.std()) / math.sqrt(len(gaps))


def test_the_model_and_the_data_are_of_one_kind(catalogue: Any) -> None:
    data = catalogue.datasets["shifted_gaussian"]()
    model = catalogue.models["linear_gaussian"].build(data.spec)
    torch.nn.init.ones_(model.mean)
    x = data.held_out["x"]
    torch.testing.assert_close(model.log_likelihood(x), data.truth["log_density"](x))
    torch.manual_seed(SEED)
    samples = model.sample(20_000)
    torch.testing.assert_close(samples.mean(0), torch.ones(20), rtol=0, atol=5 * math.sqrt(2 / 20_000))
    torch.testing.assert_close(
        samples.var(0), torch.full((20,), 2.0), rtol=0, atol=5 * 2 * math.sqrt(2 / 20_000)
    )
    with pytest.raises(DefinitionError, match="for the model `linear_gaussian`"):
        catalogue.metrics["bound_gap"](model=torch.nn.Identity(), held_out=x)
