"""Losses of each kind without a mistake, in which the suite finds none; and how their arguments are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

import genloss
from tests.conformance.toys import documented, failures

Event = Float[Tensor, "batch *event"]
PerExample = Float[Tensor, "batch"]
Scalar = Float[Tensor, ""]


def quartic_error(x: Event, x_hat: Event, *, scale: float = 1.0) -> PerExample:
    return scale * (x - x_hat).pow(4).flatten(1).sum(1)


def distance_of_means(x: Event, x_hat: Event) -> Scalar:
    return (x.mean(0) - x_hat.mean(0)).square().sum()


def token_nll(
    logits: Float[Tensor, "batch *positions vocabulary"],
    targets: Int[Tensor, "batch *positions"],
    mask: Bool[Tensor, "batch *positions"] | None = None,
) -> PerExample:
    nll = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), reduction="none")
    nll = nll.view(targets.shape)
    nll = nll if mask is None else nll * mask
    return nll.unsqueeze(-1).flatten(1).sum(1)


def commitment(z_e: Event, z_q: Event) -> PerExample:
    return (z_e - z_q.detach()).square().flatten(1).sum(1)


def layers(features: list[Float[Tensor, "batch ..."]], *, power: Literal[1, 2] = 2) -> PerExample:
    return torch.stack([layer.abs().pow(power).flatten(1).sum(1) for layer in features]).sum(0)


def noisy_error(x: Event, x_hat: Event) -> PerExample:
    shape = [len(x)] + [1] * (x.dim() - 1)
    noise = torch.rand(shape, dtype=x.dtype, device=x.device)
    return (noise * (x - x_hat)).square().flatten(1).sum(1)


def by_parameterization(
    prediction: Event,
    target: Event,
    snr: Annotated[Float[Tensor, "batch"], Gt(0)],
    parameterization: Literal["epsilon", "x0"],
    *,
    gamma: Annotated[float, Gt(0)] = 5.0,
) -> PerExample:
    weight = snr.clamp_max(gamma) / (snr if parameterization == "epsilon" else 1)
    return weight * (prediction - target).square().flatten(1).sum(1)


def share_of_the_data(x: Event, dataset_size: int) -> Scalar:
    return x.square().flatten(1).sum(1).mean() / dataset_size


class LearnedScale(nn.Module):
    def __init__(self, *, power: Annotated[float, Ge(0), Le(4)] = 2.0) -> None:
        super().__init__()
        self.power = power
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.offset = nn.Parameter(torch.randn(()))

    def forward(self, x: Event, x_hat: Event) -> PerExample:
        error = (x - x_hat - self.offset).square().add(1).pow(self.power / 2).flatten(1).sum(1)
        return error / self.log_scale.exp() + self.log_scale


def drawn(*, batch: int = 5, event: tuple[int, ...] = (2,)) -> Mapping[str, Any]:
    return {"x": torch.rand(batch, *event)}


SOUND = [
    documented(quartic_error, unit="data"),
    documented(distance_of_means),
    documented(token_nll, "logits=torch.zeros(1, 3, 4), targets=torch.tensor([[0, 3, 1]])", unit="nats"),
    documented(commitment, "z_e=torch.ones(1, 3), z_q=torch.zeros(1, 3)", stop_gradient=("z_q",)),
    documented(layers, "features=[torch.ones(1, 3), torch.full((1, 2), 2.0)]"),
    documented(noisy_error),
    documented(
        by_parameterization,
        "prediction=torch.ones(1, 2), target=torch.zeros(1, 2), snr=torch.ones(1), parameterization='x0'",
    ),
    documented(share_of_the_data, "x=torch.ones(1, 2), dataset_size=4"),
    documented(LearnedScale),
]


@pytest.mark.parametrize("loss", SOUND, ids=lambda loss: loss.name)
def test_nothing_is_found(loss: genloss.Loss[Any]) -> None:
    assert failures(loss) == {}


def test_a_shape_is_said_with_or_without_backticks() -> None:
    loss = documented(commitment, "z_e=torch.ones(1, 3), z_q=torch.zeros(1, 3)", stop_gradient=("z_q",))
    loss.doc = loss.doc.replace("`[batch, *event]`", "shape [batch, *event]")
    assert "shape [batch, *event]" in loss.doc
    assert failures(loss) == {}
