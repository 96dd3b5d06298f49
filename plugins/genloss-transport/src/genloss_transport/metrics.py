"""Costs of transporting a model's samples to held-out data, as metrics."""

from __future__ import annotations

import math
from typing import Annotated

import genloss
import torch
from annotated_types import Ge, Gt, Le
from jaxtyping import Float
from torch import Tensor

from genloss_transport import solvers


@genloss.metric(unit="data", higher_is_better=False, version="1")
def sinkhorn_divergence(
    samples: Float[Tensor, "samples *event"],
    held_out: Float[Tensor, "held_out *event"],
    *,
    blur: Annotated[float, Gt(0)] = 0.05,
    scaling: Annotated[float, Gt(0), Le(0.99)] = 0.9,
    size: Annotated[int, Ge(1)] = 1000,
) -> float:
    """Debiased entropic transport cost between samples and held-out examples.

    Formula: as for the loss `sinkhorn_divergence`; with little blur, half the squared 2-Wasserstein distance.

    Unit: the data's own, squared. Direction: lower is better; 0 if both are the same points.
    Reference: training data against held-out data. It is above 0, but less so than that of the exact
    `wasserstein_distance`, and decreases with more blur.

    Options:
        blur: √ε, in the data's unit: finer detail is not resolved; 0.05 by default.
        scaling: the ratio of the blur between successive iterations; 0.9 by default.
        size: maximum number of points of either kind, 1,000 by default; memory grows with its square.
            Beyond it, held-out examples are sampled at random, always the same ones.

    Source: Feydy et al. 2019 (arXiv:1810.08278); solved by GeomLoss.
    """
    ours, theirs = _subsets(samples, held_out, size, size)
    if not (ours.isfinite().all() and theirs.isfinite().all()):
        return math.nan
    both = torch.cat([ours, theirs])
    diameter = float((both.max(0).values - both.min(0).values).norm())
    return float(solvers.sinkhorn(ours, theirs, blur, scaling, diameter))


@genloss.metric(unit="data", higher_is_better=False, version="1")
def sliced_wasserstein_distance(
    samples: Float[Tensor, "samples *event"],
    held_out: Float[Tensor, "held_out *event"],
    *,
    projections: Annotated[int, Ge(1)] = 500,
) -> float:
    """2-Wasserstein distance along random lines, between equally many samples and held-out examples.

    Formula: √ mean_θ 1/n Σᵢ (⟨θ, x⟩₍ᵢ₎ − ⟨θ, y⟩₍ᵢ₎)², as for the loss `sliced_wasserstein`; n is the smaller
    number, and the larger set is reduced to the first n samples, or to n random held-out examples. The lines
    are always the same.

    Unit: the data's own. Direction: lower is better; 0 if both are the same points.
    Reference: training data against held-out data. It is above 0, and decreases with n at a rate that does
    not depend on the number of dimensions.

    Options:
        projections: the number of lines; 500 by default.

    Source: Bonneel et al. 2015 (doi:10.1007/s10851-014-0506-3).
    """
    size = min(len(samples), len(held_out))
    ours, theirs = _subsets(samples, held_out, size, size)
    return float(solvers.sliced(ours, theirs, projections, torch.Generator().manual_seed(0)).sqrt())


def _subsets(samples: Tensor, held_out: Tensor, ours: int, theirs: int) -> tuple[Tensor, Tensor]:
    """Return the first samples and random, always the same, held-out examples; flattened, in float64."""
    order = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(0))[:theirs]
    return (
        samples[:ours].flatten(1).cpu().double(),
        held_out[order.to(held_out.device)].flatten(1).cpu().double(),
    )
