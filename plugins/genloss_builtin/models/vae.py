"""The variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

import torch
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

import genloss
from genloss.errors import DefinitionError
from genloss_builtin.models.networks import Network, Positive, decoder, encoder, normal, to_value_range

LOG_2PI = math.log(2 * math.pi)

LIKELIHOOD_SAMPLES = 256
"""Number of posterior samples per example in `VAE.log_likelihood`."""

MIN_X_LOGVAR = -8.0
"""Soft lower bound on a learned log variance. Without it, a constant pixel would drive its variance to zero
and its density to infinity (soft clipping as in Rybkin et al. 2021, "Simple and Effective VAE Training with
Calibrated Decoders")."""


class VAETurn(genloss.Turn["VAE"]):
    """Quantities that any VAE offers to losses, whatever its decoder."""

    @cached_property
    def _posterior(self) -> tuple[Tensor, Tensor]:
        return self.model.posterior(self.x)

    @cached_property
    def _noise(self) -> Tensor:
        return torch.randn_like(self.mu)

    @cached_property
    def _decoded(self) -> Tensor:
        return self.model.decode(self.z)

    @cached_property
    def mu(self) -> Float[Tensor, "batch latent"]:
        """Posterior mean of z given x."""
        return self._posterior[0]

    @cached_property
    def logvar(self) -> Float[Tensor, "batch latent"]:
        """Log variance of the posterior; not bounded, since the divergence from the prior controls it."""
        return self._posterior[1]

    @cached_property
    def z(self) -> Float[Tensor, "batch latent"]:
        """A sample of the posterior, through which gradients flow to `mu` and `logvar`."""
        return self.mu + (0.5 * self.logvar).exp() * self._noise

    @cached_property
    def z_prior(self) -> Float[Tensor, "batch latent"]:
        """A sample from the prior N(0, I)."""
        return normal(self.x, len(self.x), self.model.latent_dim)

    @cached_property
    def log_qz(self) -> Float[Tensor, "batch"]:
        """Log-density of z under the posterior, in nats."""
        return log_normal(self._noise, self.logvar)

    @cached_property
    def log_pz(self) -> Float[Tensor, "batch"]:
        """Log-density of z under the prior, in nats."""
        return log_normal(self.z)

    @cached_property
    def log_weights(self) -> Float[Tensor, "batch samples"]:
        """log p(x, z_k) − log q(z_k | x) in nats, for `importance_samples` samples of the posterior.

        The samples are independent of `z`.
        """
        return self.model.log_weights(self.x, self._posterior, self.model.importance_samples)

    @cached_property
    def x_hat(self) -> Float[Tensor, "batch *event"]:
        """Mean of the decoder given z, in data space."""
        return self.model.mean(self._decoded)


class BernoulliVAETurn(VAETurn):
    """Quantities that a VAE with a Bernoulli decoder offers to losses."""

    @cached_property
    def x_logits(self) -> Float[Tensor, "batch *event"]:
        """Logits of the Bernoulli decoder given z."""
        return self._decoded


class GaussianVAETurn(VAETurn):
    """Quantities that a VAE with a Gaussian decoder offers to losses."""

    @cached_property
    def x_logvar(self) -> Float[Tensor, "batch *event"]:
        """Log variance of the Gaussian decoder given z, for each element; constant unless learned."""
        return self.model.x_logvar(self._decoded)


class VAE(genloss.Model):
    """A latent-variable model p(x|z) p(z) with an encoder for the posterior q(z|x).

    The prior is N(0, I), the posterior a Gaussian with diagonal covariance. `sample` returns the decoder's
    means for z from the prior, as is customary for images; it does not add decoder noise.

    Options:
        latent_dim: dimension of z (16).
        likelihood: the decoder's distribution; "bernoulli" is for data in [0, 1] ("gaussian").
        variance: variance of the Gaussian decoder, in the data's unit squared, or "learned": one per element,
            given z. It is offered as `x_logvar`, and also used by `log_likelihood` (1).
        network: "mlp", or "conv" for images ("mlp").
        hidden: widths of the encoder's hidden layers, reversed in the decoder; with "conv" the channels of
            layers that halve the image ([128, 128]).
        importance_samples: K, the number of posterior samples in `log_weights`, if a loss needs them (5).

    Source:
        Kingma & Welling 2014, "Auto-Encoding Variational Bayes", arXiv:1312.6114.
    """

    def __init__(
        self,
        data: genloss.DataSpec,
        *,
        latent_dim: Positive = 16,
        likelihood: Literal["gaussian", "bernoulli"] = "gaussian",
        variance: Annotated[float, Gt(0)] | Literal["learned"] = 1.0,
        network: Network = "mlp",
        hidden: tuple[Positive, ...] = (128, 128),
        importance_samples: Positive = 5,
    ) -> None:
        super().__init__(data)
        if likelihood == "bernoulli":
            _check_bernoulli(data, variance)
        self.latent_dim = latent_dim
        self.likelihood = likelihood
        self.variance = variance
        self.importance_samples = importance_samples
        self.encoder = encoder(data, 2 * latent_dim, network=network, hidden=hidden)
        per_element = 2 if variance == "learned" else 1
        self.decoder = decoder(data, latent_dim, network=network, hidden=hidden, per_element=per_element)
        self.to_mean = nn.Sigmoid() if likelihood == "bernoulli" else to_value_range(data)

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        if self.likelihood == "bernoulli":
            return {"network": BernoulliVAETurn}
        return {"network": GaussianVAETurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self}

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of q(z|x), each `[batch, latent]`."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Return the decoder's raw output for z `[batch, latent]`, the input of `mean` and `x_logvar`."""
        decoded: Tensor = self.decoder(z)
        return decoded

    def mean(self, decoded: Tensor) -> Tensor:
        """Return the mean of p(x|z) `[batch, *event]`, from the decoder's raw output for z."""
        if self.variance == "learned":
            decoded = decoded.chunk(2, dim=1)[0]
        mean: Tensor = self.to_mean(decoded)
        return mean

    def x_logvar(self, decoded: Tensor) -> Tensor:
        """Return the log variance of a Gaussian p(x|z) `[batch, *event]`, from the decoder's raw output."""
        if not isinstance(self.variance, str):
            return torch.full_like(decoded, math.log(self.variance))
        return MIN_X_LOGVAR + F.softplus(decoded.chunk(2, dim=1)[1] - MIN_X_LOGVAR)

    def sample(self, count: int) -> Tensor:
        """Return the decoder's means for z ~ N(0, I)."""
        with torch.no_grad():
            return self.mean(self.decode(normal(next(self.parameters()), count, self.latent_dim)))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoder's means at the posterior means of examples `[batch, *event]`."""
        return self.mean(self.decode(self.posterior(x)[0]))

    def log_likelihood(self, x: Tensor) -> Float[Tensor, "batch"]:
        """Compute a lower bound on log p(x) in nats, importance-weighted with 256 posterior samples.

        The bound is below log p(x) in expectation, and tighter the closer q(z|x) is to the true posterior.
        For a Gaussian decoder it is a log-density, for a Bernoulli decoder a log-probability; the two are not
        comparable. With a Bernoulli decoder, a grey value is the probability of a one, and the bound is that
        of the expected log-probability of the randomly binarised image.

        Source:
            Burda, Grosse & Salakhutdinov 2016, "Importance Weighted Autoencoders", arXiv:1509.00519.
        """
        with torch.no_grad():
            posterior = self.posterior(x)
            # One at a time, since drawing all at once would take 256 times the memory.
            log_weights = [self.log_weights(x, posterior, samples=1) for _ in range(LIKELIHOOD_SAMPLES)]
            return torch.cat(log_weights, 1).logsumexp(1) - math.log(LIKELIHOOD_SAMPLES)

    def log_weights(
        self, x: Tensor, posterior: tuple[Tensor, Tensor], samples: int
    ) -> Float[Tensor, "batch samples"]:
        """Compute log p(x, z_k) − log q(z_k | x) in nats, for fresh posterior samples z_k of each example.

        Gradients flow through the samples to the posterior. All samples are decoded in one call.

        Args:
            x: examples `[batch, *event]`.
            posterior: mean and log variance of q(z|x), each `[batch, latent]`.
            samples: the number of z_k.
        """
        mu, logvar = (value.repeat_interleave(samples, 0) for value in posterior)
        noise = torch.randn_like(mu)
        z = mu + (0.5 * logvar).exp() * noise
        log_px = self._log_px(x.repeat_interleave(samples, 0), self.decode(z))
        return (log_px + log_normal(z) - log_normal(noise, logvar)).reshape(-1, samples)

    def _log_px(self, x: Tensor, decoded: Tensor) -> Tensor:
        if self.likelihood == "bernoulli":
            return -F.binary_cross_entropy_with_logits(decoded, x, reduction="none").flatten(1).sum(1)
        error = (x - self.mean(decoded)).flatten(1)
        logvar = self.x_logvar(decoded).flatten(1)
        return log_normal(error * (-0.5 * logvar).exp(), logvar)


def log_normal(standardised: Tensor, logvar: Tensor | float = 0.0) -> Tensor:
    """Compute the log-density `[batch]`, in nats, of a diagonal Gaussian at standardised `[batch, d]`."""
    return -0.5 * (standardised.square() + (logvar + LOG_2PI)).sum(1)


def _check_bernoulli(data: genloss.DataSpec, variance: float | str) -> None:
    if data.value_range is None or data.value_range[0] < 0 or data.value_range[1] > 1:
        bounds = "unbounded" if data.value_range is None else f"in {list(data.value_range)}"
        raise DefinitionError(
            f"`likelihood: bernoulli` needs data in [0, 1], but this data is {bounds}",
            hint="use `likelihood: gaussian`, which takes any values",
        )
    if variance != 1.0:
        raise DefinitionError(
            f"`variance` is {variance!r}, but a Bernoulli decoder has no variance",
            hint="leave it out, or set `likelihood: gaussian`",
        )
