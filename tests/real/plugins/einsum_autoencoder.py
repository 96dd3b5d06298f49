"""An autoencoder whose gradients have another layout than its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

import genloss


class EinsumTurn(genloss.Turn["EinsumAutoencoder"]):
    """What the autoencoder offers."""

    @cached_property
    def x_hat(self) -> Float[Tensor, "batch *event"]:
        """Reconstruction."""
        return self.model.reconstruct(self.x)


class Encoder(nn.Module):
    """Two linear maps, one as an einsum and one of a permuted weight."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(width, size) / size**0.5)
        self.up = nn.Parameter(torch.randn(width, size) / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.einsum("bi,oi->bo", x, self.down)
        return z @ self.up.permute(1, 0).contiguous().permute(1, 0)


class EinsumAutoencoder(genloss.Model):
    """A linear autoencoder."""

    def __init__(self, data: genloss.DataSpec, *, width: int = 8) -> None:
        super().__init__(data)
        self.network = Encoder(data.event_shape[0], width)

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": EinsumTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def reconstruct(self, x: Tensor) -> Tensor:
        """The reconstruction of x."""
        out: Tensor = self.network(x)
        return out

    def sample(self, count: int) -> Tensor:
        """Reconstructions of noise."""
        return self.reconstruct(torch.randn(count, *self.data.event_shape))


@genloss.hookimpl
def genloss_models():
    yield EinsumAutoencoder
