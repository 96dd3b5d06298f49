"""The cost of transporting a model's samples to held-out data."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

import genloss


@genloss.metric(unit="data", higher_is_better=False, version="1")
def wasserstein_distance(
    samples: Float[Tensor, "samples *event"],
    held_out: genloss.Examples,
    *,
    size: Annotated[int, Ge(1)] = 1000,
) -> float:
    """Exact 2-Wasserstein distance between samples and held-out examples, with Euclidean distances.

    Formula: √ min_π Σ_ij π_ij ‖xᵢ − yⱼ‖², over the plans π that transport equal weights from the samples x to
    the examples y.

    Unit: the data's own. Direction: lower is better; 0 if both are the same points.
    Reference: training data against held-out data. It is far above 0, especially in many dimensions, since
    two draws from one distribution differ; it decreases slowly with more points.

    Options:
        size: maximum number of points of either kind, 1,000 by default; the time grows with its cube and is
            a tenth of a second for 1,000. Beyond it, held-out examples are sampled at random, always the
            same ones.

    Source: Peyré & Cuturi 2019, Computational Optimal Transport (arXiv:1803.00567), sections 2.3 and 2.4;
    solved by POT.
    """
    import ot

    order = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(0))[:size]
    ours = samples[:size].flatten(1).cpu().double()
    theirs = held_out[order].flatten(1).cpu().double()
    if not (ours.isfinite().all() and theirs.isfinite().all()):
        return math.nan
    costs = torch.cdist(ours, theirs, compute_mode="donot_use_mm_for_euclid_dist").square()
    return math.sqrt(ot.emd2([], [], costs.numpy(), numItermax=10_000_000))
