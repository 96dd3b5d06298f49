"""Losses of a discrete bottleneck that move codes and encoder output towards each other, one side each."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss_builtin.losses._reduce import Reduce, reduce_event


@genloss.loss(
    family="vector_quantisation",
    unit="1",
    source="van den Oord et al. 2017, arXiv:1711.00937",
    stop_gradient=("z_e",),
)
def codebook(
    z_e: Float[Tensor, "batch *event"], z_q: Float[Tensor, "batch *event"], *, reduce: Reduce = "sum"
) -> Float[Tensor, "batch"]:
    """Moves the selected codes towards the encoder's output.

    Formula:
        ‖sg[z_e] − z_q‖², where sg stops the gradient

    Quantities:
        z_e: `[batch, *event]`, the encoder's output; receives no gradient.
        z_q: `[batch, *event]`, its nearest codes, before the straight-through estimator.

    Options:
        reduce: default sum, over positions and dimensions; or mean.

    Source:
        van den Oord et al. 2017, arXiv:1711.00937, the second term of equation 3.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.vector_quantisation import codebook
        >>> codebook(z_e=torch.tensor([[3.0, 4.0]]), z_q=torch.zeros(1, 2))
        tensor([25.])
    """
    return reduce_event(F.mse_loss(z_q, z_e.detach(), reduction="none"), reduce)


@genloss.loss(
    family="vector_quantisation",
    unit="1",
    source="van den Oord et al. 2017, arXiv:1711.00937",
    stop_gradient=("z_q",),
)
def commitment(
    z_e: Float[Tensor, "batch *event"], z_q: Float[Tensor, "batch *event"], *, reduce: Reduce = "sum"
) -> Float[Tensor, "batch"]:
    """Moves the encoder's output towards the selected codes. The paper's β = 0.25 is the term's weight.

    Formula:
        ‖z_e − sg[z_q]‖², where sg stops the gradient

    Quantities:
        z_e: `[batch, *event]`, the encoder's output.
        z_q: `[batch, *event]`, its nearest codes, before the straight-through estimator; receive no gradient.

    Options:
        reduce: default sum, as in `codebook`; or mean.

    Source:
        van den Oord et al. 2017, arXiv:1711.00937, the third term of equation 3.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.vector_quantisation import commitment
        >>> commitment(z_e=torch.tensor([[3.0, 4.0]]), z_q=torch.zeros(1, 2))
        tensor([25.])
    """
    return reduce_event(F.mse_loss(z_e, z_q.detach(), reduction="none"), reduce)
