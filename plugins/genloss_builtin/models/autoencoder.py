"""The plain autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

import genloss
from genloss_builtin.models.networks import Network, Positive, decoder, encoder, normal, to_value_range


class AutoencoderTurn(genloss.Turn["Autoencoder"]):
    """Quantities that an autoencoder offers to losses."""

    @cached_property
    def z(self) -> Float[Tensor, "batch latent"]:
        """The code of x."""
        return self.model.encode(self.x)

    @cached_property
    def z_prior(self) -> Float[Tensor, "batch latent"]:
        """A sample from N(0, I), as decoded by `sample`."""
        return normal(self.x, len(self.x), self.model.latent_dim)

    @cached_property
    def x_hat(self) -> Float[Tensor, "batch *event"]:
        """The reconstruction of x."""
        return self.model.decode(self.z)


class Autoencoder(genloss.Model):
    """An encoder to a low-dimensional code, and a decoder back.

    A plain autoencoder has no distribution of codes to sample from. `sample` decodes z ~ N(0, I), which looks
    like data only if the objective moves the codes there, for example by a divergence between `z` and
    `z_prior`.

    Options:
        latent_dim: length of the code (16).
        network: "mlp", or "conv" for images ("mlp").
        hidden: widths of the encoder's hidden layers, reversed in the decoder; with "conv" the channels of
            layers that halve the image ([128, 128]).

    Source:
        Hinton & Salakhutdinov 2006, "Reducing the Dimensionality of Data with Neural Networks".
    """

    def __init__(
        self,
        data: genloss.DataSpec,
        *,
        latent_dim: Positive = 16,
        network: Network = "mlp",
        hidden: tuple[Positive, ...] = (128, 128),
    ) -> None:
        super().__init__(data)
        self.latent_dim = latent_dim
        self.encoder = encoder(data, latent_dim, network=network, hidden=hidden)
        self.decoder = nn.Sequential(
            decoder(data, latent_dim, network=network, hidden=hidden), to_value_range(data)
        )

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": AutoencoderTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self}

    def encode(self, x: Tensor) -> Tensor:
        """Encode examples `[batch, *event]` as codes `[batch, latent]`."""
        z: Tensor = self.encoder(x)
        return z

    def decode(self, z: Tensor) -> Tensor:
        """Decode codes `[batch, latent]` to examples `[batch, *event]`."""
        x_hat: Tensor = self.decoder(z)
        return x_hat

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return reconstructions of examples `[batch, *event]`, in the same shape."""
        return self.decode(self.encode(x))

    def sample(self, count: int) -> Tensor:
        """Decode codes z ~ N(0, I); see the class for their limitations."""
        with torch.no_grad():
            return self.decode(normal(next(self.parameters()), count, self.latent_dim))
