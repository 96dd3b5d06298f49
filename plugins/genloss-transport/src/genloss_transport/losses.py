"""Costs of carrying one sample to another, as losses. Each couples the examples of a batch: a scalar.

A generator is trained by them on `real` and `fake`. For the codes of an autoencoder, bind the two to `z` and
`z_prior`.
"""

from __future__ import annotations

from typing import Annotated

import genloss
from annotated_types import Gt, Le
from jaxtyping import Float
from torch import Tensor

from genloss_transport import solvers


@genloss.loss(
    family="transport",
    unit="data",
    source="Feydy et al. 2019, arXiv:1810.08278",
    exempt={
        "gradcheck": "the gradient is the one at convergence, before which the iterations stop",
        "gradgradcheck": "by the envelope theorem it is a first derivative only",
        "magnitudes": "distances far below `blur` are not told apart: the costs that it subtracts are larger",
    },
)
def sinkhorn_divergence(
    real: Float[Tensor, "batch *event"],
    fake: Float[Tensor, "batch *event"],
    *,
    blur: Annotated[float, Gt(0)] = 0.05,
    scaling: Annotated[float, Gt(0), Le(0.99)] = 0.5,
    diameter: Annotated[float, Gt(0)] = 10.0,
) -> Float[Tensor, ""]:
    """Entropic cost of transport without its bias: it goes from transport (no blur) to a kernel's MMD (much).

    The cost of a pair has the factor ½, as in GeomLoss, which computes it: with little blur the value is
    half of the squared 2-Wasserstein distance. Gradients are those at convergence (envelope theorem), which
    the few iterations come near; `scaling` buys more of them.

    Formula:
        OT(α, β) − ½ OT(α, α) − ½ OT(β, β), α and β uniform over the two samples,
        OT(α, β) = min_π Σ_ij π_ij ½‖xᵢ − yⱼ‖² + ε KL(π ‖ α ⊗ β), ε = blur²

    Quantities:
        real: `[batch, *event]`, x: the one sample.
        fake: `[batch, *event]`, y: the other.

    Options:
        blur: default 0.05, √ε, in the data's unit: finer detail is not told apart.
        scaling: default 0.5, the ratio of one iteration's blur to that of the one before; 0.9 is slow and
            accurate.
        diameter: default 10.0, the blur to begin with, in the data's unit: about the greatest distance
            between examples.

    Source:
        Feydy et al. 2019, arXiv:1810.08278, equation 3; Genevay, Peyré & Cuturi 2018, arXiv:1706.00292.

    Example:
        Two points at distance 2: ½ 2².

        >>> import torch
        >>> from genloss_transport.losses import sinkhorn_divergence
        >>> sinkhorn_divergence(real=torch.zeros(1, 1), fake=torch.full((1, 1), 2.0))
        tensor(2.)
    """
    return solvers.sinkhorn(real.flatten(1), fake.flatten(1), blur, scaling, diameter)


@genloss.loss(family="transport", unit="data", source="Bonneel et al. 2015, doi:10.1007/s10851-014-0506-3")
def sliced_wasserstein(
    real: Float[Tensor, "batch *event"],
    fake: Float[Tensor, "batch *event"],
    *,
    projections: Annotated[int, Gt(0)] = 50,
) -> Float[Tensor, ""]:
    """Squared 2-Wasserstein distance of both samples' projections on a line, in the mean over random lines.

    On a line, the sorted examples are paired. The lines are drawn anew for each value.

    Formula:
        mean_θ 1/n Σᵢ (⟨θ, x⟩₍ᵢ₎ − ⟨θ, y⟩₍ᵢ₎)², θ uniform on the unit sphere, ₍ᵢ₎ the i-th in order, n the
        batch's size

    Quantities:
        real: `[batch, *event]`, x: the one sample.
        fake: `[batch, *event]`, y: the other.

    Options:
        projections: default 50, the number of lines.

    Source:
        Bonneel et al. 2015, Sliced and Radon Wasserstein barycenters of measures,
        doi:10.1007/s10851-014-0506-3; for generators: Deshpande, Zhang & Schwing 2018, arXiv:1803.11188; for
        codes: Kolouri et al. 2018, arXiv:1804.01947.

    Example:
        On a line there is but one line to project on: the mean of 3² and 3².

        >>> import torch
        >>> from genloss_transport.losses import sliced_wasserstein
        >>> sliced_wasserstein(real=torch.tensor([[0.0], [1.0]]), fake=torch.tensor([[4.0], [3.0]]))
        tensor(9.)
    """
    return solvers.sliced(real.flatten(1), fake.flatten(1), projections)


@genloss.loss(
    family="transport",
    unit="data",
    source="Peyré & Cuturi 2019, arXiv:1803.00567",
    exempt=dict.fromkeys(("host_reads", "device", "vmap", "compile"), "POT solves it outside of torch"),
)
def wasserstein(
    real: Float[Tensor, "batch *event"], fake: Float[Tensor, "batch *event"]
) -> Float[Tensor, ""]:
    """Squared 2-Wasserstein distance of the batch's two samples, solved exactly.

    POT solves it on the CPU: the distances go there, and the pairing comes back. The gradient is the one
    with the pairing held, which is that of the value (envelope theorem) wherever the best pairing is
    unique. In expectation over batches it is greater than the distance of the distributions, and even the
    best generator is not the data's distribution: Bellemare et al. 2017, arXiv:1705.10743.

    Formula:
        min_s 1/n Σᵢ ‖xᵢ − y_s(i)‖², over the orders s; n the batch's size

    Quantities:
        real: `[batch, *event]`, x: the one sample.
        fake: `[batch, *event]`, y: the other.

    Source:
        Peyré & Cuturi 2019, Computational Optimal Transport, arXiv:1803.00567, sections 2.2 and 9.1.

    Example:
        The nearer pairs: (1² + 2²) / 2.

        >>> import torch
        >>> from genloss_transport.losses import wasserstein
        >>> wasserstein(real=torch.tensor([[0.0], [5.0]]), fake=torch.tensor([[7.0], [1.0]]))
        tensor(2.5000)
    """
    real, fake = real.flatten(1), fake.flatten(1)
    return (real - fake[solvers.pairing(real, fake)]).square().sum(1).mean()
