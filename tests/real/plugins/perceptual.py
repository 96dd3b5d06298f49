"""A loss with a frozen network from a file, whose batch norms and dropout are in evaluation mode."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

import genloss


def features(size: int) -> nn.Module:
    """The network whose weights are in the file."""
    return nn.Sequential(
        nn.Linear(size, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 8)
    )


@genloss.loss(family="reconstruction", unit="1", source="this file")
class PerceptualError(nn.Module):
    """Squared distance of the features of data and reconstruction."""

    def __init__(self, *, weights: Path, size: int = 64) -> None:
        super().__init__()
        self.network = features(size)
        self.network.load_state_dict(torch.load(weights, weights_only=True))
        self.network.eval().requires_grad_(False)

    def forward(
        self, x: Float[Tensor, "batch *event"], x_hat: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "batch"]:
        return (self.network(x.flatten(1)) - self.network(x_hat.flatten(1))).square().sum(1)


@genloss.hookimpl
def genloss_losses():
    yield PerceptualError
