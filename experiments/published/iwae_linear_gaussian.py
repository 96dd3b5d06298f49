"""A latent-variable model with a known likelihood, and a posterior that is too wide by a known amount.

Source: Rainforth et al. 2018, arXiv:1802.04537, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

import genloss
from genloss.errors import DefinitionError

PROPOSAL_VARIANCE = 2 / 3
"""Variance of q(z|x); that of the true posterior is ½."""

LIKELIHOOD_VARIANCE = 2.0
"""Variance of p(x): the prior's plus the decoder's."""


@genloss.dataset
def shifted_gaussian(
    *,
    dimensions: Annotated[int, Ge(1)] = 20,
    mean: float = 1.0,
    size: Annotated[int, Ge(1)] = 10_000,
    held_out: Annotated[int, Ge(1)] = 2_000,
    seed: int = 0,
) -> genloss.Data:
    """Points from N(mean, 2 I), which `linear_gaussian` can model exactly.

    Fields: `x` `[batch, dimensions]`. Truth: `log_density`.

    Options:
        dimensions: dimension of a point; 20 by default.
        mean: mean in each dimension; 1 by default.
        size, held_out: number of training and held-out examples; 10,000 and 2,000 by default.
        seed: random seed; 0 by default.

    Source: Rainforth et al. 2018, arXiv:1802.04537, section 4.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(count: int) -> Tensor:
        return mean + math.sqrt(LIKELIHOOD_VARIANCE) * torch.randn(count, dimensions, generator=generator)

    # Draw the held-out points first, so that they do not depend on the training set's size.
    unseen, train = draw(held_out), draw(size)
    return genloss.Data(
        genloss.DataSpec((dimensions,), "points", size=size),
        train={"x": train},
        held_out={"x": unseen},
        truth={"log_density": lambda x: log_normal(x - mean, LIKELIHOOD_VARIANCE)},
    )


class LinearGaussianTurn(genloss.Turn["LinearGaussian"]):
    """Quantities that the model offers to losses."""

    @cached_property
    def mu(self) -> Float[Tensor, "batch latent"]:
        """Mean of q(z|x): (x + μ)/2, the same as that of the true posterior."""
        return self.model.proposal_mean(self.x)

    @cached_property
    def logvar(self) -> Float[Tensor, "batch latent"]:
        """Log variance of q(z|x): log ⅔."""
        return torch.full_like(self.mu, math.log(PROPOSAL_VARIANCE))

    @cached_property
    def prior_mu(self) -> Float[Tensor, "batch latent"]:
        """Mean of the prior p(z): μ."""
        return self.model.mean.expand_as(self.x)

    @cached_property
    def z(self) -> Float[Tensor, "batch latent"]:
        """A sample from q(z|x), through which gradients flow."""
        return self.mu + math.sqrt(PROPOSAL_VARIANCE) * torch.randn_like(self.mu)

    @cached_property
    def log_qz(self) -> Float[Tensor, "batch"]:
        """Log-density of z under q(z|x), in nats."""
        return log_normal(self.z - self.mu, PROPOSAL_VARIANCE)

    @cached_property
    def log_pz(self) -> Float[Tensor, "batch"]:
        """Log-density of z under the prior, in nats."""
        return log_normal(self.z - self.prior_mu)

    @cached_property
    def x_hat(self) -> Float[Tensor, "batch *event"]:
        """Mean of p(x|z): z."""
        return self.z

    @cached_property
    def log_weights(self) -> Float[Tensor, "batch samples"]:
        """log p(x, z_k) − log q(z_k|x) in nats, for `importance_samples` samples from q(z|x)."""
        return self.model.log_weights(self.x)


class LinearGaussian(genloss.Model):
    """p(z) = N(μ, I), p(x|z) = N(z, I), q(z|x) = N((x + μ)/2, ⅔ I); μ is trained, from 0.

    p(x) is N(μ, 2 I), and the posterior is N((x + μ)/2, ½ I). So the gap of each bound to log p(x) is the
    same for all x and μ, at any stage of training: q differs from the posterior only in its variance.

    Options:
        importance_samples: K, the number of samples from q in `log_weights` (1).

    Source:
        Rainforth et al. 2018, arXiv:1802.04537, section 4, with its best linear encoder, A = ½ I and b = μ/2.
    """

    exempt: ClassVar = {"seed": "μ starts at 0"}

    def __init__(self, data: genloss.DataSpec, *, importance_samples: Annotated[int, Ge(1)] = 1) -> None:
        super().__init__(data)
        if data.kind != "points":
            raise DefinitionError("model `linear_gaussian` is for points")
        self.importance_samples = importance_samples
        self.mean = nn.Parameter(torch.zeros(data.event_shape))

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": LinearGaussianTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self}

    def proposal_mean(self, x: Tensor) -> Tensor:
        """Return the mean of q(z|x) `[batch, latent]`."""
        return (x + self.mean) / 2

    def log_weights(self, x: Tensor) -> Float[Tensor, "batch samples"]:
        """Compute log p(x, z_k) − log q(z_k|x) in nats for fresh, differentiable samples z_k from q."""
        mean, x = self.proposal_mean(x).unsqueeze(1), x.unsqueeze(1)
        noise = torch.randn(len(x), self.importance_samples, x.shape[2], device=x.device, dtype=x.dtype)
        scaled = math.sqrt(PROPOSAL_VARIANCE) * noise
        z = mean + scaled
        log_joint = log_normal(z - self.mean) + log_normal(x - z)
        return log_joint - log_normal(scaled, PROPOSAL_VARIANCE)

    def log_likelihood(self, x: Tensor) -> Float[Tensor, "batch"]:
        """Compute the exact log p(x) in nats."""
        return log_normal(x - self.mean, LIKELIHOOD_VARIANCE)

    def sample(self, count: int) -> Tensor:
        """Draw samples from p(x)."""
        mean = self.mean.detach()
        return mean + math.sqrt(LIKELIHOOD_VARIANCE) * torch.randn(
            count, *mean.shape, device=mean.device, dtype=mean.dtype
        )


@genloss.metric(
    unit="nats",
    higher_is_better=False,
    example=lambda: {
        "model": LinearGaussian(genloss.DataSpec((2,), "points", size=8)).eval(),
        "held_out": torch.randn(8, 2, generator=torch.Generator().manual_seed(0)),
    },
)
def bound_gap(
    model: genloss.Model,
    held_out: Float[Tensor, "held_out dimensions"],
    *,
    batch_size: Annotated[int, Ge(1)] = 100,
) -> float:
    """Mean gap between log p(x) and the bound with K importance-weighted samples, over held-out data.

    Formula: mean of ŵ − 1 − log ŵ, ŵ = (1/K) Σ_k p(x, z_k) / (q(z_k|x) p(x)). The gap is the expectation of
    −log ŵ; since that of ŵ is 1, the control variate ŵ − 1 only reduces the variance.

    Unit: nats.
    Direction: lower is better.
    Reference: none; with the posterior as q, the gap is 0.
    Options:
        batch_size: number of held-out examples evaluated at once; 100 by default.

    Source: Burda et al. 2016, arXiv:1509.00519.

    Raises:
        DefinitionError: the model is not a `linear_gaussian`.
    """
    if not isinstance(model, LinearGaussian):
        raise DefinitionError("metric `bound_gap` is for the model `linear_gaussian`")
    total = 0.0
    with torch.no_grad():
        for x in torch.split(held_out, batch_size):
            log_weights = model.log_weights(x) - model.log_likelihood(x).unsqueeze(1)
            log_mean = log_weights.logsumexp(1) - math.log(log_weights.shape[1])
            total += float((log_mean.expm1() - log_mean).sum())
    return total / len(held_out)


def log_normal(deviation: Tensor, variance: float = 1.0) -> Tensor:
    """Compute the log-density in nats of N(0, variance I) over the last dimension."""
    dimensions = deviation.shape[-1]
    return -0.5 * (deviation.square().sum(-1) / variance + dimensions * math.log(2 * math.pi * variance))


@genloss.hookimpl
def genloss_datasets() -> Iterator[object]:
    yield shifted_gaussian


@genloss.hookimpl
def genloss_models() -> Iterator[object]:
    yield LinearGaussian


@genloss.hookimpl
def genloss_metrics() -> Iterator[object]:
    yield bound_gap
