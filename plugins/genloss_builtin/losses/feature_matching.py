"""Losses that compare the discriminator's features of the data and of generated examples."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

import genloss


@genloss.loss(family="adversarial", unit="1", source="Salimans et al. 2016, arXiv:1606.03498")
def feature_matching(
    real_features: list[Float[Tensor, "batch ..."]],
    fake_features: list[Float[Tensor, "batch ..."]],
    *,
    norm: Literal["l1", "l2"] = "l2",
) -> Float[Tensor, ""]:
    """Distance between the discriminator's mean features of the data and of generated examples.

    Batch-coupled: the means are over the batch. The paper uses one layer; several are summed.

    Formula:
        l2: Σ_layers ‖mean h(x) − mean h(x̃)‖₂²; l1: Σ_layers ‖mean h(x) − mean h(x̃)‖₁

    Quantities:
        real_features: list of `[batch, ...]`, h(x): the discriminator's layers for the data.
        fake_features: list of `[batch, ...]`, h(x̃): the same layers for generated examples.

    Options:
        norm: default l2, squared as in the paper; or l1.

    Source:
        Salimans et al. 2016, arXiv:1606.03498, section 3.1.

    Example:
        Means (0, 0) and (3, 4).

        >>> import torch
        >>> from genloss_builtin.losses.feature_matching import feature_matching
        >>> real, fake = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), torch.tensor([[3.0, 4.0]])
        >>> feature_matching(real_features=[real], fake_features=[fake])
        tensor(25.)
    """
    differences = [
        real.mean(0) - fake.mean(0) for real, fake in zip(real_features, fake_features, strict=True)
    ]
    if norm == "l1":
        return torch.stack([difference.abs().sum() for difference in differences]).sum()
    return torch.stack([difference.square().sum() for difference in differences]).sum()
