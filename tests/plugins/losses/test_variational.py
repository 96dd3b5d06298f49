import math

import pytest
import torch
from torch.distributions import Normal

from genloss_builtin.losses.divergence import monte_carlo_kl
from genloss_builtin.losses.variational import iwae, total_correlation

# iwae


@pytest.mark.parametrize("shift", [-1e4, 0.0, 1e4])
def test_a_common_factor_of_the_weights_is_a_shift(shift):
    log_weights = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(iwae(log_weights + shift), iwae(log_weights) - shift)


def test_the_gradient_weighs_samples_by_their_share():
    log_weights = torch.tensor([[1.0, 3.0]]).log().requires_grad_()
    (slope,) = torch.autograd.grad(iwae(log_weights).sum(), log_weights)
    torch.testing.assert_close(slope, torch.tensor([[-0.25, -0.75]]))


# total_correlation


def posterior(batch=6, latent=(3,)):
    mu, logvar = torch.randn(2, batch, *latent, dtype=torch.float64).unbind(0)
    return mu + (logvar / 2).exp() * torch.randn_like(mu), mu, logvar


def test_the_three_parts_add_up_to_the_monte_carlo_kl_whatever_the_training_set():
    z, mu, logvar = posterior()
    log_qz = Normal(mu, (logvar / 2).exp()).log_prob(z).sum(1)
    log_pz = Normal(0, 1).log_prob(z).sum(1)
    for size in (6, 1000, 10**9):
        value = total_correlation(z, mu, logvar, size, beta=1.0)
        torch.testing.assert_close(value, monte_carlo_kl(log_qz, log_pz).mean())


def test_the_parts_are_weighted():
    given = posterior()
    parts = [
        total_correlation(*given, 50, alpha=a, beta=b, gamma=g)
        for a, b, g in ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    value = total_correlation(*given, 50, alpha=0.5, beta=3.0, gamma=2.0)
    torch.testing.assert_close(value, 0.5 * parts[0] + 3 * parts[1] + 2 * parts[2])


def test_a_latent_of_several_axes_is_one_vector():
    z, mu, logvar = posterior(latent=(2, 3))
    torch.testing.assert_close(
        total_correlation(z, mu, logvar, 50),
        total_correlation(z.flatten(1), mu.flatten(1), logvar.flatten(1), 50),
    )


def test_independent_dimensions_have_a_smaller_total_correlation_than_equal_ones():
    mu = torch.randn(256, 1, dtype=torch.float64)
    other = torch.randn(256, 1, dtype=torch.float64)
    logvar = torch.full((256, 2), -2.0, dtype=torch.float64)
    noise = (logvar / 2).exp() * torch.randn(256, 2, dtype=torch.float64)

    def correlation(mu):
        return total_correlation(mu + noise, mu, logvar, 256, alpha=0.0, beta=1.0, gamma=0.0)

    assert correlation(torch.cat([mu, mu], 1)) > correlation(torch.cat([mu, other], 1)) + 0.5


@pytest.mark.parametrize("log_variance", [-1e4, -30.0, 30.0])
def test_extreme_variances(log_variance):
    z, mu = torch.randn(2, 4, 3)
    leaves = [v.requires_grad_() for v in (z, mu, torch.full((4, 3), log_variance))]
    value = total_correlation(*leaves, 50)
    assert value.isfinite()
    assert all(slope.isfinite().all() for slope in torch.autograd.grad(value, leaves))


def test_one_example_of_one_is_its_own_aggregate():
    # No mutual information and no total correlation: the KL of the dimensions is all there is.
    z, mu, logvar = torch.tensor([[[2.0]], [[1.0]], [[0.0]]])
    assert total_correlation(z, mu, logvar, 1).item() == pytest.approx(0.5 * (4 - 1))
    assert total_correlation(z, mu, logvar, 1, gamma=0.0).item() == pytest.approx(0, abs=1e-6)
    assert math.isclose(total_correlation(z, mu, logvar, 1, gamma=2.0).item(), 3.0, rel_tol=1e-6)
