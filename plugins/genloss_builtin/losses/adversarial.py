"""Adversarial losses of each example's logits, with separate losses for discriminator and generator.

Discriminators return raw, unbounded logits. If there is one logit per patch, the loss is averaged over the
patches.
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from annotated_types import Ge, Le
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss_builtin.losses._reduce import reduce_event


@genloss.loss(family="adversarial", unit="nats", source="Goodfellow et al. 2014, arXiv:1406.2661")
def minimax_discriminator(
    real_logits: Float[Tensor, "batch *patches"],
    fake_logits: Float[Tensor, "batch *patches"],
    *,
    label_smoothing: Annotated[float, Ge(0), Le(1)] = 0.0,
) -> Float[Tensor, "batch"]:
    """Cross-entropy of classifying real and generated examples; optimum 2 ln 2 − 2 JSD(real, generated).

    Equals `torch.nn.BCELoss` on sigmoid outputs, with labels 1 for real and 0 for generated examples, but
    cannot overflow. Smoothing is one-sided: only the real label 1 becomes 1 − ε.

    Formula:
        −log D(x) − log(1 − D(x̃)) = softplus(−r) + softplus(f), D = σ(logit);
        smoothed: softplus(−r) + ε r + softplus(f)

    Quantities:
        real_logits: `[batch, *patches]`, r: the discriminator's raw logits for the data.
        fake_logits: `[batch, *patches]`, f: those for generated examples.

    Options:
        label_smoothing: ε, default 0 (Goodfellow et al.), a probability; Salimans et al. use 0.1.

    Source:
        Goodfellow et al. 2014, arXiv:1406.2661; smoothing: Salimans et al. 2016, arXiv:1606.03498.

    Example:
        Zero logits: 2 ln 2.

        >>> import torch
        >>> from genloss_builtin.losses.adversarial import minimax_discriminator
        >>> minimax_discriminator(real_logits=torch.zeros(1), fake_logits=torch.zeros(1))
        tensor([1.3863])
    """
    value = F.softplus(-real_logits) + F.softplus(fake_logits)
    if label_smoothing:
        value = value + label_smoothing * real_logits
    return reduce_event(value, "mean")


@genloss.loss(family="adversarial", unit="nats", source="Goodfellow et al. 2014, arXiv:1406.2661")
def minimax_generator(fake_logits: Float[Tensor, "batch *patches"]) -> Float[Tensor, "batch"]:
    """The generator's loss in the zero-sum game; saturates when the discriminator wins.

    Formula:
        log(1 − D(x̃)) = −softplus(f)

    Quantities:
        fake_logits: `[batch, *patches]`, f: the discriminator's raw logits for generated examples.

    Source:
        Goodfellow et al. 2014, arXiv:1406.2661, equation 1.

    Example:
        A zero logit: −ln 2.

        >>> import torch
        >>> from genloss_builtin.losses.adversarial import minimax_generator
        >>> minimax_generator(fake_logits=torch.zeros(1))
        tensor([-0.6931])
    """
    return reduce_event(-F.softplus(fake_logits), "mean")


@genloss.loss(family="adversarial", unit="nats", source="Goodfellow et al. 2014, arXiv:1406.2661")
def non_saturating_generator(fake_logits: Float[Tensor, "batch *patches"]) -> Float[Tensor, "batch"]:
    """The generator maximises log D instead, whose gradient stays large when the discriminator wins.

    Formula:
        −log D(x̃) = softplus(−f)

    Quantities:
        fake_logits: `[batch, *patches]`, f: the discriminator's raw logits for generated examples.

    Source:
        Goodfellow et al. 2014, arXiv:1406.2661, section 3.

    Example:
        A zero logit: ln 2.

        >>> import torch
        >>> from genloss_builtin.losses.adversarial import non_saturating_generator
        >>> non_saturating_generator(fake_logits=torch.zeros(1))
        tensor([0.6931])
    """
    return reduce_event(F.softplus(-fake_logits), "mean")


@genloss.loss(family="adversarial", unit="1", source="Mao et al. 2017, arXiv:1611.04076")
def least_squares_discriminator(
    real_logits: Float[Tensor, "batch *patches"],
    fake_logits: Float[Tensor, "batch *patches"],
    *,
    a: float = 0.0,
    b: float = 1.0,
) -> Float[Tensor, "batch"]:
    """Half the squared distance of the raw logits from two labels.

    Formula:
        ½ [(r − b)² + (f − a)²]

    Quantities:
        real_logits: `[batch, *patches]`, r: the discriminator's raw logits for the data.
        fake_logits: `[batch, *patches]`, f: those for generated examples.

    Options:
        a: default 0, in the logits' unit: the label of generated examples.
        b: default 1, in the logits' unit: the label of the data.

    Source:
        Mao et al. 2017, arXiv:1611.04076, equation 2; a and b as in its 0-1 coding, equation 9.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.adversarial import least_squares_discriminator
        >>> least_squares_discriminator(real_logits=torch.zeros(1), fake_logits=torch.full((1,), -2.0))
        tensor([2.5000])
    """
    return reduce_event(0.5 * ((real_logits - b).square() + (fake_logits - a).square()), "mean")


@genloss.loss(family="adversarial", unit="1", source="Mao et al. 2017, arXiv:1611.04076")
def least_squares_generator(
    fake_logits: Float[Tensor, "batch *patches"], *, c: float = 1.0
) -> Float[Tensor, "batch"]:
    """Half the squared distance of the raw logits from the label that the generator aims at.

    Formula:
        ½ (f − c)²

    Quantities:
        fake_logits: `[batch, *patches]`, f: the discriminator's raw logits for generated examples.

    Options:
        c: default 1, in the logits' unit: the target logit for generated examples.

    Source:
        Mao et al. 2017, arXiv:1611.04076, equation 2; c as in its 0-1 coding, equation 9.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.adversarial import least_squares_generator
        >>> least_squares_generator(fake_logits=torch.full((1,), -1.0))
        tensor([2.])
    """
    return reduce_event(0.5 * (fake_logits - c).square(), "mean")


@genloss.loss(family="adversarial", unit="1", source="Lim & Ye 2017, arXiv:1705.02894")
def hinge_discriminator(
    real_logits: Float[Tensor, "batch *patches"], fake_logits: Float[Tensor, "batch *patches"]
) -> Float[Tensor, "batch"]:
    """A margin of 1 on each side, as in a support vector machine.

    Formula:
        max(0, 1 − r) + max(0, 1 + f)

    Quantities:
        real_logits: `[batch, *patches]`, r: the discriminator's raw logits for the data.
        fake_logits: `[batch, *patches]`, f: those for generated examples.

    Source:
        Lim & Ye 2017, arXiv:1705.02894.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.adversarial import hinge_discriminator
        >>> hinge_discriminator(real_logits=torch.zeros(1), fake_logits=torch.zeros(1))
        tensor([2.])
    """
    return reduce_event(F.relu(1 - real_logits) + F.relu(1 + fake_logits), "mean")


@genloss.loss(family="adversarial", unit="1", source="Lim & Ye 2017, arXiv:1705.02894")
def hinge_generator(fake_logits: Float[Tensor, "batch *patches"]) -> Float[Tensor, "batch"]:
    """The generator's loss for the hinge discriminator; linear, without a margin.

    Formula:
        −f

    Quantities:
        fake_logits: `[batch, *patches]`, f: the discriminator's raw logits for generated examples.

    Source:
        Lim & Ye 2017, arXiv:1705.02894.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.adversarial import hinge_generator
        >>> hinge_generator(fake_logits=torch.full((1,), 3.0))
        tensor([-3.])
    """
    return reduce_event(-fake_logits, "mean")


@genloss.loss(family="adversarial", unit="1", source="Arjovsky et al. 2017, arXiv:1701.07875")
def wasserstein_discriminator(
    real_logits: Float[Tensor, "batch *patches"], fake_logits: Float[Tensor, "batch *patches"]
) -> Float[Tensor, "batch"]:
    """Negative estimate of the Wasserstein-1 distance by the critic, if the critic is 1-Lipschitz.

    Unbounded without a constraint on the critic, such as `gradient_penalty`.

    Formula:
        f − r

    Quantities:
        real_logits: `[batch, *patches]`, r: the critic's values for the data.
        fake_logits: `[batch, *patches]`, f: those for generated examples.

    Source:
        Arjovsky et al. 2017, arXiv:1701.07875.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.adversarial import wasserstein_discriminator
        >>> wasserstein_discriminator(real_logits=torch.full((1,), 3.0), fake_logits=torch.ones(1))
        tensor([-2.])
    """
    return reduce_event(fake_logits - real_logits, "mean")


@genloss.loss(family="adversarial", unit="1", source="Arjovsky et al. 2017, arXiv:1701.07875")
def wasserstein_generator(fake_logits: Float[Tensor, "batch *patches"]) -> Float[Tensor, "batch"]:
    """The part of the critic's estimate of the Wasserstein-1 distance that depends on the generator.

    Formula:
        −f

    Quantities:
        fake_logits: `[batch, *patches]`, f: the critic's values for generated examples.

    Source:
        Arjovsky et al. 2017, arXiv:1701.07875.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.adversarial import wasserstein_generator
        >>> wasserstein_generator(fake_logits=torch.full((1,), 3.0))
        tensor([-3.])
    """
    return reduce_event(-fake_logits, "mean")
