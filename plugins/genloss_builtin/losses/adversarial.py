"""Adversarial losses, each half a loss of its own, and penalties on the discriminator's gradient.

Discriminators give raw, unbounded logits. Where one gives a logit a patch, the patches are averaged after
the loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss_builtin.losses._reduce import reduce_event

Form = Literal["logistic", "hinge", "least_squares"]


@genloss.loss(family="adversarial", unit="nats", source="Goodfellow et al. 2014, arXiv:1406.2661")
def minimax_discriminator(
    real_logits: Float[Tensor, "batch *patches"],
    fake_logits: Float[Tensor, "batch *patches"],
    *,
    label_smoothing: Annotated[float, Ge(0), Le(1)] = 0.0,
) -> Float[Tensor, "batch"]:
    """Cross-entropy of telling real from generated; its optimum is 2 ln 2 − 2 JSD(real, generated).

    Equals `torch.nn.BCELoss` on sigmoid outputs, real against 1 plus fake against 0, without its overflow.
    Smoothing is one-sided: only the real label 1 becomes 1 − ε.

    Formula:
        −log D(x) − log(1 − D(x̃)) = softplus(−r) + softplus(f), D = σ(logit);
        smoothed: softplus(−r) + ε r + softplus(f)

    Quantities:
        real_logits: `[batch, *patches]`, r: the discriminator's raw logits of the data.
        fake_logits: `[batch, *patches]`, f: of generated examples.

    Options:
        label_smoothing: ε, default 0 (Goodfellow et al.), a probability; Salimans et al. have 0.1.

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
    return _patch_mean(value)


@genloss.loss(family="adversarial", unit="nats", source="Goodfellow et al. 2014, arXiv:1406.2661")
def minimax_generator(fake_logits: Float[Tensor, "batch *patches"]) -> Float[Tensor, "batch"]:
    """The generator's side of the zero-sum game; saturates where the discriminator wins.

    Formula:
        log(1 − D(x̃)) = −softplus(f)

    Quantities:
        fake_logits: `[batch, *patches]`, f: the discriminator's raw logits of generated examples.

    Source:
        Goodfellow et al. 2014, arXiv:1406.2661, equation 1.

    Example:
        A zero logit: −ln 2.

        >>> import torch
        >>> from genloss_builtin.losses.adversarial import minimax_generator
        >>> minimax_generator(fake_logits=torch.zeros(1))
        tensor([-0.6931])
    """
    return _patch_mean(-F.softplus(fake_logits))


@genloss.loss(family="adversarial", unit="nats", source="Goodfellow et al. 2014, arXiv:1406.2661")
def non_saturating_generator(fake_logits: Float[Tensor, "batch *patches"]) -> Float[Tensor, "batch"]:
    """The generator maximises log D instead, whose gradient is strong where the discriminator wins.

    Formula:
        −log D(x̃) = softplus(−f)

    Quantities:
        fake_logits: `[batch, *patches]`, f: the discriminator's raw logits of generated examples.

    Source:
        Goodfellow et al. 2014, arXiv:1406.2661, section 3.

    Example:
        A zero logit: ln 2.

        >>> import torch
        >>> from genloss_builtin.losses.adversarial import non_saturating_generator
        >>> non_saturating_generator(fake_logits=torch.zeros(1))
        tensor([0.6931])
    """
    return _patch_mean(F.softplus(-fake_logits))


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
        real_logits: `[batch, *patches]`, r: the discriminator's raw logits of the data.
        fake_logits: `[batch, *patches]`, f: of generated examples.

    Options:
        a: default 0, in the logits' unit: the label of generated examples.
        b: default 1, in the logits' unit: the label of the data.

    Source:
        Mao et al. 2017, arXiv:1611.04076, equation 2; a and b as in its 0-1 coding, equation 9.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.adversarial import least_squares_discriminator
        >>> least_squares_discriminator(real_logits=torch.zeros(1), fake_logits=torch.full((1,), 2.0))
        tensor([2.5000])
    """
    return _patch_mean(0.5 * ((real_logits - b).square() + (fake_logits - a).square()))


@genloss.loss(family="adversarial", unit="1", source="Mao et al. 2017, arXiv:1611.04076")
def least_squares_generator(
    fake_logits: Float[Tensor, "batch *patches"], *, c: float = 1.0
) -> Float[Tensor, "batch"]:
    """Half the squared distance of the raw logits from the label that the generator aims at.

    Formula:
        ½ (f − c)²

    Quantities:
        fake_logits: `[batch, *patches]`, f: the discriminator's raw logits of generated examples.

    Options:
        c: default 1, in the logits' unit: what the discriminator is to say of generated examples.

    Source:
        Mao et al. 2017, arXiv:1611.04076, equation 2; c as in its 0-1 coding, equation 9.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.adversarial import least_squares_generator
        >>> least_squares_generator(fake_logits=torch.zeros(1))
        tensor([0.5000])
    """
    return _patch_mean(0.5 * (fake_logits - c).square())


@genloss.loss(family="adversarial", unit="1", source="Lim & Ye 2017, arXiv:1705.02894")
def hinge_discriminator(
    real_logits: Float[Tensor, "batch *patches"], fake_logits: Float[Tensor, "batch *patches"]
) -> Float[Tensor, "batch"]:
    """A margin of 1 on each side, as a support vector machine has it.

    Formula:
        max(0, 1 − r) + max(0, 1 + f)

    Quantities:
        real_logits: `[batch, *patches]`, r: the discriminator's raw logits of the data.
        fake_logits: `[batch, *patches]`, f: of generated examples.

    Source:
        Lim & Ye 2017, arXiv:1705.02894.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.adversarial import hinge_discriminator
        >>> hinge_discriminator(real_logits=torch.zeros(1), fake_logits=torch.zeros(1))
        tensor([2.])
    """
    return _patch_mean(F.relu(1 - real_logits) + F.relu(1 + fake_logits))


@genloss.loss(family="adversarial", unit="1", source="Lim & Ye 2017, arXiv:1705.02894")
def hinge_generator(fake_logits: Float[Tensor, "batch *patches"]) -> Float[Tensor, "batch"]:
    """The generator's side of the hinge loss; linear, without a margin.

    Formula:
        −f

    Quantities:
        fake_logits: `[batch, *patches]`, f: the discriminator's raw logits of generated examples.

    Source:
        Lim & Ye 2017, arXiv:1705.02894.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.adversarial import hinge_generator
        >>> hinge_generator(fake_logits=torch.full((1,), 3.0))
        tensor([-3.])
    """
    return _patch_mean(-fake_logits)


@genloss.loss(family="adversarial", unit="1", source="Arjovsky et al. 2017, arXiv:1701.07875")
def wasserstein_discriminator(
    real_logits: Float[Tensor, "batch *patches"], fake_logits: Float[Tensor, "batch *patches"]
) -> Float[Tensor, "batch"]:
    """Minus the critic's estimate of the Wasserstein-1 distance, if the critic is 1-Lipschitz.

    It is unbounded without a constraint on the critic, such as `gradient_penalty`.

    Formula:
        f − r

    Quantities:
        real_logits: `[batch, *patches]`, r: the critic's values of the data.
        fake_logits: `[batch, *patches]`, f: of generated examples.

    Source:
        Arjovsky et al. 2017, arXiv:1701.07875.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.adversarial import wasserstein_discriminator
        >>> wasserstein_discriminator(real_logits=torch.full((1,), 3.0), fake_logits=torch.ones(1))
        tensor([-2.])
    """
    return _patch_mean(fake_logits - real_logits)


@genloss.loss(family="adversarial", unit="1", source="Arjovsky et al. 2017, arXiv:1701.07875")
def wasserstein_generator(fake_logits: Float[Tensor, "batch *patches"]) -> Float[Tensor, "batch"]:
    """What the generator can move of the critic's estimate of the Wasserstein-1 distance.

    Formula:
        −f

    Quantities:
        fake_logits: `[batch, *patches]`, f: the critic's values of generated examples.

    Source:
        Arjovsky et al. 2017, arXiv:1701.07875.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.adversarial import wasserstein_generator
        >>> wasserstein_generator(fake_logits=torch.full((1,), 3.0))
        tensor([-3.])
    """
    return _patch_mean(-fake_logits)


@genloss.loss(family="adversarial", unit="nats", source="Jolicoeur-Martineau 2019, arXiv:1807.00734")
def relativistic_discriminator(
    real_logits: Float[Tensor, "batch *patches"], fake_logits: Float[Tensor, "batch *patches"]
) -> Float[Tensor, "batch"]:
    """Asks that each real example looks more real than the generated one at the same place of the batch.

    Formula:
        −log σ(r − f) = softplus(−(r − f))

    Quantities:
        real_logits: `[batch, *patches]`, r: the discriminator's raw logits of the data.
        fake_logits: `[batch, *patches]`, f: of generated examples, paired with r by index.

    Source:
        Jolicoeur-Martineau 2019, arXiv:1807.00734; with R1 and R2 penalties: Huang et al. 2024,
        arXiv:2501.05441 (R3GAN).

    Example:
        Equal logits: ln 2.

        >>> import torch
        >>> from genloss_builtin.losses.adversarial import relativistic_discriminator
        >>> relativistic_discriminator(real_logits=torch.ones(1), fake_logits=torch.ones(1))
        tensor([0.6931])
    """
    return _patch_mean(F.softplus(-(real_logits - fake_logits)))


@genloss.loss(family="adversarial", unit="nats", source="Jolicoeur-Martineau 2019, arXiv:1807.00734")
def relativistic_generator(
    real_logits: Float[Tensor, "batch *patches"], fake_logits: Float[Tensor, "batch *patches"]
) -> Float[Tensor, "batch"]:
    """Asks that each generated example looks more real than the real one at the same place of the batch.

    Formula:
        −log σ(f − r) = softplus(−(f − r))

    Quantities:
        real_logits: `[batch, *patches]`, r: the discriminator's raw logits of the data.
        fake_logits: `[batch, *patches]`, f: of generated examples, paired with r by index.

    Source:
        Jolicoeur-Martineau 2019, arXiv:1807.00734; with R1 and R2 penalties: Huang et al. 2024,
        arXiv:2501.05441 (R3GAN).

    Example:
        Equal logits: ln 2.

        >>> import torch
        >>> from genloss_builtin.losses.adversarial import relativistic_generator
        >>> relativistic_generator(real_logits=torch.ones(1), fake_logits=torch.ones(1))
        tensor([0.6931])
    """
    return _patch_mean(F.softplus(-(fake_logits - real_logits)))


@genloss.loss(family="adversarial", unit="1", source="Jolicoeur-Martineau 2019, arXiv:1807.00734")
def relativistic_average_discriminator(
    real_logits: Float[Tensor, "batch *patches"],
    fake_logits: Float[Tensor, "batch *patches"],
    *,
    form: Form = "logistic",
) -> Float[Tensor, ""]:
    """Asks that real examples look more real than the average generated one, and the other way round.

    The sum of two means, without a factor ½. Batch-coupled: logits are compared with means over the batch.

    Formula:
        with u = r − mean f, v = f − mean r, means over the batch:
        logistic: mean softplus(−u) + mean softplus(v);
        hinge: mean max(0, 1 − u) + mean max(0, 1 + v);
        least_squares: mean (u − 1)² + mean (v + 1)²

    Quantities:
        real_logits: `[batch, *patches]`, r: the discriminator's raw logits of the data.
        fake_logits: `[batch, *patches]`, f: of generated examples.

    Options:
        form: default logistic (RaSGAN); hinge (RaHingeGAN) or least_squares (RaLSGAN).

    Source:
        Jolicoeur-Martineau 2019, arXiv:1807.00734.

    Example:
        Equal logits: 2 ln 2.

        >>> import torch
        >>> from genloss_builtin.losses.adversarial import relativistic_average_discriminator
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
    """`relativistic_average_discriminator` with real and generated examples in each other's place.

    Batch-coupled: logits are compared with means over the batch.

    Formula:
        with u = f − mean r, v = r − mean f, means over the batch:
        logistic: mean softplus(−u) + mean softplus(v);
        hinge: mean max(0, 1 − u) + mean max(0, 1 + v);
        least_squares: mean (u − 1)² + mean (v + 1)²

    Quantities:
        real_logits: `[batch, *patches]`, r: the discriminator's raw logits of the data.
        fake_logits: `[batch, *patches]`, f: of generated examples.

    Options:
        form: default logistic (RaSGAN); hinge (RaHingeGAN) or least_squares (RaLSGAN).

    Source:
        Jolicoeur-Martineau 2019, arXiv:1807.00734.

    Example:
        Equal logits: 2 ln 2.

        >>> import torch
        >>> from genloss_builtin.losses.adversarial import relativistic_average_generator
        >>> relativistic_average_generator(real_logits=torch.ones(2), fake_logits=torch.ones(2))
        tensor(1.3863)
    """
    return _relativistic_average(fake_logits, real_logits, form)


@genloss.loss(family="adversarial", unit="1", source="Gulrajani et al. 2017, arXiv:1704.00028")
def gradient_penalty(
    interpolated_gradient: Float[Tensor, "batch *event"],
    *,
    target: Annotated[float, Ge(0)] = 1.0,
    one_sided: bool = False,
) -> Float[Tensor, "batch"]:
    """Draws the norm of the discriminator's gradient to a target, between data and generated examples.

    One norm an example. The paper's λ = 10 is the term's weight.

    Formula:
        (‖∇‖₂ − target)²; one-sided: max(0, ‖∇‖₂ − target)²

    Quantities:
        interpolated_gradient: `[batch, *event]`, ∇: of the discriminator's logit by its input, at a point
            drawn between a real and a generated example, with one ε an example.

    Options:
        target: default 1, in logits per unit of the data.
        one_sided: default false; true leaves norms below the target alone.

    Source:
        Gulrajani et al. 2017, arXiv:1704.00028; one-sided: Petzka et al. 2018, arXiv:1709.08894.

    Example:
        A gradient of norm 5: (5 − 1)².

        >>> import torch
        >>> from genloss_builtin.losses.adversarial import gradient_penalty
        >>> gradient_penalty(interpolated_gradient=torch.tensor([[3.0, 4.0]]))
        tensor([16.])
    """
    # vector_norm has the subgradient 0 at 0, where √Σ∇² would give NaN.
    excess = torch.linalg.vector_norm(interpolated_gradient.unsqueeze(-1).flatten(1), dim=1) - target
    return (F.relu(excess) if one_sided else excess).square()


@genloss.loss(family="adversarial", unit="1", source="Mescheder et al. 2018, arXiv:1801.04406")
def r1(real_gradient: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch"]:
    """Zero-centred gradient penalty at the data. The paper's γ is the term's weight.

    Formula:
        ½ ‖∇‖²

    Quantities:
        real_gradient: `[batch, *event]`, ∇: of the discriminator's logit by its input, at the data.

    Source:
        Mescheder et al. 2018, arXiv:1801.04406, equation 9.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.adversarial import r1
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
        fake_gradient: `[batch, *event]`, ∇: of the discriminator's logit by its input, at generated examples.

    Source:
        Mescheder et al. 2018, arXiv:1801.04406, equation 10.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.adversarial import r2
        >>> r2(fake_gradient=torch.tensor([[3.0, 4.0]]))
        tensor([12.5000])
    """
    return 0.5 * reduce_event(fake_gradient.square())


def _layers() -> Mapping[str, list[Tensor]]:
    shapes = [(4, 8), (4, 3, 5, 5)]
    return {name: [torch.randn(s) for s in shapes] for name in ("real_features", "fake_features")}


@genloss.loss(
    family="adversarial", unit="1", source="Salimans et al. 2016, arXiv:1606.03498", example=_layers
)
def feature_matching(
    real_features: list[Float[Tensor, "batch ..."]],
    fake_features: list[Float[Tensor, "batch ..."]],
    *,
    norm: Literal["l1", "l2"] = "l2",
) -> Float[Tensor, ""]:
    """Distance of the discriminator's mean features of the data from those of generated examples.

    Batch-coupled: the means are over the batch. The paper has one layer; several are added up.

    Formula:
        l2: Σ_layers ‖mean h(x) − mean h(x̃)‖₂²; l1: Σ_layers ‖mean h(x) − mean h(x̃)‖₁

    Quantities:
        real_features: list of `[batch, ...]`, h(x): the discriminator's layers for the data.
        fake_features: list of `[batch, ...]`, h(x̃): the same layers for generated examples.

    Options:
        norm: default l2, the paper's, which is squared; or l1.

    Source:
        Salimans et al. 2016, arXiv:1606.03498, section 3.1.

    Example:
        Means (0, 0) and (3, 4).

        >>> import torch
        >>> from genloss_builtin.losses.adversarial import feature_matching
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


def _patch_mean(values: Tensor) -> Tensor:
    return reduce_event(values, "mean")


def _relativistic_average(higher: Tensor, lower: Tensor, form: Form) -> Tensor:
    """`higher` are the logits that should lie above the mean of `lower`, which should lie below theirs."""
    u = higher - lower.mean(0)
    v = lower - higher.mean(0)
    if form == "hinge":
        return F.relu(1 - u).mean() + F.relu(1 + v).mean()
    if form == "least_squares":
        return (u - 1).square().mean() + (v + 1).square().mean()
    return F.softplus(-u).mean() + F.softplus(v).mean()
