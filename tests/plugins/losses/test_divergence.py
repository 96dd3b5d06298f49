import math

import pytest
import torch
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from genloss_builtin.losses.divergence import capacity_kl, categorical_kl, gaussian_kl, monte_carlo_kl

# gaussian_kl


@pytest.mark.parametrize("shape", [(8, 10), (8, 2, 3)])
def test_gaussian_kl_agrees_with_torch(shape):
    mu, logvar, prior_mu, prior_logvar = torch.randn(4, *shape, dtype=torch.float64)
    posterior, prior = Normal(mu, (logvar / 2).exp()), Normal(prior_mu, (prior_logvar / 2).exp())
    standard = Normal(torch.zeros_like(mu), torch.ones_like(mu))
    event = tuple(range(1, len(shape)))
    torch.testing.assert_close(
        gaussian_kl(mu, logvar, prior_mu, prior_logvar), kl_divergence(posterior, prior).sum(event)
    )
    torch.testing.assert_close(gaussian_kl(mu, logvar), kl_divergence(posterior, standard).sum(event))


def test_either_half_of_the_prior_may_be_missing():
    mu, logvar, prior = torch.randn(3, 4, 2)
    zero = torch.zeros(4, 2)
    torch.testing.assert_close(gaussian_kl(mu, logvar, prior_mu=prior), gaussian_kl(mu, logvar, prior, zero))
    torch.testing.assert_close(
        gaussian_kl(mu, logvar, prior_logvar=prior), gaussian_kl(mu, logvar, zero, prior)
    )


def test_equal_distributions_have_no_divergence_and_no_gradient():
    mu, logvar = torch.randn(2, 4, 3).unbind(0)
    leaves = [v.clone().requires_grad_() for v in (mu, logvar)]
    value = gaussian_kl(*leaves, mu, logvar)
    assert (value == 0).all()
    assert all((slope == 0).all() for slope in torch.autograd.grad(value.sum(), leaves))


def test_nearly_equal_distributions_keep_their_digits_in_float32():
    # ½ δ²/2 to leading order; exp(δ) − 1 − δ without expm1 is lost in rounding here.
    logvar = torch.full((1, 1), 1e-3)
    assert gaussian_kl(torch.zeros(1, 1), logvar).item() == pytest.approx(2.5e-7, rel=1e-2)


@pytest.mark.parametrize("log_variance", [-1e4, -30.0, 30.0])
def test_extreme_variances(log_variance):
    mu, logvar = torch.ones(1, 2, requires_grad=True), torch.full((1, 2), log_variance, requires_grad=True)
    value = gaussian_kl(mu, logvar)
    torch.testing.assert_close(value, torch.tensor([math.exp(log_variance) - log_variance]))
    slopes = torch.autograd.grad(value.sum(), (mu, logvar))
    torch.testing.assert_close(slopes[0], torch.ones(1, 2))
    torch.testing.assert_close(slopes[1], torch.full((1, 2), (math.exp(log_variance) - 1) / 2))


def test_free_bits_bound_each_dimension_of_each_example():
    # KL_j = ½ mu²: 0.02, 0.5 and 2 nats.
    mu = torch.tensor([[0.2, 1.0, 2.0], [0.2, 0.2, 0.2]], requires_grad=True)
    value = gaussian_kl(mu, torch.zeros(2, 3), free_bits=0.4)
    torch.testing.assert_close(value, torch.tensor([0.4 + 0.5 + 2.0, 3 * 0.4]))
    (slope,) = torch.autograd.grad(value.sum(), mu)
    torch.testing.assert_close(slope, torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]]))


def test_free_bits_are_never_below_the_papers_bound():
    mu, logvar = torch.randn(64, 5), torch.randn(64, 5)
    by_dimension = torch.stack([gaussian_kl(m, v) for m, v in zip(mu.T, logvar.T, strict=True)])
    paper = by_dimension.mean(1).clamp_min(1.0).sum()
    assert gaussian_kl(mu, logvar, free_bits=1.0).mean() >= paper


# categorical_kl


def test_categorical_kl_agrees_with_torch():
    posterior, prior = torch.randn(2, 4, 3, 5)
    expected = kl_divergence(Categorical(logits=posterior), Categorical(logits=prior)).sum(1)
    torch.testing.assert_close(categorical_kl(posterior, prior), expected)
    torch.testing.assert_close(
        categorical_kl(posterior), categorical_kl(posterior, torch.full((4, 3, 5), 2.0))
    )


def test_equal_categoricals_have_no_divergence():
    logits = torch.randn(4, 3, 5, requires_grad=True)
    value = categorical_kl(logits, logits.detach() + 1)
    torch.testing.assert_close(value, torch.zeros(4), rtol=0, atol=1e-6)
    (slope,) = torch.autograd.grad(value.sum(), logits)
    torch.testing.assert_close(slope, torch.zeros(4, 3, 5), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [30.0, 1e4])
def test_extreme_logits(scale):
    posterior = torch.tensor([[scale, -scale]], requires_grad=True)
    prior = torch.tensor([[-scale, scale]], requires_grad=True)
    value = categorical_kl(posterior, prior)
    torch.testing.assert_close(value, torch.tensor([2 * scale]))
    slopes = torch.autograd.grad(value.sum(), (posterior, prior))
    torch.testing.assert_close(slopes[0], torch.zeros(1, 2), rtol=0, atol=1e-6)
    torch.testing.assert_close(slopes[1], torch.tensor([[-1.0, 1.0]]))


# monte_carlo_kl


def test_the_mean_over_many_samples_is_the_closed_form():
    generator = torch.Generator().manual_seed(0)
    mu, logvar = torch.tensor([0.5, -1.0]), torch.tensor([-1.0, 0.5])
    posterior = Independent(Normal(mu, (logvar / 2).exp()), 1)
    prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    z = mu + (logvar / 2).exp() * torch.randn(200_000, 2, generator=generator)
    value = monte_carlo_kl(posterior.log_prob(z), prior.log_prob(z))
    error = value.std() / math.sqrt(len(value))
    exact = gaussian_kl(mu[None], logvar[None])[0]
    assert abs(value.mean() - exact) < 4 * error
    assert error < 0.005


# capacity_kl


def test_the_capacity_draws_from_both_sides():
    # KL = ½ mu²: 0.5, 2 and 4.5 nats.
    mu = torch.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    value = capacity_kl(mu, torch.zeros(3, 1), gamma=10.0, capacity=2.0)
    torch.testing.assert_close(value, torch.tensor([15.0, 0.0, 25.0]))
    (slope,) = torch.autograd.grad(value.sum(), mu)
    torch.testing.assert_close(slope, torch.tensor([[-10.0], [0.0], [30.0]]))


def test_without_a_capacity_it_is_a_weighted_kl():
    mu, logvar = torch.randn(2, 4, 3).unbind(0)
    torch.testing.assert_close(capacity_kl(mu, logvar, gamma=4.0), 4 * gaussian_kl(mu, logvar))
