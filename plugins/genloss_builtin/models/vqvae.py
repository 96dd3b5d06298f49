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
"""What a training batch leaves of the counts before it: they follow the encoder over some hundred steps."""


class VQVAETurn(genloss.Turn["VQVAE"]):
    """What a VQ-VAE offers to losses."""

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
        """The nearest codes, before straight-through: gradients flow to the codebook alone."""
        return self.model.look_up(self._codes)

    @cached_property
    def x_hat(self) -> Float[Tensor, "batch *event"]:
        """Reconstruction of x, straight-through: gradients reach the encoder, and not the codebook."""
        # The value of z_q, bit for bit, with the gradient of z_e.
        straight_through = self.z_q.detach() + (self.z_e - self.z_e.detach())
        return self.model.decode(straight_through)


class VQVAE(genloss.Model):
    """An autoencoder whose code is a few entries of a codebook.

    The encoder gives a vector at each of several positions, and the nearest code stands for it. The decoder's
    gradient passes to the encoder as if nothing had been replaced ("straight-through"), so the codebook moves
    only through the loss `codebook`. As the paper's first form has it, codes are learned by gradient.

    A VQ-VAE has no prior; the paper trains an autoregressive one afterwards. `sample` draws the code of each
    position by itself, as often as the training of late has used it there: a histogram for each position,
    which knows nothing of how positions go together. Its samples show that, and should be judged with it in
    mind. Reconstructions do not depend on it.

    Options:
        codes: entries of the codebook (64).
        code_dim: length of a code (8).
        latents: with "mlp", the number of positions, and so of codes an example (8). With "conv" they are the
            grid that the layers leave of the image, and it cannot be given.
        network: "mlp", or "conv" for images ("mlp").
        hidden: widths of the encoder's hidden layers, which the decoder has in reverse; with "conv" the
            channels of layers that halve the image ([128, 128]).

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
        # Inside the networks a code's dimensions come before its position, as a convolution has them.
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
        # Close together, so that training spreads them: of codes that begin far apart most are never used.
        self.codebook = nn.Parameter(torch.empty(codes, code_dim).uniform_(-1 / codes, 1 / codes))
        # One of each to begin with, so that there is something to draw from before the first step.
        self.register_buffer("counts", torch.ones(math.prod(self.positions), codes))

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": VQVAETurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self}

    def encode(self, x: Tensor) -> Tensor:
        """The encoder's vectors `[batch, *positions, code]` of examples `[batch, *event]`."""
        encoded: Tensor = self.encoder(x)
        return encoded.movedim(1, -1)

    @torch.no_grad()
    def nearest(self, z_e: Tensor) -> Int[Tensor, "batch *positions"]:
        """Which code is nearest to each vector `[batch, *positions, code]`, by Euclidean distance."""
        # ‖z − c‖² = ‖z‖² − 2 z·c + ‖c‖², whose first part is the same for all codes.
        return (self.codebook.square().sum(1) - 2 * z_e @ self.codebook.T).argmin(-1)

    def look_up(self, codes: Tensor) -> Tensor:
        """The codebook's vectors `[batch, *positions, code]` of codes `[batch, *positions]`."""
        return F.embedding(codes, self.codebook)

    def decode(self, z: Tensor) -> Tensor:
        """Reconstructions `[batch, *event]` of vectors `[batch, *positions, code]`."""
        x_hat: Tensor = self.decoder(z.movedim(-1, 1))
        return x_hat

    @torch.no_grad()
    def count(self, codes: Tensor) -> None:
        """Adds a training batch's codes `[batch, *positions]` to the counts that `sample` draws by."""
        by_position = codes.flatten(1).T
        ones = torch.ones_like(by_position, dtype=self.counts.dtype)
        self.counts.mul_(COUNT_DECAY).scatter_add_(1, by_position, ones)

    def reconstruct(self, x: Tensor) -> Tensor:
        """What comes back of examples `[batch, *event]` through their nearest codes."""
        return self.decode(self.look_up(self.nearest(self.encode(x))))

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Decoded codes, each position's drawn by its counts; see the class for what they are worth."""
        codes = torch.multinomial(self.counts, count, replacement=True).T
        return self.decode(self.look_up(codes.reshape(count, *self.positions)))


def _refuse(latents: int | None) -> None:
    if latents is not None:
        raise DefinitionError(
            f"`latents` is {latents}, and with `network: conv` the layers of `hidden` decide their number",
            hint="leave it out, or set `network: mlp`",
        )
