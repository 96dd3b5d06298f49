"""Costs of transporting one sample to another, as losses. Each couples the examples of a batch: a scalar.

They train a generator on `real` and `fake`. For the codes of an autoencoder, bind the two to `z` and
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
        "gradcheck": "the gradient is that at convergence, but the iterations stop earlier",
        "gradgradcheck": "the envelope theorem yields only a first derivative",
        "magnitudes": "distances far below `blur` are not resolved: the subtracted costs are larger",
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
    """Debiased entropic transport cost, between exact transport (no blur) and a kernel MMD (large blur).

    The cost of a pair has a factor ½, as in GeomLoss, which computes it: with little blur the value is half
    the squared 2-Wasserstein distance. Gradients are those at convergence (envelope theorem), approximated
    by a few iterations; increase `scaling` for more.

    Formula:
        OT(α, β) − ½ OT(α, α) − ½ OT(β, β), α and β uniform over the two samples,
        OT(α, β) = min_π Σ_ij π_ij ½‖xᵢ − yⱼ‖² + ε KL(π ‖ α ⊗ β), ε = blur²

    Quantities:
        real: `[batch, *event]`, x: one sample.
        fake: `[batch, *event]`, y: the other sample.

    Options:
        blur: default 0.05, √ε, in the data's unit: finer detail is not resolved.
        scaling: default 0.5, the ratio of the blur between successive iterations; 0.9 is slow and accurate.
        diameter: default 10.0, the initial blur, in the data's unit: about the largest distance between
            examples.

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
    """Squared 2-Wasserstein distance between projections onto a line, averaged over random lines.

    On a line, the sorted examples are paired. New lines are drawn for each value.

    Formula:
        mean_θ 1/n Σᵢ (⟨θ, x⟩₍ᵢ₎ − ⟨θ, y⟩₍ᵢ₎)², θ uniform on the unit sphere, ₍ᵢ₎ the i-th in order, n the
        batch size

    Quantities:
        real: `[batch, *event]`, x: one sample.
        fake: `[batch, *event]`, y: the other sample.

    Options:
        projections: default 50, the number of lines.

    Source:
        Bonneel et al. 2015, Sliced and Radon Wasserstein barycenters of measures,
        doi:10.1007/s10851-014-0506-3; for generators: Deshpande, Zhang & Schwing 2018, arXiv:1803.11188; for
        codes: Kolouri et al. 2018, arXiv:1804.01947.

    Example:
        In one dimension there is only one line to project onto: the mean of 3² and 3².

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
    exempt=dict.fromkeys(("host_reads", "device", "vmap", "compile"), "POT solves it outside torch"),
)
def wasserstein(
    real: Float[Tensor, "batch *event"], fake: Float[Tensor, "batch *event"]
) -> Float[Tensor, ""]:
    """Exact squared 2-Wasserstein distance between the two samples of a batch.

    POT solves it on the CPU, so the distances are copied there and the pairing is copied back. The gradient
    is that for a fixed pairing, which is the gradient of the value (envelope theorem) wherever the optimal
    pairing is unique. In expectation over batches the value exceeds the distance between the distributions,
    and its minimum is not at the data's distribution: Bellemare et al. 2017, arXiv:1705.10743.

    Formula:
        min_s 1/n Σᵢ ‖xᵢ − y_s(i)‖², over permutations s; n the batch size

    Quantities:
        real: `[batch, *event]`, x: one sample.
        fake: `[batch, *event]`, y: the other sample.

    Source:
        Peyré & Cuturi 2019, Computational Optimal Transport, arXiv:1803.00567, sections 2.2 and 9.1.

    Example:
        The closer pairs: (1² + 2²) / 2.

        >>> import torch
        >>> from genloss_transport.losses import wasserstein
        >>> wasserstein(real=torch.tensor([[0.0], [5.0]]), fake=torch.tensor([[7.0], [1.0]]))
        tensor(2.5000)
    """
    real, fake = real.flatten(1), fake.flatten(1)
    return (real - fake[solvers.pairing(real, fake)]).square().sum(1).mean()
