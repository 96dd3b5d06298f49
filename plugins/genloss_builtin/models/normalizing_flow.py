"""The normalizing flow with affine coupling layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

import genloss
from genloss.errors import DefinitionError
from genloss_builtin.models.networks import Positive, mlp, normal

MAX_LOG_SCALE = 2.0
"""Bound on a coupling layer's log-scale, so that an untrained network cannot make a density infinite."""

MARGIN = 0.05
"""Share of the unit interval left free at either end before the logit, which is infinite there; at only one
end in RealNVP."""

LOG_2PI = math.log(2 * math.pi)


class NormalizingFlowTurn(genloss.Turn["NormalizingFlow"]):
    """Quantities that a normalizing flow offers to losses."""

    @cached_property
    def _normalized(self) -> tuple[Tensor, Tensor]:
        return self.model.normalize(self.x)

    @cached_property
    def z(self) -> Float[Tensor, "batch latent"]:
        """The image of x under the flow, with as many elements."""
        return self._normalized[0]

    @cached_property
    def logdet(self) -> Float[Tensor, "batch"]:
        """Logarithm of the absolute determinant of the Jacobian ∂z/∂x, in nats."""
        return self._normalized[1]

    @cached_property
    def z_prior(self) -> Float[Tensor, "batch latent"]:
        """A sample from the prior N(0, I)."""
        return normal(self.x, len(self.x), self.model.dimensions)


class NormalizingFlow(genloss.Model):
    """An invertible map from data to N(0, I), with an exact density.

    Each layer keeps every other element (for images, one colour of a checkerboard), and scales and shifts the
    rest by the output of a network applied to the kept elements. The next layer swaps the roles.

    Bounded data is first transformed by a logit, as in the paper, so that the flow itself is unbounded.
    Discrete values have no density: a flow trained on them would concentrate it there without bound. So fresh
    noise spreads them evenly over the gaps ("uniform dequantisation"), and samples are rounded.

    Options:
        couplings: number of coupling layers (8).
        hidden: widths of the hidden layers in each layer's network ([128, 128]).

    Attributes:
        dimensions: number of elements of an example.
        spacing: distance between neighbouring values of discrete data; 0 for continuous data.
        interval: lower end and width of the range of bounded data after dequantisation.

    Source:
        Dinh, Sohl-Dickstein & Bengio 2017, "Density Estimation using Real NVP", arXiv:1605.08803.
    """

    masks: Tensor

    def __init__(
        self, data: genloss.DataSpec, *, couplings: Positive = 8, hidden: tuple[Positive, ...] = (128, 128)
    ) -> None:
        super().__init__(data)
        self.dimensions = math.prod(data.event_shape)
        if data.kind == "tokens":
            raise DefinitionError(
                "this model is for continuous data, but the data is tokens",
                hint="use `autoregressive` for tokens",
            )
        if self.dimensions < 2:
            raise DefinitionError(
                "a coupling layer needs examples of at least two elements, but this data has one",
                hint="use `vae` for data of one dimension",
            )
        self.spacing = _spacing(data)
        self.interval: tuple[float, float] | None = None
        if data.value_range is not None:
            low, high = data.value_range
            self.interval = (low - self.spacing / 2, high - low + self.spacing)
        self.networks = nn.ModuleList(
            nn.Sequential(*mlp([self.dimensions, *hidden, 2 * self.dimensions])) for _ in range(couplings)
        )
        # 1 where a layer keeps its input.
        grid = torch.meshgrid(*map(torch.arange, data.event_shape), indexing="ij")
        even = (torch.stack(grid).sum(0) % 2 == 0).flatten()
        masks = [even if layer % 2 == 0 else ~even for layer in range(couplings)]
        self.register_buffer("masks", torch.stack(masks).float(), persistent=False)

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": NormalizingFlowTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self}

    def normalize(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map examples `[batch, *event]` to z `[batch, latent]` and log |det ∂z/∂x| `[batch]`, in nats.

        Discrete values are dequantised with noise from torch's generator.
        """
        z, logdet = self._unbound(x.flatten(1))
        for mask, network in zip(self.masks, self.networks, strict=True):
            log_scale, shift = _coupling(network, mask, z)
            z = z * log_scale.exp() + shift
            logdet = logdet + log_scale.sum(1)
        return z, logdet

    def generate(self, z: Tensor) -> Tensor:
        """Invert `normalize`: map z `[batch, latent]` to examples `[batch, *event]`."""
        for mask, network in zip(self.masks.flip(0), reversed(self.networks), strict=True):
            log_scale, shift = _coupling(network, mask, z)
            z = (z - shift) * (-log_scale).exp()
        return self._bound(z).reshape(-1, *self.data.event_shape)

    def sample(self, count: int) -> Tensor:
        """Generate examples from z ~ N(0, I); discrete values are rounded to the nearest."""
        with torch.no_grad():
            x = self.generate(normal(self.masks, count, self.dimensions))
        if self.data.value_range is None:
            return x
        low, high = self.data.value_range
        if self.spacing:
            x = low + ((x - low) / self.spacing).round() * self.spacing
        return x.clamp(low, high)

    def log_likelihood(self, x: Tensor) -> Float[Tensor, "batch"]:
        """Compute the log-density of x in nats: exact for continuous data.

        For discrete values it is that of the example dequantised with one draw of noise: in expectation a
        lower bound on log P(x) − D log δ, for D elements with spacing δ.

        Source:
            Theis et al. 2015, "A note on the evaluation of generative models", arXiv:1511.01844.
        """
        with torch.no_grad():
            z, logdet = self.normalize(x)
            return logdet - 0.5 * (z.square() + LOG_2PI).sum(1)

    def _unbound(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map values `[batch, elements]` to the real line; return them and the log determinant."""
        if self.interval is None:
            return x, torch.zeros_like(x[:, 0])
        if self.spacing:
            x = x + self.spacing * (torch.rand_like(x) - 0.5)
        low, width = self.interval
        share = MARGIN + (1 - 2 * MARGIN) * (x - low) / width
        slope = math.log((1 - 2 * MARGIN) / width) - share.log() - (1 - share).log()
        return share.logit(), slope.sum(1)

    def _bound(self, y: Tensor) -> Tensor:
        """Invert `_unbound`."""
        if self.interval is None:
            return y
        low, width = self.interval
        return low + width * (y.sigmoid() - MARGIN) / (1 - 2 * MARGIN)


def _spacing(data: genloss.DataSpec) -> float:
    """Return the distance between neighbouring values of discrete data; 0 for continuous data."""
    if data.value_range is None or data.vocabulary is None or data.vocabulary < 2:
        return 0.0
    low, high = data.value_range
    return (high - low) / (data.vocabulary - 1)


def _coupling(network: nn.Module, mask: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Compute log-scale and shift `[batch, elements]` from the elements kept by the mask; 0 for these."""
    log_scale, shift = network(value * mask).chunk(2, dim=1)
    changed = 1 - mask
    return changed * MAX_LOG_SCALE * (log_scale / MAX_LOG_SCALE).tanh(), changed * shift
