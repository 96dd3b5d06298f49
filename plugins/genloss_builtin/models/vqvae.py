"""The vector-quantised variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

import genloss
from genloss.errors import DefinitionError
from genloss_builtin.models.networks import (
    Network,
    Positive,
    decoder,
    doubling,
    encoder,
    halving,
    smallest,
    to_value_range,
)

COUNT_DECAY = 0.99
"""Decay of the counts per training batch, so that they follow the encoder over about a hundred steps."""


class VQVAETurn(genloss.Turn["VQVAE"]):
    """Quantities that a VQ-VAE offers to losses."""

    @cached_property
    def _codes(self) -> Tensor:
        codes = self.model.nearest(self.z_e)
        if self.model.training:
            self.model.count(codes)
        return codes

    @cached_property
    def z_e(self) -> Float[Tensor, "batch *positions code"]:
        """The encoder's output, a vector at each position."""
        return self.model.encode(self.x)

    @cached_property
    def z_q(self) -> Float[Tensor, "batch *positions code"]:
        """The nearest codes, before the straight-through estimator: gradients flow only to the codebook."""
        return self.model.look_up(self._codes)

    @cached_property
    def x_hat(self) -> Float[Tensor, "batch *event"]:
        """Straight-through reconstruction of x: gradients flow to the encoder, not to the codebook."""
        # Exactly the value of z_q, with the gradient of z_e.
        straight_through = self.z_q.detach() + (self.z_e - self.z_e.detach())
        return self.model.decode(straight_through)


class VQVAE(genloss.Model):
    """An autoencoder whose code is a few entries of a codebook.

    The encoder returns a vector at each of several positions, which is replaced by the nearest code. The
    decoder's gradient is passed to the encoder as if nothing had been replaced ("straight-through"), so only
    the loss `codebook` trains the codebook. As in the paper's first form, codes are learned by gradient
    descent.

    A VQ-VAE has no prior; the paper trains an autoregressive one afterwards. `sample` draws the code of each
    position independently, with its recent training frequency at that position, ignoring dependence between
    positions. Judge samples accordingly. Reconstructions do not depend on it.

    Options:
        codes: number of entries in the codebook (64).
        code_dim: length of a code (8).
        latents: with "mlp", the number of positions, and so of codes per example (8). With "conv", positions
            are the grid that remains of the image after the layers, and `latents` cannot be given.
        network: "mlp", or "conv" for images ("mlp").
        hidden: widths of the encoder's hidden layers, reversed in the decoder; with "conv" the channels of
            layers that halve the image ([128, 128]).

    Source:
        van den Oord, Vinyals & Kavukcuoglu 2017, "Neural Discrete Representation Learning", arXiv:1711.00937.
    """

    counts: Tensor

    def __init__(
        self,
        data: genloss.DataSpec,
        *,
        codes: Positive = 64,
        code_dim: Positive = 8,
        latents: Positive | None = None,
        network: Network = "mlp",
        hidden: tuple[Positive, ...] = (128, 128),
    ) -> None:
        super().__init__(data)
        # Inside the networks, a code's dimensions come before its position, as in convolutions.
        if network == "conv":
            _refuse(latents)
            layers = halving(data, hidden)
            channels, *grid = smallest(data, hidden)
            self.positions = tuple(grid)
            self.encoder = nn.Sequential(*layers, nn.Conv2d(channels, code_dim, kernel_size=1))
            self.decoder = nn.Sequential(
                nn.Conv2d(code_dim, channels, kernel_size=1), *doubling(data, hidden, data.event_shape[0])
            )
        else:
            self.positions = (8 if latents is None else latents,)
            width = code_dim * self.positions[0]
            self.encoder = encoder(data, width, network=network, hidden=hidden)
            self.encoder.append(nn.Unflatten(1, (code_dim, *self.positions)))
            self.decoder = nn.Sequential(nn.Flatten(), *decoder(data, width, network=network, hidden=hidden))
        self.decoder.append(to_value_range(data))
        # Start close together and let training spread the codes: of codes far apart, most are never used.
        self.codebook = nn.Parameter(torch.empty(codes, code_dim).uniform_(-1 / codes, 1 / codes))
        # Start with one of each, so that `sample` works before the first step.
        self.register_buffer("counts", torch.ones(math.prod(self.positions), codes))

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": VQVAETurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self}

    def encode(self, x: Tensor) -> Tensor:
        """Encode examples `[batch, *event]` as vectors `[batch, *positions, code]`."""
        encoded: Tensor = self.encoder(x)
        return encoded.movedim(1, -1)

    @torch.no_grad()
    def nearest(self, z_e: Tensor) -> Int[Tensor, "batch *positions"]:
        """Return the index of the code nearest to each vector `[batch, *positions, code]` (Euclidean)."""
        # ‖z − c‖² = ‖z‖² − 2 z·c + ‖c‖², whose first term is the same for all codes.
        return (self.codebook.square().sum(1) - 2 * z_e @ self.codebook.T).argmin(-1)

    def look_up(self, codes: Tensor) -> Tensor:
        """Return the codebook vectors `[batch, *positions, code]` of codes `[batch, *positions]`."""
        return F.embedding(codes, self.codebook)

    def decode(self, z: Tensor) -> Tensor:
        """Decode vectors `[batch, *positions, code]` to examples `[batch, *event]`."""
        x_hat: Tensor = self.decoder(z.movedim(-1, 1))
        return x_hat

    @torch.no_grad()
    def count(self, codes: Tensor) -> None:
        """Add a training batch's codes `[batch, *positions]` to the counts used by `sample`."""
        by_position = codes.flatten(1).T
        ones = torch.ones_like(by_position, dtype=self.counts.dtype)
        self.counts.mul_(COUNT_DECAY).scatter_add_(1, by_position, ones)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Reconstruct examples `[batch, *event]` from their nearest codes."""
        return self.decode(self.look_up(self.nearest(self.encode(x))))

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Decode codes drawn by the counts of each position; see the class for their limitations."""
        codes = torch.multinomial(self.counts, count, replacement=True).T
        return self.decode(self.look_up(codes.reshape(count, *self.positions)))


def _refuse(latents: int | None) -> None:
    if latents is not None:
        raise DefinitionError(
            f"`latents` is {latents}, but with `network: conv` their number follows from `hidden`",
            hint="leave it out, or set `network: mlp`",
        )
