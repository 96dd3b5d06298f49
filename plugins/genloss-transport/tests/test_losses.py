"""The losses against closed forms, other solvers and finite differences."""

from __future__ import annotations

from collections.abc import Callable

import ot
import pytest
import torch
from torch import Tensor

from genloss_transport.losses import sinkhorn_divergence, sliced_wasserstein, wasserstein

LOSSES: list[Callable[..., Tensor]] = [sinkhorn_divergence, sliced_wasserstein, wasserstein]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=["sinkhorn", "sliced", "wasserstein"])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@every_loss
def test_equal_samples_cost_nothing_in_whatever_order(loss: Callable[..., Tensor]) -> None:
    x = normal(40, 2, 3)
    assert loss(real=x, fake=x.flip(0)).item() == pytest.approx(0, abs=1e-12)


@every_loss
def test_different_samples_cost_something_and_the_same_both_ways(loss: Callable[..., Tensor]) -> None:
    x, y = normal(40, 3), 2 * normal(40, 3, seed=1) + 1
    values = []
    for real, fake in ((x, y), (y, x)):
        torch.manual_seed(0)
        values.append(loss(real=real, fake=fake).item())
    assert values[0] == pytest.approx(values[1])
    assert values[0] > 0.5


@pytest.mark.parametrize(
    ("loss", "factor"), [(sinkhorn_divergence, 0.5), (wasserstein, 1.0)], ids=["sinkhorn", "wasserstein"]
)
def test_a_translation_costs_its_squared_length(loss: Callable[..., Tensor], factor: float) -> None:
    x = normal(60, 2)
    value = loss(real=x, fake=x + torch.tensor([3.0, 4.0])).item()
    assert value == pytest.approx(factor * 25, rel=1e-3)


def test_along_random_lines_a_translation_costs_its_squared_length_by_dimension() -> None:
    """The mean of ⟨θ, m⟩² is ‖m‖²/d."""
    x = normal(10, 2)
    torch.manual_seed(0)
    value = sliced_wasserstein(real=x, fake=x + torch.tensor([3.0, 4.0]), projections=20_000).item()
    assert value == pytest.approx(25 / 2, rel=0.02)


def test_on_a_line_the_exact_and_the_sliced_cost_are_that_of_the_sorted_pairs() -> None:
    x, y = normal(50, 1), 3 * normal(50, 1, seed=1) - 1
    expected = (x.sort(0).values - y.sort(0).values).square().mean().item()
    assert wasserstein(real=x, fake=y).item() == pytest.approx(expected)
    assert sliced_wasserstein(real=x, fake=y, projections=3).item() == pytest.approx(expected)


def test_between_gaussians_on_a_line_the_costs_are_those_of_the_closed_form() -> None:
    """W₂² = (m₁ − m₂)² + (s₁ − s₂)², here of N(0, 1) and N(1, 2²), each by 400 of its quantiles."""
    x = torch.special.ndtri((torch.arange(400, dtype=torch.float64) + 0.5) / 400)[:, None]
    y = 1 + 2 * x.flip(0)
    assert wasserstein(real=x, fake=y).item() == pytest.approx(2, rel=0.01)
    assert sliced_wasserstein(real=x, fake=y).item() == pytest.approx(2, rel=0.01)
    assert sinkhorn_divergence(real=x, fake=y, scaling=0.7).item() == pytest.approx(1, rel=0.02)


def test_the_exact_cost_is_what_pot_finds() -> None:
    x, y = normal(30, 4), normal(30, 4, seed=1) + 0.5
    expected = ot.emd2([], [], ot.dist(x.numpy(), y.numpy()))
    assert wasserstein(real=x, fake=y).item() == pytest.approx(expected)


def test_the_sliced_cost_is_what_pot_finds_along_the_same_lines() -> None:
    x, y = normal(30, 4), normal(30, 4, seed=1) + 0.5
    torch.manual_seed(3)
    value = sliced_wasserstein(real=x, fake=y, projections=7).item()
    torch.manual_seed(3)
    lines = torch.randn(4, 7, dtype=torch.float64)
    expected = ot.sliced_wasserstein_distance(x, y, projections=lines / lines.norm(dim=0), p=2)
    assert value == pytest.approx(float(expected) ** 2)


@pytest.mark.parametrize("blur", [0.5, 1.0])
def test_the_sinkhorn_divergence_is_what_pot_finds(blur: float) -> None:
    x, y = 0.4 * normal(20, 2), 0.4 * normal(20, 2, seed=1) + 0.5

    def cost(a: Tensor, b: Tensor) -> float:
        costs = torch.from_numpy(ot.dist(a.numpy(), b.numpy()) / 2)
        plan = ot.sinkhorn(
            [], [], costs, reg=blur**2, method="sinkhorn_log", numItermax=20_000, stopThr=1e-12
        )
        divergence = torch.xlogy(plan, plan * len(a) * len(b)).sum()
        return float((plan * costs).sum() + blur**2 * divergence)

    expected = cost(x, y) - cost(x, x) / 2 - cost(y, y) / 2
    value = sinkhorn_divergence(real=x, fake=y, blur=blur, scaling=0.99).item()
    assert value == pytest.approx(expected, rel=1e-3)


def test_blur_leads_from_transport_to_the_distance_of_the_means() -> None:
    """With much blur every plan is the product: ½‖mean x − mean y‖², the MMD of the kernel −½‖x − y‖²."""
    x, y = normal(50, 2), 0.3 * normal(50, 2, seed=1) + 1
    exact = wasserstein(real=x, fake=y).item() / 2
    means = (x.mean(0) - y.mean(0)).square().sum().item() / 2
    values = [sinkhorn_divergence(real=x, fake=y, blur=b, scaling=0.9).item() for b in (0.02, 1.0, 100.0)]
    assert values[0] == pytest.approx(exact, rel=0.01)
    assert values[0] > values[1] > values[2]
    assert values[2] == pytest.approx(means, rel=0.01)


def test_the_more_iterations_the_nearer_the_sinkhorn_gradient_is_to_that_of_the_value() -> None:
    x, y = normal(8, 2), normal(8, 2, seed=1) + 0.5
    errors = []
    for scaling in (0.5, 0.9, 0.99):

        def value(fake: Tensor, scaling: float = scaling) -> Tensor:
            return sinkhorn_divergence(real=x, fake=fake, blur=1.0, scaling=scaling)

        (gradient,) = torch.autograd.grad(value(y.requires_grad_()), y)
        y = y.detach()
        steps = 1e-5 * torch.eye(y.numel(), dtype=y.dtype).view(-1, *y.shape)
        differences = torch.stack([(value(y + step) - value(y - step)) / 2e-5 for step in steps])
        errors.append(((gradient.flatten() - differences).norm() / differences.norm()).item())
    assert errors[0] < 0.1
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[1] / 4


def test_the_exact_gradient_moves_each_example_to_its_partner() -> None:
    """∂/∂yᵢ of 1/n Σ ‖xⱼ − y_s(j)‖² with the pairing s held; on a line, that of the sorted."""
    x, y = normal(9, 1), normal(9, 1, seed=1).requires_grad_()
    (gradient,) = torch.autograd.grad(wasserstein(real=x, fake=y), y)
    partners = torch.empty_like(x)
    partners[y.detach().argsort(0).squeeze(1)] = x.sort(0).values
    torch.testing.assert_close(gradient, 2 / 9 * (y.detach() - partners))


@every_loss
def test_descent_carries_one_sample_to_the_other(loss: Callable[..., Tensor]) -> None:
    x, y = normal(30, 2), (0.2 * normal(30, 2, seed=1) + 3).requires_grad_()
    before = wasserstein(real=x, fake=y).item()
    torch.manual_seed(0)
    optimizer = torch.optim.Adam([y], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        torch.autograd.backward(loss(real=x, fake=y))
        optimizer.step()
    assert wasserstein(real=x, fake=y).item() < 0.01 * before


def test_gradients_stay_off_where_they_were_off() -> None:
    x = normal(5, 2).requires_grad_()
    with torch.no_grad():
        value = sinkhorn_divergence(real=x, fake=normal(5, 2, seed=1))
        assert not torch.is_grad_enabled()
    assert value.item() > 0
