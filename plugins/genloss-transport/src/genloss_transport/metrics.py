"""Costs of carrying the samples of a model to held-out data, as metrics."""

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
    """Entropic cost of transport between samples and held-out examples, without its bias.

    Formula: as of the loss `sinkhorn_divergence`; with little blur half of the squared 2-Wasserstein
    distance.

    Unit: the data's own, squared. Direction: lower is better; 0 where both are the same points.
    Reference: training data against held-out data. It is above 0, but less so than that of the exact
    `wasserstein_distance`, the more blur the less.

    Options:
        blur: √ε, in the data's unit: finer detail is not told apart; 0.05 by default.
        scaling: the ratio of one iteration's blur to that of the one before; 0.9 by default.
        size: the greatest number of points of either kind, 1,000 by default; memory grows with its square.
            Beyond it, held-out examples are drawn by lot, always the same ones.

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
    """2-Wasserstein distance along random lines, between as many samples as held-out examples.

    Formula: √ mean_θ 1/n Σᵢ (⟨θ, x⟩₍ᵢ₎ − ⟨θ, y⟩₍ᵢ₎)², as of the loss `sliced_wasserstein`; of the more
    numerous kind, the first n samples, or n held-out examples by lot. The lines are always the same ones.

    Unit: the data's own. Direction: lower is better; 0 where both are the same points.
    Reference: training data against held-out data. It is above 0, and goes down as n rises in any number of
    dimensions alike.

    Options:
        projections: the number of lines; 500 by default.

    Source: Bonneel et al. 2015 (doi:10.1007/s10851-014-0506-3).
    """
    size = min(len(samples), len(held_out))
    ours, theirs = _subsets(samples, held_out, size, size)
    return float(solvers.sliced(ours, theirs, projections, torch.Generator().manual_seed(0)).sqrt())


def _subsets(samples: Tensor, held_out: Tensor, ours: int, theirs: int) -> tuple[Tensor, Tensor]:
    """The first of the samples, and held-out examples by a lot that is always the same; in float64, flat."""
    order = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(0))[:theirs]
    return (
        samples[:ours].flatten(1).cpu().double(),
        held_out[order.to(held_out.device)].flatten(1).cpu().double(),
    )
