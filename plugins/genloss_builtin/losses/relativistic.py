"""Relativistic adversarial losses, which compare the logits of real and generated examples.

Discriminator and generator have separate losses. Discriminators return raw, unbounded logits; if there is one
logit per patch, the loss is averaged over the patches.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss_builtin.losses._reduce import reduce_event

Form = Literal["logistic", "hinge", "least_squares"]


@genloss.loss(family="adversarial", unit="nats", source="Jolicoeur-Martineau 2019, arXiv:1807.00734")
def relativistic_discriminator(
    real_logits: Float[Tensor, "batch *patches"], fake_logits: Float[Tensor, "batch *patches"]
) -> Float[Tensor, "batch"]:
    """Requires each real example to look more real than the generated one at the same index of the batch.

    Formula:
        −log σ(r − f) = softplus(−(r − f))

    Quantities:
        real_logits: `[batch, *patches]`, r: the discriminator's raw logits for the data.
        fake_logits: `[batch, *patches]`, f: those for generated examples, paired with r by index.

    Source:
        Jolicoeur-Martineau 2019, arXiv:1807.00734; with R1 and R2 penalties: Huang et al. 2024,
        arXiv:2501.05441 (R3GAN).

    Example:
        Equal logits: ln 2.

        >>> import torch
        >>> from genloss_builtin.losses.relativistic import relativistic_discriminator
        >>> relativistic_discriminator(real_logits=torch.ones(1), fake_logits=torch.ones(1))
        tensor([0.6931])
    """
    return reduce_event(F.softplus(-(real_logits - fake_logits)), "mean")


@genloss.loss(family="adversarial", unit="nats", source="Jolicoeur-Martineau 2019, arXiv:1807.00734")
def relativistic_generator(
    real_logits: Float[Tensor, "batch *patches"], fake_logits: Float[Tensor, "batch *patches"]
) -> Float[Tensor, "batch"]:
    """`relativistic_discriminator` with real and generated examples swapped.

    Formula:
        −log σ(f − r) = softplus(−(f − r))

    Quantities:
        real_logits: `[batch, *patches]`, r, as in `relativistic_discriminator`.
        fake_logits: `[batch, *patches]`, f, likewise.

    Source:
        Jolicoeur-Martineau 2019, arXiv:1807.00734.

    Example:
        A generated example that looks more real by ln 3: ln 4/3.

        >>> import torch
        >>> from genloss_builtin.losses.relativistic import relativistic_generator
        >>> relativistic_generator(real_logits=torch.zeros(1), fake_logits=torch.tensor([3.0]).log())
        tensor([0.2877])
    """
    return reduce_event(F.softplus(-(fake_logits - real_logits)), "mean")


@genloss.loss(family="adversarial", unit="1", source="Jolicoeur-Martineau 2019, arXiv:1807.00734")
def relativistic_average_discriminator(
    real_logits: Float[Tensor, "batch *patches"],
    fake_logits: Float[Tensor, "batch *patches"],
    *,
    form: Form = "logistic",
) -> Float[Tensor, ""]:
    """Requires real examples to look more real than the average generated one, and vice versa.

    The sum of two means, without a factor ½. Batch-coupled: logits are compared with means over the batch.

    Formula:
        with u = r − mean f, v = f − mean r, means over the batch:
        logistic: mean softplus(−u) + mean softplus(v);
        hinge: mean max(0, 1 − u) + mean max(0, 1 + v);
        least_squares: mean (u − 1)² + mean (v + 1)²

    Quantities:
        real_logits: `[batch, *patches]`, r: the discriminator's raw logits for the data.
        fake_logits: `[batch, *patches]`, f: those for generated examples.

    Options:
        form: default logistic (RaSGAN); hinge (RaHingeGAN) or least_squares (RaLSGAN).

    Source:
        Jolicoeur-Martineau 2019, arXiv:1807.00734.

    Example:
        Equal logits: 2 ln 2.

        >>> import torch
        >>> from genloss_builtin.losses.relativistic import relativistic_average_discriminator
        >>> relativistic_average_discriminator(real_logits=torch.ones(2), fake_logits=torch.ones(2))
        tensor(1.3863)
    """
    return _relativistic_average(real_logits, fake_logits, form)


@genloss.loss(family="adversarial", unit="1", source="Jolicoeur-Martineau 2019, arXiv:1807.00734")
def relativistic_average_generator(
    real_logits: Float[Tensor, "batch *patches"],
    fake_logits: Float[Tensor, "batch *patches"],
    *,
    form: Form = "logistic",
) -> Float[Tensor, ""]:
    """`relativistic_average_discriminator` with real and generated examples swapped.

    Batch-coupled, too.

    Formula:
        as in `relativistic_average_discriminator`, with u = f − mean r, v = r − mean f

    Quantities:
        real_logits: `[batch, *patches]`, r, as in `relativistic_average_discriminator`.
        fake_logits: `[batch, *patches]`, f, likewise.

    Options:
        form: default logistic; hinge or least_squares.

    Source:
        Jolicoeur-Martineau 2019, arXiv:1807.00734.

    Example:
        Generated examples that look more real by 3: (3 − 1)² + (−3 + 1)².

        >>> import torch
        >>> from genloss_builtin.losses.relativistic import relativistic_average_generator
        >>> relativistic_average_generator(
        ...     real_logits=torch.zeros(2), fake_logits=torch.full((2,), 3.0), form="least_squares"
        ... )
        tensor(8.)
    """
    return _relativistic_average(fake_logits, real_logits, form)


def _relativistic_average(higher: Tensor, lower: Tensor, form: Form) -> Tensor:
    """Require the logits `higher` to be above the mean of `lower`, and those of `lower` below theirs."""
    u = higher - lower.mean(0)
    v = lower - higher.mean(0)
    if form == "hinge":
        return F.relu(1 - u).mean() + F.relu(1 + v).mean()
    if form == "least_squares":
        return (u - 1).square().mean() + (v + 1).square().mean()
    return F.softplus(-u).mean() + F.softplus(v).mean()
