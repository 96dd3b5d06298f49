"""Penalties on the gradient of the discriminator's logit with respect to its input."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss_builtin.losses._reduce import reduce_event, rows


@genloss.loss(family="adversarial", unit="1", source="Gulrajani et al. 2017, arXiv:1704.00028")
def gradient_penalty(
    interpolated_gradient: Float[Tensor, "batch *event"],
    *,
    target: Annotated[float, Ge(0)] = 1.0,
    one_sided: bool = False,
) -> Float[Tensor, "batch"]:
    """Squared distance of the discriminator's gradient norm from a target, between real and fake examples.

    One norm per example. The paper's λ = 10 is the term's weight.

    Formula:
        (‖∇‖₂ − target)²; one-sided: max(0, ‖∇‖₂ − target)²

    Quantities:
        interpolated_gradient: `[batch, *event]`, ∇: the gradient of the discriminator's logit with respect to
            its input, at a random point between a real and a generated example, with one ε per example.

    Options:
        target: default 1, in logits per unit of the data.
        one_sided: default false; true does not penalise norms below the target.

    Source:
        Gulrajani et al. 2017, arXiv:1704.00028; one-sided: Petzka et al. 2018, arXiv:1709.08894.

    Example:
        A gradient of norm 5: (5 − 1)².

        >>> import torch
        >>> from genloss_builtin.losses.gradient_penalty import gradient_penalty
        >>> gradient_penalty(interpolated_gradient=torch.tensor([[3.0, 4.0]]))
        tensor([16.])
    """
    # vector_norm has the subgradient 0 at 0, where √Σ∇² would give NaN.
    excess = torch.linalg.vector_norm(rows(interpolated_gradient), dim=1) - target
    return (F.relu(excess) if one_sided else excess).square()


@genloss.loss(family="adversarial", unit="1", source="Mescheder et al. 2018, arXiv:1801.04406")
def r1(real_gradient: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch"]:
    """Zero-centred gradient penalty at the data. The paper's γ is the term's weight.

    Formula:
        ½ ‖∇‖²

    Quantities:
        real_gradient: `[batch, *event]`, ∇: the gradient of the discriminator's logit with respect to its
            input, at the data.

    Source:
        Mescheder et al. 2018, arXiv:1801.04406, equation 9.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.gradient_penalty import r1
        >>> r1(real_gradient=torch.tensor([[3.0, 4.0]]))
        tensor([12.5000])
    """
    return 0.5 * reduce_event(real_gradient.square())


@genloss.loss(family="adversarial", unit="1", source="Mescheder et al. 2018, arXiv:1801.04406")
def r2(fake_gradient: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch"]:
    """Zero-centred gradient penalty at generated examples. The paper's γ is the term's weight.

    Formula:
        ½ ‖∇‖²

    Quantities:
        fake_gradient: `[batch, *event]`, ∇: the gradient of the discriminator's logit with respect to its
            input, at generated examples.

    Source:
        Mescheder et al. 2018, arXiv:1801.04406, equation 10.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.gradient_penalty import r2
        >>> r2(fake_gradient=torch.tensor([[3.0, 4.0]]))
        tensor([12.5000])
    """
    return 0.5 * reduce_event(fake_gradient.square())
