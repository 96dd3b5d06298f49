"""What each core loss must give: numbers in closed form, or from torch and SciPy.

The code of the article that genloss comes from is a reference of its own, in `test_article`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Independent,
    Laplace,
    MixtureSameFamily,
    Normal,
    kl_divergence,
)

import genloss_builtin

LOSSES = {loss.name: loss for loss in genloss_builtin.genloss_losses()}

CORE = """
    categorical_nll linear_categorical_nll gaussian_nll laplace_nll bernoulli_nll continuous_bernoulli_nll
    normalizing_flow_nll z_loss
    squared_error absolute_error huber charbonnier log_cosh cosine_distance ssim_distance total_variation
    gaussian_kl categorical_kl monte_carlo_kl capacity_kl iwae total_correlation mmd
    minimax_discriminator minimax_generator non_saturating_generator
    least_squares_discriminator least_squares_generator hinge_discriminator hinge_generator
    wasserstein_discriminator wasserstein_generator relativistic_discriminator relativistic_generator
    relativistic_average_discriminator relativistic_average_generator
    gradient_penalty r1 r2 feature_matching
    denoising denoising_score_matching flow_matching
    codebook commitment
"""

EXACT, PRINTED = 1e-9, 5e-8
"""Tolerances: of what is computed in float64, and of what is printed with seven digits."""


@dataclass(frozen=True)
class Reference:
    """What a loss must give for quantities and options.

    Attributes:
        what: where the expected value comes from.
        expected: a number is the mean over the batch, as the trainer records it; a tensor has each example's.
        given: quantities and options by name.
        within: the absolute tolerance.
    """

    what: str
    expected: float | Tensor
    given: Mapping[str, Any]
    within: float


def ref(what: str, expected: float | Tensor, *, within: float = EXACT, **given: Any) -> Reference:
    return Reference(what, expected, given, within)


def t(*numbers: Any) -> Tensor:
    """A tensor of float64."""
    return torch.tensor(numbers, dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


# Likelihood

TARGETS = torch.arange(24).view(4, 6) % 5
LOGITS, HIDDEN, WEIGHT = normal(4, 6, 5), normal(4, 6, 3), normal(5, 3)
LINEAR_LAYER = {"hidden": HIDDEN, "output_weight": WEIGHT, "targets": TARGETS}
UNIFORM = {"logits": zeros(1, 3, 7), "targets": torch.tensor([[0, 6, 3]])}

X, X_HAT, X_LOGVAR = (normal(4, 5, seed=seed) for seed in (1, 2, 3))
PAIR = {"x": X, "x_hat": X_HAT}
SHARE, BIT = X.sigmoid(), (X > 0).double()
# Narrow limits: within them torch has a Taylor series of low order.
CONTINUOUS = ContinuousBernoulli(logits=X_HAT, lims=(0.499999, 0.500001))

S, MEAN = 0.8, 2.0
ENTROPY = 0.5 * math.log(2 * math.pi * math.e * S**2)
FITTED = {"z": t([-1], [1]), "logdet": -t(S, S).log()}
"""An affine flow that fits N(m, s²), at m ± s: their mean is the expectation of what is quadratic in x."""

LIKELIHOOD = {
    "categorical_nll": [
        ref("uniform, ln V a token", 3 * math.log(7), **UNIFORM),
        ref("uniform and smoothed, the same", 3 * math.log(7), **UNIFORM, label_smoothing=0.3),
        ref("torch", -Categorical(logits=LOGITS).log_prob(TARGETS).sum(1), logits=LOGITS, targets=TARGETS),
    ],
    "linear_categorical_nll": [
        ref("torch", -Categorical(logits=HIDDEN @ WEIGHT.T).log_prob(TARGETS).sum(1), **LINEAR_LAYER),
    ],
    "gaussian_nll": [
        ref("N(0, 4) at 1", 1.7370857, x=t([1]), x_hat=t([0]), variance=4.0, within=PRINTED),
        ref("torch", -Normal(X_HAT, (X_LOGVAR / 2).exp()).log_prob(X).sum(1), **PAIR, x_logvar=X_LOGVAR),
    ],
    "laplace_nll": [ref("torch", -Laplace(X_HAT, 0.7).log_prob(X).sum(1), **PAIR, scale=0.7)],
    "bernoulli_nll": [
        ref("even odds, ln 2 a dimension", 5 * math.log(2), x=SHARE, x_logits=zeros(4, 5)),
        ref("torch", -Bernoulli(logits=X_HAT).log_prob(BIT).sum(1), x=BIT, x_logits=X_HAT),
    ],
    "continuous_bernoulli_nll": [
        ref("torch", -CONTINUOUS.log_prob(SHARE).sum(1), x=SHARE, x_logits=X_HAT, within=1e-7),
    ],
    "normalizing_flow_nll": [ref("a flow that fits a Gaussian, its entropy", ENTROPY, **FITTED)],
    "z_loss": [ref("zero logits, (ln V)²", math.log(7) ** 2, logits=zeros(2, 7))],
}

# Reconstruction

IMAGE = normal(2, 1, 12, 12).sigmoid()
BLACK, GREY = torch.full_like(IMAGE, 0.2), torch.full_like(IMAGE, 0.7)
SIMILARITY = (2 * 0.2 * 0.7 + 1e-4) / (0.2**2 + 0.7**2 + 1e-4)

RECONSTRUCTION = {
    "squared_error": [ref("torch", F.mse_loss(X_HAT, X).item(), **PAIR, reduce="mean")],
    "absolute_error": [ref("torch", F.l1_loss(X_HAT, X).item(), **PAIR, reduce="mean")],
    "huber": [ref("torch", F.huber_loss(X_HAT, X, delta=0.7).item(), **PAIR, delta=0.7, reduce="mean")],
    "charbonnier": [ref("√(3² + 4²)", 5.0, x=t([3]), x_hat=t([0]), epsilon=4.0)],
    "log_cosh": [ref("by its formula", (X - X_HAT).cosh().log().sum(1), **PAIR)],
    "cosine_distance": [ref("an angle of 60°", 0.5, x=t([1, 0]), x_hat=t([1, math.sqrt(3)]))],
    "ssim_distance": [
        ref("equal images", 0.0, x=IMAGE, x_hat=IMAGE, data_range=1.0),
        ref("flat images", 1 - SIMILARITY, x=BLACK, x_hat=GREY, data_range=1.0),
    ],
    "total_variation": [ref("a pixel of 2 has four sides", 8.0, x_hat=F.pad(t([[[2]]]), (1, 1, 1, 1)))],
}

# Divergence, and the VAE's objectives

MU, LOGVAR, PRIOR_MU, PRIOR_LOGVAR = (normal(8, 3, seed=seed) for seed in range(4, 8))
POSTERIOR, PRIOR = Normal(MU, (LOGVAR / 2).exp()), Normal(PRIOR_MU, (PRIOR_LOGVAR / 2).exp())
STANDARD = Normal(zeros(8, 3), 1 + zeros(8, 3))
TO_PRIOR, TO_STANDARD = (kl_divergence(POSTERIOR, other).sum(1) for other in (PRIOR, STANDARD))
GAUSSIANS = {"mu": MU, "logvar": LOGVAR, "prior_mu": PRIOR_MU, "prior_logvar": PRIOR_LOGVAR}
FROM_N_1_E = {"mu": t([0]), "logvar": t([0]), "prior_mu": t([1]), "prior_logvar": t([1])}

SIDES = torch.cat([MU - POSTERIOR.scale, MU + POSTERIOR.scale])
"""The mean over these two points is the posterior's expectation of what is quadratic in z."""
AT_SIDES = {
    name: d.log_prob(SIDES.view(2, 8, 3)).flatten(0, 1).sum(1)
    for name, d in (("log_qz", POSTERIOR), ("log_pz", STANDARD))
}

P, Q = t([0.5, 0.3, 0.2]), t([0.2, 0.2, 0.6])
P_Q = {"posterior_logits": P.log(), "prior_logits": Q.log()}
Q_P = {"posterior_logits": Q.log(), "prior_logits": P.log()}

OBSERVED, CODES = t(1.2), normal(1, 5)
"""x and z of the model p(z) = N(0, 1), p(x|z) = N(z, 1), where p(x) = N(0, 2) and p(z|x) = N(x/2, 1/2)."""
LOG_JOINT = Normal(0, 1).log_prob(CODES) + Normal(CODES, 1).log_prob(OBSERVED)
LOG_POSTERIOR = Normal(OBSERVED / 2, math.sqrt(0.5)).log_prob(CODES)
LOG_EVIDENCE = Normal(0, math.sqrt(2)).log_prob(OBSERVED).item()

Z = MU + POSTERIOR.scale * normal(8, 3, seed=8)
OF_50 = {"z": Z, "mu": MU, "logvar": LOGVAR, "dataset_size": 50}
MONTE_CARLO = (POSTERIOR.log_prob(Z) - STANDARD.log_prob(Z)).sum(1).mean().item()


def mixture(components: Any, z: Tensor) -> Tensor:
    """log q(z) as the minibatch weighting has it: of the batch's posteriors, with 1/N in place of 1/M."""
    return MixtureSameFamily(Categorical(logits=zeros(8)), components).log_prob(z) - math.log(50)


LOG_QZ = mixture(Independent(POSTERIOR, 1), Z)
LOG_QZ_EACH = sum(mixture(Normal(MU[:, d], POSTERIOR.scale[:, d]), Z[:, d]) for d in range(3))
INFORMATION = (POSTERIOR.log_prob(Z).sum(1) - LOG_QZ).mean().item()
CORRELATION = (LOG_QZ - LOG_QZ_EACH).mean().item()
EACH_KL = (LOG_QZ_EACH - STANDARD.log_prob(Z).sum(1)).mean().item()

POINTS, SAMPLES = {"x": t([0]), "y": t([1])}, {"x": normal(7, 1), "y": 1 + 2 * normal(5, 1)}
HALF, EIGHTH = math.exp(-1 / 2), math.exp(-1 / 8)
ENERGY = scipy.stats.energy_distance(*(sample[:, 0] for sample in SAMPLES.values())) ** 2

DIVERGENCE = {
    "gaussian_kl": [
        ref("N(1, e) from N(0, 1)", (math.e - 1) / 2, mu=t([1]), logvar=t([1])),
        ref("N(0, 1) from N(1, e)", 1 / math.e, **FROM_N_1_E),
        ref("torch", TO_PRIOR, **GAUSSIANS),
    ],
    "categorical_kl": [
        ref("[.5, .3, .2] from [.2, .2, .6]", 0.3600624, **P_Q, within=PRINTED),
        ref("the reverse", 0.3948162, **Q_P, within=PRINTED),
    ],
    "monte_carlo_kl": [
        ref("in expectation the closed form, by torch", TO_STANDARD.mean().item(), **AT_SIDES)
    ],
    "capacity_kl": [
        ref("30 |½ − 2|", 45.0, mu=t([1]), logvar=t([0]), capacity=2.0),
        ref(
            "γ |KL − C| of each example",
            7 * (TO_STANDARD - 3).abs(),
            mu=MU,
            logvar=LOGVAR,
            gamma=7.0,
            capacity=3.0,
        ),
    ],
    "iwae": [
        ref("weights 1 and 3", -math.log(2), log_weights=t([1, 3]).log()),
        ref("one sample, the negative ELBO", -LOG_JOINT[0, 0].item(), log_weights=LOG_JOINT[:, :1]),
        ref(
            "the exact posterior, −log p(x)",
            -LOG_EVIDENCE,
            log_weights=LOG_JOINT - LOG_POSTERIOR,
            within=1e-6,
        ),
    ],
    "total_correlation": [
        ref("all weights 1, the Monte Carlo KL", MONTE_CARLO, **OF_50, beta=1.0),
        ref("mutual information by torch", INFORMATION, **OF_50, beta=0.0, gamma=0.0),
        ref("total correlation by torch", CORRELATION, **OF_50, alpha=0.0, beta=1.0, gamma=0.0),
        ref("KL of each dimension by torch", EACH_KL, **OF_50, alpha=0.0, beta=0.0),
    ],
    "mmd": [
        ref("points at distance 1", 2 - 2 * HALF, **POINTS),
        ref("at two scales", 4 - 2 * HALF - 2 * EIGHTH, **POINTS, scales=(1.0, 2.0)),
        ref("by imq, C = 2", 2 - 2 * 2 / 3, **POINTS, kernel="imq"),
        ref("SciPy's energy distance, squared", ENERGY, **SAMPLES, kernel="energy"),
    ],
}

# Adversarial: at zero logits, and at 2 for real, −1 for generated examples

LN2 = math.log(2)
ZERO = {"real_logits": zeros(2), "fake_logits": zeros(2)}
LEVELS = {"real_logits": t(2, 2), "fake_logits": t(-1, -1)}
ZERO_FAKE, FAKE = ({"fake_logits": given["fake_logits"]} for given in (ZERO, LEVELS))

JSD = sum(0.5 * (p * (2 * p / (P + Q)).log()).sum().item() for p in (P, Q))
LOG_ODDS = (P / Q).log()[0]
# Expectations under P of real and under Q of generated examples: ten of each, counted out.
OPTIMUM = {
    "real_logits": LOG_ODDS.repeat_interleave(torch.tensor([5, 3, 2])),
    "fake_logits": LOG_ODDS.repeat_interleave(torch.tensor([2, 2, 6])),
}
SLOPE = t([3, 4])
"""The gradient of D(x) = 3 x₁ + 4 x₂, everywhere."""


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


ADVERSARIAL = {
    "minimax_discriminator": [
        ref("zero logits", 2 * LN2, **ZERO),
        ref("2 and −1", softplus(-2) + softplus(-1), **LEVELS),
        ref("the optimum, 2 ln 2 − 2 JSD", 2 * LN2 - 2 * JSD, **OPTIMUM),
    ],
    "minimax_generator": [ref("zero", -LN2, **ZERO_FAKE), ref("−1", -softplus(-1), **FAKE)],
    "non_saturating_generator": [ref("zero", LN2, **ZERO_FAKE), ref("−1", softplus(1), **FAKE)],
    "least_squares_discriminator": [ref("zero logits", 0.5, **ZERO), ref("½ [(2 − 1)² + 1]", 1.0, **LEVELS)],
    "least_squares_generator": [ref("zero", 0.5, **ZERO_FAKE), ref("½ (−1 − 1)²", 2.0, **FAKE)],
    "hinge_discriminator": [ref("zero logits", 2.0, **ZERO), ref("beyond the margins", 0.0, **LEVELS)],
    "hinge_generator": [ref("zero", 0.0, **ZERO_FAKE), ref("−1", 1.0, **FAKE)],
    "wasserstein_discriminator": [ref("zero logits", 0.0, **ZERO), ref("−1 − 2", -3.0, **LEVELS)],
    "wasserstein_generator": [ref("zero", 0.0, **ZERO_FAKE), ref("−1", 1.0, **FAKE)],
    "relativistic_discriminator": [ref("zero logits", LN2, **ZERO), ref("by 3", softplus(-3), **LEVELS)],
    "relativistic_generator": [ref("zero logits", LN2, **ZERO), ref("by 3", softplus(3), **LEVELS)],
    "relativistic_average_discriminator": [
        ref("zero logits", 2 * LN2, **ZERO),
        ref("by 3, both ways", 2 * softplus(-3), **LEVELS),
        ref("by 3, hinge", 0.0, **LEVELS, form="hinge"),
        ref("by 3, least squares", 2 * (3 - 1) ** 2, **LEVELS, form="least_squares"),
    ],
    "relativistic_average_generator": [
        ref("zero logits", 2 * LN2, **ZERO),
        ref("by 3, both ways", 2 * softplus(3), **LEVELS),
        ref("by 3, hinge", 2 * (1 + 3), **LEVELS, form="hinge"),
        ref("by 3, least squares", 2 * (3 + 1) ** 2, **LEVELS, form="least_squares"),
    ],
    "gradient_penalty": [ref("a linear D, (‖a‖ − 1)²", 16.0, interpolated_gradient=SLOPE)],
    "r1": [ref("a linear D, ½ ‖a‖²", 12.5, real_gradient=SLOPE)],
    "r2": [ref("a linear D, ½ ‖a‖²", 12.5, fake_gradient=SLOPE)],
    "feature_matching": [
        ref("means (0, 0) and (3, 4)", 25.0, real_features=[t([1, 2], [-1, -2])], fake_features=[SLOPE]),
        ref("by l1", 7.0, real_features=[t([1, 2], [-1, -2])], fake_features=[SLOPE], norm="l1"),
    ],
}

# Diffusion, score, flow: an error of 1 at five signal-to-noise ratios; the floors of Gaussian data

SNR = t(0.1, 1, 5, 10, 100)
ONE = {"prediction": 1 + zeros(5, 1), "target": zeros(5, 1), "snr": SNR}
EPSILON, X0, V = ({**ONE, "parameterization": name} for name in ("epsilon", "x0", "v"))
LEVEL = SNR.rsqrt()
KARRAS = (LEVEL**2 + 0.5**2) / (LEVEL * 0.5) ** 2

SIGMA = 0.6
DATA, NOISE = t([S], [S], [-S], [-S]), t([1], [-1], [1], [-1])
"""The mean over these points is the expectation of what is quadratic in noise and data less its mean."""
EXACT_SCORE = {
    "score": -(DATA + SIGMA * NOISE) / (S**2 + SIGMA**2),
    "noise": NOISE,
    "sigma": SIGMA + zeros(4),
}

TIMES = ((torch.arange(1000, dtype=torch.float64) + 0.5) / 1000)[:, None, None]
AT_TIMES = (1 - TIMES) * NOISE + TIMES * DATA
REGRESSION = (TIMES * S**2 - (1 - TIMES)) / ((1 - TIMES) ** 2 + (TIMES * S) ** 2)
EXACT_VELOCITY = {
    "velocity": (MEAN + REGRESSION * AT_TIMES).flatten(0, 1),
    "velocity_target": (MEAN + DATA - NOISE).expand(1000, 4, 1).flatten(0, 1),
}

DIFFUSION = {
    "denoising": [
        ref("uniform", t(1, 1, 1, 1, 1), **EPSILON),
        ref("min-SNR, ε", t(1, 1, 1, 0.5, 0.05), **EPSILON, weighting="min_snr"),
        ref("min-SNR, x₀", t(0.1, 1, 5, 5, 5), **X0, weighting="min_snr"),
        ref("min-SNR, v", t(0.0909, 0.5, 0.8333, 0.4545, 0.0495), **V, weighting="min_snr", within=5e-5),
        ref("EDM's λ(σ), x₀", KARRAS, **X0, weighting="edm"),
        ref("debiased, ε, SNR^−½", LEVEL, **EPSILON, weighting="debiased"),
    ],
    "denoising_score_matching": [
        ref("the exact score, s²/(s² + σ²)", S**2 / (S**2 + SIGMA**2), **EXACT_SCORE)
    ],
    "flow_matching": [ref("the exact velocity, s π/2", S * math.pi / 2, **EXACT_VELOCITY, within=1e-6)],
}

# Vector quantisation

CODE_PAIR = {"z_e": normal(4, 6, 3, seed=11), "z_q": normal(4, 6, 3, seed=12)}
DISTANCE = F.mse_loss(*CODE_PAIR.values()).item()

VECTOR_QUANTISATION = {
    "codebook": [ref("torch", DISTANCE, **CODE_PAIR, reduce="mean")],
    "commitment": [ref("torch", DISTANCE, **CODE_PAIR, reduce="mean")],
}

REFERENCES: dict[str, list[Reference]] = {
    **LIKELIHOOD,
    **RECONSTRUCTION,
    **DIVERGENCE,
    **ADVERSARIAL,
    **DIFFUSION,
    **VECTOR_QUANTISATION,
}


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        pytest.param(name, each, id=f"{name}: {each.what}")
        for name, some in REFERENCES.items()
        for each in some
    ],
)
def test_reference(name: str, reference: Reference) -> None:
    value = LOSSES[name](**reference.given)
    if isinstance(reference.expected, Tensor):
        torch.testing.assert_close(value, reference.expected, rtol=0, atol=reference.within)
    else:
        assert value.mean().item() == pytest.approx(reference.expected, rel=0, abs=reference.within)


def test_every_core_loss_is_offered() -> None:
    assert set(CORE.split()) <= LOSSES.keys()


def test_every_loss_has_a_reference() -> None:
    assert REFERENCES.keys() == LOSSES.keys()


# Identities of gradients: of the sum over the batch, by quantity; None where there is none.

LAYER = [v.clone().requires_grad_() for v in (HIDDEN, WEIGHT)]
MATERIALISED = F.cross_entropy((LAYER[0] @ LAYER[1].T).flatten(0, 1), TARGETS.flatten(), reduction="sum")
OF_LAYER = dict(zip(("hidden", "output_weight"), torch.autograd.grad(MATERIALISED, LAYER), strict=True))
APART = CODE_PAIR["z_e"] - CODE_PAIR["z_q"]


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("linear_categorical_nll", LINEAR_LAYER, OF_LAYER),
        ("non_saturating_generator", {"fake_logits": t(-30)}, {"fake_logits": t(-1)}),
        ("codebook", CODE_PAIR, {"z_e": None, "z_q": -2 * APART}),
        ("commitment", CODE_PAIR, {"z_e": 2 * APART, "z_q": None}),
    ],
)
def test_gradients(name: str, given: Mapping[str, Tensor], expected: Mapping[str, Tensor | None]) -> None:
    leaves = {quantity: v.clone().requires_grad_(quantity in expected) for quantity, v in given.items()}
    value = LOSSES[name](**leaves).sum()
    found = torch.autograd.grad(value, [leaves[quantity] for quantity in expected], allow_unused=True)
    for quantity, gradient in zip(expected, found, strict=True):
        wanted = expected[quantity]
        assert (gradient is None) == (wanted is None), quantity
        if gradient is not None:
            torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-9)


# Identities of expectations, from samples, and of parameterizations.


def test_mmd_of_two_gaussians() -> None:
    # N(0, I) and N((1, 0), I), whose kernel means are known: 2/3 (1 − e^−⅙).
    batches = normal(80, 2, 250, 2) + torch.stack([t(0, 0), t(1, 0)])[:, None]
    estimates = torch.stack([LOSSES["mmd"](x=x, y=y, unbiased=True) for x, y in batches])
    error = estimates.std() / math.sqrt(len(estimates))
    assert error < 0.003
    assert abs(estimates.mean() - 0.1023455) < 4 * error


def test_iwae_falls_with_the_number_of_samples_and_stays_above_minus_log_p() -> None:
    # With the prior in place of the posterior.
    log_weights = Normal(normal(20_000, 16), 1).log_prob(OBSERVED)
    bounds = [LOSSES["iwae"](log_weights=log_weights[:, :k]) for k in (1, 2, 4, 16)]
    for looser, tighter in pairwise([*bounds, torch.full_like(bounds[0], -LOG_EVIDENCE)]):
        gap = looser - tighter
        assert gap.mean() > 4 * gap.std() / math.sqrt(len(gap))


@pytest.mark.parametrize("weighting", ["min_snr", "edm", "debiased"])
def test_a_weighting_is_of_the_error_of_x0_whatever_is_predicted(weighting: str) -> None:
    # α² + σ² = 1; an error of x₀, in ε = (x_t − α x₀)/σ and in v = α ε − σ x₀ at the same x_t.
    alpha, sigma = (SNR / (1 + SNR)).sqrt()[:, None], (1 / (1 + SNR)).sqrt()[:, None]
    of_x0 = normal(5, 7)
    of_epsilon = -alpha / sigma * of_x0
    of_v = alpha * of_epsilon - sigma * of_x0
    torch.testing.assert_close(of_epsilon.square().sum(1), SNR * of_x0.square().sum(1))
    torch.testing.assert_close(of_v.square().sum(1), (SNR + 1) * of_x0.square().sum(1))
    by_x0, by_epsilon, by_v = (
        LOSSES["denoising"](error, torch.zeros_like(error), SNR, name, weighting=weighting)
        for name, error in (("x0", of_x0), ("epsilon", of_epsilon), ("v", of_v))
    )
    torch.testing.assert_close(by_epsilon, by_x0)
    torch.testing.assert_close(by_v, by_x0)
