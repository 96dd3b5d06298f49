import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import ContinuousBernoulli, Normal

from genloss_builtin.losses.likelihood import (
    bernoulli_nll,
    continuous_bernoulli_nll,
    gaussian_nll,
    laplace_nll,
    normalizing_flow_nll,
)

EXTREMES = [-1e4, -30.0, 0.0, 30.0, 1e4]


def gradient(value, *inputs):
    return torch.autograd.grad(value.sum(), inputs)


# gaussian_nll


def test_gaussian_nll_is_torch_s_where_torch_takes_the_variance_as_it_is():
    x, x_hat, logvar = torch.randn(3, 4, 2, 5).unbind(0)
    called = F.gaussian_nll_loss(x_hat, x, logvar.exp(), full=True, reduction="none")
    torch.testing.assert_close(gaussian_nll(x, x_hat, logvar), called.sum((1, 2)))


def test_the_variance_is_a_factor_of_the_other():
    x, x_hat, logvar = torch.randn(3, 4, 2, 5).unbind(0)
    torch.testing.assert_close(
        gaussian_nll(x, x_hat, logvar, variance=2.0), gaussian_nll(x, x_hat, logvar + math.log(2))
    )


def test_tiny_variances_keep_their_value():
    # F.gaussian_nll_loss takes 1e-6 for any variance below it.
    x, x_hat = torch.full((1, 1), 1e-7), torch.zeros(1, 1)
    expected = torch.tensor([0.5 * (math.log(2 * math.pi) - 14 * math.log(10) + 1)])
    torch.testing.assert_close(gaussian_nll(x, x_hat, variance=1e-14), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("error", [0.0, 1e4])
@pytest.mark.parametrize("log_variance", EXTREMES)
def test_gaussian_nll_is_finite_at_extreme_variances(log_variance, error, dtype):
    x_hat = torch.zeros(1, 2, dtype=dtype, requires_grad=True)
    logvar = torch.full((1, 2), log_variance, dtype=dtype, requires_grad=True)
    value = gaussian_nll(x_hat.detach() + error, x_hat, logvar)
    assert value.isfinite().all()
    assert all(slope.isfinite().all() for slope in gradient(value, x_hat, logvar))


def test_the_gaussian_mean_is_where_the_gradient_vanishes():
    x_hat = torch.randn(3, 4, requires_grad=True)
    (slope,) = gradient(gaussian_nll(x_hat.detach(), x_hat), x_hat)
    assert (slope == 0).all()


# laplace_nll


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_laplace_nll_at_equal_inputs_and_far_away(scale):
    x_hat = torch.tensor([[0.0], [1e4]], requires_grad=True)
    value = laplace_nll(torch.zeros(2, 1), x_hat, scale=scale)
    (slope,) = gradient(value, x_hat)
    torch.testing.assert_close(value, math.log(2 * scale) + torch.tensor([0.0, 1e4]) / scale)
    torch.testing.assert_close(slope, torch.tensor([[0.0], [1.0]]) / scale)


# bernoulli_nll and continuous_bernoulli_nll


def test_bernoulli_nll_at_extreme_logits():
    logits = torch.tensor(EXTREMES)[:, None].requires_grad_()
    for x, expected, slope in (
        (0.0, [0.0, 0.0, math.log(2), 30.0, 1e4], [0.0, 0.0, 0.5, 1.0, 1.0]),
        (1.0, [1e4, 30.0, math.log(2), 0.0, 0.0], [-1.0, -1.0, -0.5, 0.0, 0.0]),
    ):
        value = bernoulli_nll(torch.full_like(logits, x), logits)
        torch.testing.assert_close(value, torch.tensor(expected))
        torch.testing.assert_close(gradient(value, logits)[0][:, 0], torch.tensor(slope))


def test_the_gradient_of_continuous_bernoulli_nll_agrees_with_torch():
    x = torch.rand(4, 101, dtype=torch.float64)
    logits = torch.linspace(-10, 10, 101, dtype=torch.float64).expand(4, 101).clone().requires_grad_()
    # Narrow limits: within them torch has a Taylor series of low order.
    theirs = ContinuousBernoulli(logits=logits, lims=(0.499999, 0.500001))
    value, expected = continuous_bernoulli_nll(x, logits), -theirs.log_prob(x).sum(1)
    torch.testing.assert_close(gradient(value, logits), gradient(expected, logits), rtol=0, atol=1e-5)


@pytest.mark.parametrize("logit", [-30.0, -3.0, -0.21, -0.19, 0.0, 1e-4, 2.0, 30.0])
def test_the_continuous_bernoulli_density_integrates_to_one(logit):
    x = torch.linspace(0, 1, 20001, dtype=torch.float64)[:, None]
    density = (-continuous_bernoulli_nll(x, torch.full_like(x, logit))).exp()
    torch.testing.assert_close(
        torch.trapezoid(density, x[:, 0]), torch.tensor(1.0, dtype=torch.float64), rtol=0, atol=1e-6
    )


def test_continuous_bernoulli_nll_in_float32_at_extreme_logits():
    # At λ → 1 the density tends to l exp(−l (1 − x)).
    logits = torch.tensor(EXTREMES)[:, None].requires_grad_()
    value = continuous_bernoulli_nll(torch.ones(5, 1), logits)
    expected = [1e4 - math.log(1e4), 30 - math.log(30), 0.0, -math.log(30), -math.log(1e4)]
    torch.testing.assert_close(value, torch.tensor(expected))
    slopes = torch.tensor([-1 + 1e-4, -1 + 1 / 30, -0.5, -1 / 30, -1e-4])
    torch.testing.assert_close(gradient(value, logits)[0][:, 0], slopes)


def test_the_two_branches_of_the_normaliser_meet():
    step = 1e-9
    logits = torch.tensor([0.2 - step, 0.2 + step], dtype=torch.float64)[:, None].requires_grad_()
    value = continuous_bernoulli_nll(torch.zeros(2, 1, dtype=torch.float64), logits)
    (slope,) = gradient(value, logits)
    torch.testing.assert_close(value[1] - value[0], 2 * step * slope[0, 0], rtol=0, atol=1e-12)
    torch.testing.assert_close(slope[0], slope[1], rtol=0, atol=1e-9)


# normalizing_flow_nll


def test_an_affine_flow_that_fits_a_gaussian_has_its_density():
    mean, scale = 3.0, 0.5
    x = torch.linspace(0, 6, 13, dtype=torch.float64)[:, None]
    value = normalizing_flow_nll((x - mean) / scale, torch.full_like(x[:, 0], -math.log(scale)))
    torch.testing.assert_close(value, -Normal(mean, scale).log_prob(x)[:, 0])
