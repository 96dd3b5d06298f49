"""The diffusion model, in continuous time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

import genloss
from genloss_builtin.models.networks import Network, Positive, normal
from genloss_builtin.models.time_networks import UnitScale, per_example, time_network

Parameterization = Literal["epsilon", "x0", "v"]
Schedule = Callable[[Tensor], tuple[Tensor, Tensor]]


def linear(t: Tensor) -> tuple[Tensor, Tensor]:
    """Return α and σ of the schedule with β rising linearly from 0.1 to 20; log-SNR 9.1 … −10.1.

    This is the continuous-time limit of DDPM's schedule, from 10⁻⁴ to 0.02 over 1,000 steps; t = 0 is its
    first step.

    Source:
        Ho, Jain & Abbeel 2020, arXiv:2006.11239; the limit: Song et al. 2021, arXiv:2011.13456, appendix C.
    """
    first, low, high = 1e-3, 0.1, 20.0
    t = first + (1 - first) * t
    log_alpha = -0.25 * (high - low) * t.square() - 0.5 * low * t
    return log_alpha.exp(), (-(2 * log_alpha).expm1()).sqrt()


def cosine(t: Tensor) -> tuple[Tensor, Tensor]:
    """Return α and σ as cosine and sine of an angle linear in t; log-SNR 10 … −10.

    Source:
        Nichol & Dhariwal 2021, arXiv:2102.09672; with a bounded log-SNR, Salimans & Ho 2022,
        arXiv:2202.00512.
    """
    first = math.atan(math.exp(-5))
    angle = first + (math.pi / 2 - 2 * first) * t
    return angle.cos(), angle.sin()


SCHEDULES: Mapping[str, Schedule] = {"linear": linear, "cosine": cosine}


class DiffusionTurn(genloss.Turn["Diffusion"]):
    """Quantities that a diffusion model offers to losses; time and noise are drawn once per example and turn.

    Bounded data is scaled to [−1, 1]; `noise`, `prediction`, `target` and `score` are on that scale.
    """

    @cached_property
    def t(self) -> Float[Tensor, "batch"]:
        """The time, uniform on [0, 1]: from data to noise."""
        return torch.rand(len(self.x), device=self.x.device, dtype=self.x.dtype)

    @cached_property
    def noise(self) -> Float[Tensor, "batch *event"]:
        """ε ~ N(0, I), the noise added to the data."""
        return torch.randn_like(self.x)

    @cached_property
    def _coefficients(self) -> tuple[Tensor, Tensor]:
        return self.model.schedule(self.t)

    @cached_property
    def alpha(self) -> Float[Tensor, "batch"]:
        """α, the factor of the data in the noisy data."""
        return self._coefficients[0]

    @cached_property
    def sigma(self) -> Float[Tensor, "batch"]:
        """σ, the factor of the noise in the noisy data; α² + σ² = 1."""
        return self._coefficients[1]

    @cached_property
    def snr(self) -> Float[Tensor, "batch"]:
        """The signal-to-noise ratio α²/σ²."""
        return (self.alpha / self.sigma).square()

    @cached_property
    def _mixing(self) -> tuple[Tensor, Tensor]:
        return per_example(self.alpha, self.x), per_example(self.sigma, self.x)

    @cached_property
    def _scaled(self) -> Tensor:
        return self.model.scale.enter(self.x)

    @cached_property
    def _noisy(self) -> Tensor:
        alpha, sigma = self._mixing
        return alpha * self._scaled + sigma * self.noise

    @cached_property
    def prediction(self) -> Float[Tensor, "batch *event"]:
        """The network's output for the noisy data and t."""
        return self.model.predict(self._noisy, self.t)

    @cached_property
    def target(self) -> Float[Tensor, "batch *event"]:
        """The target of the network's output: ε, x₀, or v = αε − σx₀."""
        alpha, sigma = self._mixing
        return self.model.target(self._scaled, self.noise, alpha, sigma).detach()

    @cached_property
    def parameterization(self) -> str:
        """What `prediction` and `target` are: "epsilon", "x0" or "v"."""
        return self.model.parameterization

    @cached_property
    def score(self) -> Float[Tensor, "batch *event"]:
        """Estimated gradient of the noisy data's log-density: −ε/σ with the estimated ε."""
        alpha, sigma = self._mixing
        return -self.model.epsilon(self._noisy, self.prediction, alpha, sigma) / sigma

    @cached_property
    def x_hat(self) -> Float[Tensor, "batch *event"]:
        """Estimated mean of the data given the noisy data, in data space."""
        return self.model.scale.leave(self.model.x0(self._noisy, self.prediction, *self._mixing))


class Diffusion(genloss.Model):
    """A network trained to remove Gaussian noise step by step.

    At time t in [0, 1] the noisy data is αx + σε with ε ~ N(0, I) and α² + σ² = 1 (variance preserving).
    Samplers go from noise at t = 1 to t = 0 in equal steps, and then to the network's estimate of the mean.
    Time is continuous, so that the number of steps can be chosen when sampling.

    Bounded data is scaled to [−1, 1], and estimates are clipped to that range in sampling; other data is not
    scaled and should have a variance of about 1.

    Options:
        parameterization: what the network predicts: the noise ("epsilon"), the data ("x0"), or
            v = αε − σx₀ ("epsilon").
        schedule: how α and σ change with t, "linear" or "cosine" ("cosine").
        sampler: "ddpm", which draws new noise in each step, with the variance of the posterior given the
            data, or "ddim", which draws none ("ddpm").
        sampling_steps: network evaluations per sample (100).
        network: "mlp", or "conv" for images, a U-Net ("mlp").
        hidden: widths of the hidden layers; with "conv" the channels at each resolution, each half of the
            previous one ([128, 128]).

    Source:
        Ho, Jain & Abbeel 2020, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239; continuous time:
        Kingma et al. 2021, "Variational Diffusion Models", arXiv:2107.00630; DDIM: Song, Meng & Ermon 2021,
        arXiv:2010.02502; v: Salimans & Ho 2022, arXiv:2202.00512.
    """

    example_options = ({"sampling_steps": 3, "hidden": [16, 16]},)

    def __init__(
        self,
        data: genloss.DataSpec,
        *,
        parameterization: Parameterization = "epsilon",
        schedule: Literal["linear", "cosine"] = "cosine",
        sampler: Literal["ddpm", "ddim"] = "ddpm",
        sampling_steps: Positive = 100,
        network: Network = "mlp",
        hidden: tuple[Positive, ...] = (128, 128),
    ) -> None:
        super().__init__(data)
        self.parameterization = parameterization
        self.schedule = SCHEDULES[schedule]
        self.sampler = sampler
        self.sampling_steps = sampling_steps
        self.scale = UnitScale(data)
        self.network = time_network(data, network=network, hidden=hidden)

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": DiffusionTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def predict(self, noisy: Tensor, t: Float[Tensor, "batch"]) -> Tensor:
        """Return the network's output for scaled noisy data `[batch, *event]` at the times t."""
        prediction: Tensor = self.network(noisy, t)
        return prediction

    def target(self, x: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Return the target of the network's output, for scaled data."""
        if self.parameterization == "epsilon":
            return noise
        if self.parameterization == "x0":
            return x
        return alpha * noise - sigma * x

    def epsilon(self, noisy: Tensor, prediction: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Return the estimate of the noise implied by the network's output."""
        if self.parameterization == "epsilon":
            return prediction
        if self.parameterization == "x0":
            return (noisy - alpha * prediction) / sigma
        return sigma * noisy + alpha * prediction

    def x0(self, noisy: Tensor, prediction: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Return the estimate of the scaled data implied by the network's output."""
        if self.parameterization == "epsilon":
            return (noisy - sigma * prediction) / alpha
        if self.parameterization == "x0":
            return prediction
        return alpha * noisy - sigma * prediction

    def sample(self, count: int) -> Tensor:
        """Generate examples from noise; see the class."""
        with torch.no_grad():
            return self.denoise(normal(next(self.parameters()), count, *self.data.event_shape))

    def denoise(self, noise: Tensor) -> Tensor:
        """Turn noise `[batch, *event]` from N(0, I) into examples; DDIM draws no further noise."""
        x = noise
        times = torch.linspace(1, 0, self.sampling_steps, device=x.device, dtype=x.dtype)
        alphas, sigmas = self.schedule(times)
        # The step after t = 0 is the estimate itself: α = 1, σ = 0.
        next_alphas = torch.cat([alphas[1:], torch.ones_like(alphas[:1])])
        next_sigmas = torch.cat([sigmas[1:], torch.zeros_like(sigmas[:1])])
        for t, alpha, sigma, next_alpha, next_sigma in zip(
            times, alphas, sigmas, next_alphas, next_sigmas, strict=True
        ):
            prediction = self.predict(x, t.expand(len(x)))
            x_hat = self.scale.clip(self.x0(x, prediction, alpha, sigma))
            epsilon = (x - alpha * x_hat) / sigma
            if self.sampler == "ddim":
                x = next_alpha * x_hat + next_sigma * epsilon
            else:
                # Keep part of the noise and redraw the rest, so that x follows the posterior of the process.
                stays = (alpha / next_alpha) * next_sigma.square() / sigma
                anew = (next_sigma.square() - stays.square()).sqrt()
                x = next_alpha * x_hat + stays * epsilon + anew * torch.randn_like(x)
        return self.scale.leave(x)
