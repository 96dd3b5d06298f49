"""The 2-Wasserstein distance, against closed forms and an independent solver."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from genloss_builtin.datasets.points import two_moons
from genloss_builtin.metrics.transport import wasserstein_distance


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_translation_costs_its_length() -> None:
    x = normal(200, 2)
    assert wasserstein_distance(x + torch.tensor([3.0, 4.0]), x) == pytest.approx(5.0, rel=1e-6)


def test_the_same_points_in_any_order_have_no_distance() -> None:
    x = normal(50, 1, 4, 4)
    assert wasserstein_distance(x.flip(0), x) == 0


def test_on_a_line_the_sorted_points_are_paired() -> None:
    x, y = normal(300, 1), 2 * normal(300, 1, seed=1) - 1
    expected = (x.sort(0).values - y.sort(0).values).double().square().mean().sqrt()
    assert wasserstein_distance(x, y) == pytest.approx(float(expected), rel=1e-6)


def test_between_gaussians_on_a_line_it_nears_the_closed_form() -> None:
    """W₂² = (m₁ − m₂)² + (s₁ − s₂)², here of N(0, 1) and N(1, 3²)."""
    distance = wasserstein_distance(normal(2000, 1), 1 + 3 * normal(2000, 1, seed=1), size=2000)
    assert distance == pytest.approx(math.sqrt(5), rel=0.05)


def test_it_is_what_an_assignment_solver_finds() -> None:
    x, y = normal(80, 3), normal(80, 3, seed=1) + 0.5
    costs = (x.double()[:, None] - y.double()).square().sum(2).numpy()
    rows, columns = linear_sum_assignment(costs)
    assert wasserstein_distance(x, y) == pytest.approx(math.sqrt(costs[rows, columns].mean()), rel=1e-9)


def test_unequal_numbers_of_points_share_the_weight() -> None:
    samples, held_out = torch.tensor([[0.0], [3.0], [3.0]]), torch.tensor([[0.0], [3.0]])
    assert wasserstein_distance(samples, held_out) == pytest.approx(math.sqrt((1 / 2 - 1 / 3) * 9))


def test_no_more_points_than_asked_for_are_compared_and_always_the_same() -> None:
    samples, held_out = normal(500, 2), normal(400, 2, seed=1)
    distance = wasserstein_distance(samples, held_out, size=50)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        assert wasserstein_distance(samples, held_out, size=50) == distance
    assert wasserstein_distance(samples[:50], held_out, size=50) == distance
    assert wasserstein_distance(samples, held_out) < distance
    sorted_by_label = torch.cat([torch.zeros(200, 1), torch.ones(200, 1)])
    assert wasserstein_distance(sorted_by_label, sorted_by_label, size=200) > 0.5


def test_samples_that_are_not_finite_have_no_distance() -> None:
    x = normal(10, 2)
    assert math.isnan(wasserstein_distance(x / 0, x))


def test_training_data_is_nearer_than_noise() -> None:
    data = two_moons(size=500, held_out=500)
    assert not isinstance(data.train, torch.utils.data.Dataset)
    assert not isinstance(data.held_out, torch.utils.data.Dataset)
    reference = wasserstein_distance(data.train["x"], data.held_out["x"])
    assert 0 < reference < 0.3 < wasserstein_distance(normal(500, 2), data.held_out["x"])


def test_pot_is_loaded_by_those_alone_who_need_it() -> None:
    code = "import sys, genloss; print(len(genloss.catalogue().metrics), 'ot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith(" False\n")
