from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

import genloss
from genloss.errors import DefinitionError
from genloss_builtin.losses.divergence import gaussian_kl, monte_carlo_kl
from genloss_builtin.losses.likelihood import bernoulli_nll, gaussian_nll
from genloss_builtin.losses.variational import iwae, total_correlation
from genloss_builtin.models.vae import MIN_X_LOGVAR, VAE, VAETurn

DIGITS = genloss.DataSpec((1, 8, 8), "image", 100, value_range=(0.0, 1.0), vocabulary=17)
POINTS = genloss.DataSpec((2,), "points", 100)


def turn_of(model: VAE, x: Tensor) -> Any:
    return model.turns()["network"](model, {"x": x})


def test_densities_of_z_and_their_gradients_are_those_of_torch_distributions() -> None:
    torch.manual_seed(0)
    model = VAE(POINTS, latent_dim=3).double()
    turn = turn_of(model, torch.randn(6, 2, dtype=torch.float64))
    log_qz = Normal(turn.mu, (0.5 * turn.logvar).exp()).log_prob(turn.z).sum(1)
    log_pz = Normal(0.0, 1.0).log_prob(turn.z).sum(1)
    torch.testing.assert_close(turn.log_qz, log_qz)
    torch.testing.assert_close(turn.log_pz, log_pz)
    parameters = list(model.encoder.parameters())
    for ours, theirs in ((turn.log_qz, log_qz), (turn.log_pz, log_pz)):
        gradients = [
            torch.autograd.grad(value.sum(), parameters, retain_graph=True) for value in (ours, theirs)
        ]
        torch.testing.assert_close(*gradients)


def test_the_kl_by_samples_agrees_with_the_kl_by_formula() -> None:
    torch.manual_seed(0)
    model = VAE(POINTS, latent_dim=2)
    turn = turn_of(model, torch.ones(50_000, 2))
    by_samples = monte_carlo_kl(log_qz=turn.log_qz, log_pz=turn.log_pz)
    by_formula = gaussian_kl(mu=turn.mu, logvar=turn.logvar)[0]
    error = by_samples.std() / math.sqrt(len(by_samples))
    assert (by_samples.mean() - by_formula).abs() < 4 * error
    assert error < 0.01


def test_the_parts_of_total_correlation_add_up_to_the_kl_by_samples() -> None:
    torch.manual_seed(0)
    model = VAE(POINTS, latent_dim=3).double()
    turn = turn_of(model, torch.randn(6, 2, dtype=torch.float64))
    quantities = {"z": turn.z, "mu": turn.mu, "logvar": turn.logvar, "dataset_size": turn.dataset_size}
    assert turn.dataset_size == POINTS.size
    parts = total_correlation(**quantities, alpha=1.0, beta=1.0, gamma=1.0)
    torch.testing.assert_close(parts, monte_carlo_kl(log_qz=turn.log_qz, log_pz=turn.log_pz).mean())


def test_z_is_a_sample_of_the_posterior() -> None:
    torch.manual_seed(0)
    model = VAE(POINTS, latent_dim=1)
    turn = turn_of(model, torch.ones(50_000, 2))
    standardised = (turn.z - turn.mu) / (0.5 * turn.logvar).exp()
    torch.testing.assert_close(standardised.mean(), torch.tensor(0.0), rtol=0, atol=0.02)
    torch.testing.assert_close(standardised.std(), torch.tensor(1.0), rtol=0, atol=0.02)


def test_the_mean_of_a_bernoulli_decoder_is_a_probability() -> None:
    model = VAE(DIGITS, likelihood="bernoulli")
    turn = turn_of(model, torch.rand(4, 1, 8, 8))
    torch.testing.assert_close(turn.x_hat, turn.x_logits.sigmoid())
    assert "x_logvar" not in type(turn).quantities()


def test_a_fixed_variance_is_offered_as_it_is() -> None:
    for variance in (1.0, 0.25):
        turn = turn_of(VAE(POINTS, variance=variance), torch.randn(4, 2))
        torch.testing.assert_close(turn.x_logvar, torch.full((4, 2), math.log(variance)))
        assert "x_logits" not in type(turn).quantities()


def test_a_learned_variance_is_one_for_each_element_and_bounded_below() -> None:
    torch.manual_seed(0)
    model = VAE(DIGITS, variance="learned", network="conv", hidden=(4,))
    turn = turn_of(model, torch.rand(4, 1, 8, 8))
    assert turn.x_logvar.std(0).min() > 0
    assert turn.x_logvar.flatten(1).std(1).min() > 0
    raw = torch.tensor([-1000.0, MIN_X_LOGVAR, 3.0]).view(1, 1, 3)
    bounded = model.x_logvar(torch.cat([torch.zeros(1, 1, 3), raw], dim=1)).flatten()
    torch.testing.assert_close(bounded[0], torch.tensor(MIN_X_LOGVAR))
    torch.testing.assert_close(bounded[1], torch.tensor(MIN_X_LOGVAR + math.log(2)))
    torch.testing.assert_close(bounded[2], torch.tensor(3.0), rtol=0, atol=1e-4)


def test_what_is_not_asked_for_is_not_computed() -> None:
    model = VAE(POINTS)
    calls: list[str] = []
    model.encoder.register_forward_hook(lambda *_: calls.append("encoder"))
    model.decoder.register_forward_hook(lambda *_: calls.append("decoder"))
    turn = turn_of(model, torch.randn(4, 2))
    assert isinstance(turn, VAETurn)
    assert turn.z_prior.shape == (4, 16)
    assert calls == []
    assert turn.log_qz.shape == turn.log_pz.shape
    assert calls == ["encoder"]
    assert turn.x_hat.shape == turn.x_logvar.shape
    assert calls == ["encoder", "decoder"]


def test_samples_are_means_of_the_decoder() -> None:
    model = VAE(DIGITS, variance="learned", latent_dim=3)
    torch.manual_seed(3)
    samples = model.sample(5)
    torch.manual_seed(3)
    assert torch.equal(samples, model.mean(model.decode(torch.randn(5, 3))))


def set_linear(layer: Any, weight: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)


def linear_gaussian(variance: float) -> tuple[VAE, MultivariateNormal, Tensor, Tensor]:
    """A linear VAE, the exact p(x) and the exact posterior as weight and bias of its encoder."""
    model = VAE(POINTS, latent_dim=2, hidden=(), variance=variance).double()
    slope, centre = torch.tensor([1.5, -0.5]).double(), torch.tensor([0.3, -1.0]).double()
    set_linear(model.decoder[0], slope.diag(), centre)
    marginal = MultivariateNormal(centre, (slope.square() + variance).diag())
    gain = slope / (slope.square() + variance)
    weight = torch.cat([gain.diag(), torch.zeros(2, 2).double()])
    bias = torch.cat([-gain * centre, (variance / (slope.square() + variance)).log()])
    return model, marginal, weight, bias


@pytest.mark.parametrize("variance", [1.0, 0.1])
def test_with_the_exact_posterior_the_bound_is_the_likelihood(variance: float) -> None:
    model, marginal, weight, bias = linear_gaussian(variance)
    set_linear(model.encoder[0], weight, bias)
    x = marginal.sample((20,))
    torch.testing.assert_close(model.log_likelihood(x), marginal.log_prob(x))


def test_with_another_posterior_the_bound_is_below_the_likelihood_and_above_the_elbo() -> None:
    torch.manual_seed(0)
    model, marginal, weight, bias = linear_gaussian(variance=0.5)
    set_linear(model.encoder[0], weight, bias + torch.tensor([1.0, -1.0, -1.0, -1.0]))
    x = marginal.sample((500,))
    turn = turn_of(model, x)
    nll = gaussian_nll(x=x, x_hat=turn.x_hat, x_logvar=turn.x_logvar)
    elbo = -(nll + monte_carlo_kl(log_qz=turn.log_qz, log_pz=turn.log_pz)).mean()
    bound = model.log_likelihood(x).mean()
    assert elbo < bound - 0.5
    assert bound < marginal.log_prob(x).mean()


DECODERS = pytest.mark.parametrize(
    "options", [{}, {"variance": 0.3}, {"variance": "learned"}, {"likelihood": "bernoulli"}], ids=str
)


@DECODERS
def test_log_weights_and_their_gradients_are_those_of_torch_distributions(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = VAE(DIGITS, latent_dim=3, hidden=(9,), importance_samples=4, **options).double()
    x = torch.rand(5, 1, 8, 8, dtype=torch.float64)
    turn = turn_of(model, x)
    torch.manual_seed(1)
    log_weights = turn.log_weights
    assert log_weights.shape == (5, 4)
    torch.manual_seed(1)
    posterior = Normal(turn.mu[:, None], (0.5 * turn.logvar[:, None]).exp())
    z = posterior.mean + posterior.stddev * torch.randn(20, 3, dtype=torch.float64).view(5, 4, 3)
    decoded = model.decode(z.flatten(0, 1))
    repeated = x.repeat_interleave(4, 0)
    if options.get("likelihood") == "bernoulli":
        # A grey level is no outcome of torch's Bernoulli; its density there is the same formula.
        likelihood: Any = Bernoulli(logits=decoded, validate_args=False)
    else:
        likelihood = Normal(model.mean(decoded), (0.5 * model.x_logvar(decoded)).exp())
    log_px = likelihood.log_prob(repeated).flatten(1).sum(1).view(5, 4)
    expected = log_px + Normal(0.0, 1.0).log_prob(z).sum(2) - posterior.log_prob(z).sum(2)
    torch.testing.assert_close(log_weights, expected)
    parameters = list(model.parameters())
    gradients = [
        torch.autograd.grad(iwae(log_weights=value).mean(), parameters, retain_graph=True)
        for value in (log_weights, expected)
    ]
    torch.testing.assert_close(*gradients)


def test_all_importance_samples_are_decoded_in_one_call() -> None:
    model = VAE(POINTS, importance_samples=7)
    batches: list[int] = []
    model.decoder.register_forward_hook(lambda _, inputs, __: batches.append(len(inputs[0])))
    assert turn_of(model, torch.randn(4, 2)).log_weights.shape == (4, 7)
    assert batches == [28]


def test_with_one_sample_the_importance_weighted_bound_is_the_elbo() -> None:
    torch.manual_seed(0)
    model = VAE(POINTS, importance_samples=1, variance=0.5).double()
    x = torch.tensor([[0.5, -1.0]], dtype=torch.float64).repeat(50_000, 1)
    with torch.no_grad():
        turn = turn_of(model, x)
        by_weights = iwae(log_weights=turn.log_weights)
        nll = gaussian_nll(x=x, x_hat=turn.x_hat, x_logvar=turn.x_logvar)
        by_parts = nll + gaussian_kl(mu=turn.mu, logvar=turn.logvar)
    error = math.hypot(by_weights.std(), by_parts.std()) / math.sqrt(len(x))
    assert abs(by_weights.mean() - by_parts.mean()) < 4 * error
    assert error < 0.01


def test_the_importance_weighted_bound_stays_below_the_likelihood_and_rises_with_the_samples() -> None:
    """A linear decoder has a known p(x), and a posterior whose correlation no diagonal one can have."""
    torch.manual_seed(0)
    model = VAE(POINTS, latent_dim=2, hidden=(), variance=0.2).double()
    slope = torch.tensor([[1.0, 0.9], [0.2, 0.6]]).double()
    centre = torch.tensor([0.3, -1.0]).double()
    set_linear(model.decoder[0], slope, centre)
    covariance = slope @ slope.T + 0.2 * torch.eye(2).double()
    marginal = MultivariateNormal(centre, covariance)
    optimizer = torch.optim.Adam(model.encoder.parameters(), lr=0.03)
    for _ in range(400):
        turn = turn_of(model, marginal.sample((128,)))
        nll = gaussian_nll(x=turn.x, x_hat=turn.x_hat, x_logvar=turn.x_logvar)
        optimizer.zero_grad()
        torch.autograd.backward((nll + gaussian_kl(mu=turn.mu, logvar=turn.logvar)).mean())
        optimizer.step()

    x = marginal.sample((20_000,))
    log_px = marginal.log_prob(x)
    gaps = {}
    for samples in (1, 2, 8, 64):
        model.importance_samples = samples
        with torch.no_grad():
            gaps[samples] = log_px + iwae(log_weights=turn_of(model, x).log_weights)

    # With one sample the gap is KL(q‖p(z|x)), which has a closed form.
    with torch.no_grad():
        mu, logvar = model.posterior(x)
    posterior_covariance = torch.linalg.inv(torch.eye(2).double() + slope.T @ slope / 0.2)
    posterior = MultivariateNormal((x - centre) @ slope / 0.2 @ posterior_covariance, posterior_covariance)
    exact = kl_divergence(MultivariateNormal(mu, torch.diag_embed(logvar.exp())), posterior)
    error = gaps[1].std() / math.sqrt(len(x))
    assert abs(gaps[1].mean() - exact.mean()) < 4 * error
    assert error < 0.02 * exact.mean()

    for fewer, more in pairwise([*gaps.values(), torch.zeros_like(log_px)]):
        rise = fewer - more
        assert rise.mean() > 5 * rise.std() / math.sqrt(len(x))
    assert gaps[64].mean() < 0.25 * gaps[1].mean()


@DECODERS
def test_the_likelihood_is_the_one_that_the_losses_train(options: dict[str, Any]) -> None:
    """Where the latent says nothing, −log p(x) is the decoder's loss."""
    torch.manual_seed(0)
    model = VAE(DIGITS, latent_dim=2, hidden=(), **options).double()
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.zero_()
        model.decoder[0].weight.zero_()
        model.decoder[0].bias.normal_()
    x = torch.rand(3, 1, 8, 8, dtype=torch.float64)
    turn = turn_of(model, x)
    if options.get("likelihood") == "bernoulli":
        nll = bernoulli_nll(x=x, x_logits=turn.x_logits)
    else:
        nll = gaussian_nll(x=x, x_hat=turn.x_hat, x_logvar=turn.x_logvar)
    torch.testing.assert_close(model.log_likelihood(x), -nll)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (POINTS, {}, r"needs data in \[0, 1\], but this data is unbounded"),
        (
            genloss.DataSpec((1, 8, 8), "image", 10, value_range=(-1.0, 1.0)),
            {},
            r"needs data in \[0, 1\], but this data is in \[-1.0, 1.0\]",
        ),
        (DIGITS, {"variance": "learned"}, "`variance` is 'learned', but a Bernoulli decoder has no variance"),
    ],
)
def test_a_bernoulli_decoder_that_does_not_fit_is_refused(
    data: genloss.DataSpec, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        VAE(data, likelihood="bernoulli", **options)
    assert "`likelihood: gaussian`" in (caught.value.hint or "")
