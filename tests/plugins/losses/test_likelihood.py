import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, ContinuousBernoulli, Normal

from genloss_builtin.losses.likelihood import (
    bernoulli_nll,
    categorical_nll,
    continuous_bernoulli_nll,
    gaussian_nll,
    laplace_nll,
    normalizing_flow_nll,
    z_loss,
)

EXTREMES = [-1e4, -30.0, 0.0, 30.0, 1e4]


def gradient(value, *inputs):
    return torch.autograd.grad(value.sum(), inputs)


# categorical_nll


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_uniform_logits_give_ln_v_a_token(smoothing):
    value = categorical_nll(
        torch.full((2, 3, 7), 5.0), torch.tensor([[0, 6, 3], [1, 1, 1]]), label_smoothing=smoothing
    )
    torch.testing.assert_close(value, torch.full((2,), 3 * math.log(7)))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_categorical_nll_is_cross_entropy(smoothing):
    logits, targets = torch.randn(4, 6, 5), torch.randint(5, (4, 6))
    expected = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none", label_smoothing=smoothing)
    total = categorical_nll(logits, targets, label_smoothing=smoothing)
    per_token = categorical_nll(logits, targets, label_smoothing=smoothing, reduce="mean")
    torch.testing.assert_close(total, expected.sum(1))
    torch.testing.assert_close(per_token, expected.mean(1))


def test_one_class_an_example_and_tokens_agree():
    logits, targets = torch.randn(4, 5), torch.randint(5, (4,))
    one_token = categorical_nll(logits[:, None], targets[:, None])
    for mask in (None, torch.ones(4), torch.ones(4, dtype=torch.bool)):
        torch.testing.assert_close(categorical_nll(logits, targets, mask), one_token)
        torch.testing.assert_close(categorical_nll(logits, targets, mask, reduce="mean"), one_token)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_the_mask_says_which_positions_count(dtype):
    logits, targets = torch.randn(3, 4, 5), torch.randint(5, (3, 4))
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]]).to(dtype)
    total, mean = (
        categorical_nll(logits, targets, mask),
        categorical_nll(logits, targets, mask, reduce="mean"),
    )
    first_two = categorical_nll(logits[1:2, :2], targets[1:2, :2])[0]
    torch.testing.assert_close(
        total, torch.stack([categorical_nll(logits[:1], targets[:1])[0], first_two, 0 * first_two])
    )
    torch.testing.assert_close(mean, total / torch.tensor([4.0, 2.0, 1.0]))


def test_a_masked_position_may_hold_anything_and_gets_no_gradient():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    targets, mask = torch.tensor([[1, 2, -1], [3, 999, -100]]), torch.tensor([[1, 1, 0], [1, 0, 0]])
    value = categorical_nll(logits, targets, mask, label_smoothing=0.1)
    (slope,) = gradient(value, logits)
    assert value.isfinite().all()
    assert (slope[mask == 0] == 0).all()
    assert (slope[mask == 1] != 0).all()


def test_a_float_mask_weighs_positions():
    logits, targets = torch.randn(1, 2, 5), torch.tensor([[0, 1]])
    first, second = F.cross_entropy(logits[0], targets[0], reduction="none")
    mask = torch.tensor([[0.5, 0.25]])
    torch.testing.assert_close(categorical_nll(logits, targets, mask)[0], 0.5 * first + 0.25 * second)
    torch.testing.assert_close(
        categorical_nll(logits, targets, mask, reduce="mean")[0], (0.5 * first + 0.25 * second) / 0.75
    )


@pytest.mark.parametrize("scale", [30.0, 1e4])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_categorical_nll_at_extreme_logits(scale, smoothing):
    logits = torch.tensor([[scale, -scale, 0.0], [-scale, scale, 0.0]], requires_grad=True)
    value = categorical_nll(logits, torch.tensor([0, 0]), label_smoothing=smoothing)
    (slope,) = gradient(value, logits)
    torch.testing.assert_close(
        value, torch.tensor([smoothing * scale, 2 * scale * (1 - smoothing) + smoothing * scale])
    )
    torch.testing.assert_close(
        slope[1], torch.tensor([smoothing * 2 / 3 - 1, 1 - smoothing / 3, -smoothing / 3])
    )


# gaussian_nll


def test_gaussian_nll_of_n_0_4_at_1():
    x, x_hat = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    expected = torch.tensor([1.7370857], dtype=torch.float64)
    logvar = torch.full_like(x, math.log(4))
    torch.testing.assert_close(gaussian_nll(x, x_hat, variance=4.0), expected, rtol=0, atol=5e-8)
    torch.testing.assert_close(gaussian_nll(x, x_hat, logvar), expected, rtol=0, atol=5e-8)
    torch.testing.assert_close(gaussian_nll(x, x_hat, logvar / 2, variance=2.0), expected, rtol=0, atol=5e-8)


def test_gaussian_nll_agrees_with_torch():
    x, x_hat, logvar = torch.randn(3, 4, 2, 5).unbind(0)
    value = gaussian_nll(x, x_hat, logvar)
    torch.testing.assert_close(value, -Normal(x_hat, (logvar / 2).exp()).log_prob(x).sum((1, 2)))
    called = F.gaussian_nll_loss(x_hat, x, logvar.exp(), full=True, reduction="none")
    torch.testing.assert_close(value, called.sum((1, 2)))


def test_tiny_variances_keep_their_value():
    # F.gaussian_nll_loss takes 1e-6 for any variance below it.
    x, x_hat = torch.full((1, 1), 1e-7), torch.zeros(1, 1)
    expected = torch.tensor([0.5 * (math.log(2 * math.pi) - 14 * math.log(10) + 1)])
    torch.testing.assert_close(gaussian_nll(x, x_hat, variance=1e-14), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("error", [0.0, 1.0])
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


def test_laplace_nll():
    x, x_hat = torch.randn(4, 2, 3), torch.randn(4, 2, 3)
    expected = 6 * math.log(2 * 0.7) + (x - x_hat).abs().sum((1, 2)) / 0.7
    torch.testing.assert_close(laplace_nll(x, x_hat, scale=0.7), expected)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_laplace_nll_at_equal_inputs_and_far_away(scale):
    x_hat = torch.tensor([[0.0], [1e4]], requires_grad=True)
    value = laplace_nll(torch.zeros(2, 1), x_hat, scale=scale)
    (slope,) = gradient(value, x_hat)
    torch.testing.assert_close(value, math.log(2 * scale) + torch.tensor([0.0, 1e4]) / scale)
    torch.testing.assert_close(slope, torch.tensor([[0.0], [1.0]]) / scale)


# bernoulli_nll and continuous_bernoulli_nll


def test_bernoulli_nll_of_zero_logits_is_ln_2_a_dimension():
    value = bernoulli_nll(torch.rand(3, 2, 5), torch.zeros(3, 2, 5))
    torch.testing.assert_close(value, torch.full((3,), 10 * math.log(2)))


def test_bernoulli_nll_is_a_log_probability():
    x, logits = torch.randint(2, (4, 6)).float(), torch.randn(4, 6)
    torch.testing.assert_close(bernoulli_nll(x, logits), -Bernoulli(logits=logits).log_prob(x).sum(1))


def test_bernoulli_nll_at_extreme_logits():
    logits = torch.tensor(EXTREMES)[:, None].requires_grad_()
    for x, expected, slope in (
        (0.0, [0.0, 0.0, math.log(2), 30.0, 1e4], [0.0, 0.0, 0.5, 1.0, 1.0]),
        (1.0, [1e4, 30.0, math.log(2), 0.0, 0.0], [-1.0, -1.0, -0.5, 0.0, 0.0]),
    ):
        value = bernoulli_nll(torch.full_like(logits, x), logits)
        torch.testing.assert_close(value, torch.tensor(expected))
        torch.testing.assert_close(gradient(value, logits)[0][:, 0], torch.tensor(slope))


def test_continuous_bernoulli_nll_agrees_with_torch():
    x = torch.rand(4, 101, dtype=torch.float64)
    logits = torch.linspace(-10, 10, 101, dtype=torch.float64).expand(4, 101).clone().requires_grad_()
    # Narrow limits: within them torch has a Taylor series of low order.
    theirs = ContinuousBernoulli(logits=logits, lims=(0.499999, 0.500001))
    value, expected = continuous_bernoulli_nll(x, logits), -theirs.log_prob(x).sum(1)
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-7)
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


# normalizing_flow_nll and z_loss


def test_an_affine_flow_that_fits_a_gaussian_reaches_its_entropy():
    mean, scale = 3.0, 0.5
    # The quantiles of a Gaussian: a mean over them has no sampling error.
    u = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000
    x = Normal(mean, scale).icdf(u)[:, None]
    value = normalizing_flow_nll((x - mean) / scale, torch.full_like(x[:, 0], -math.log(scale)))
    entropy = 0.5 * math.log(2 * math.pi * math.e * scale**2)
    assert value.mean().item() == pytest.approx(entropy, abs=1e-3)
    torch.testing.assert_close(value, -Normal(mean, scale).log_prob(x)[:, 0])


def test_z_loss_of_zero_logits_is_the_square_of_ln_v():
    logits = torch.zeros(2, 3, 7)
    torch.testing.assert_close(z_loss(logits), torch.full((2,), 3 * math.log(7) ** 2))
    torch.testing.assert_close(z_loss(logits, reduce="mean"), torch.full((2,), math.log(7) ** 2))


def test_z_loss_vanishes_for_normalised_logits():
    value = z_loss(torch.randn(4, 7, dtype=torch.float64).log_softmax(-1))
    torch.testing.assert_close(value, torch.zeros(4, dtype=torch.float64))


@pytest.mark.parametrize("scale", [30.0, 1e4])
def test_z_loss_at_extreme_logits(scale):
    logits = torch.tensor([[scale, -scale, 0.0], [-scale, -scale, -scale]], requires_grad=True)
    value = z_loss(logits)
    torch.testing.assert_close(value, torch.tensor([scale**2, (math.log(3) - scale) ** 2]))
    assert gradient(value, logits)[0].isfinite().all()
