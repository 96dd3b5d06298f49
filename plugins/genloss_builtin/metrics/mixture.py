"""Coverage of a mixture with known modes."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor

import genloss


@genloss.metric(unit="1", higher_is_better={"modes_captured": True, "high_quality": True}, version="1")
def mixture_coverage(
    samples: Float[Tensor, "samples *event"],
    modes: Float[Tensor, "modes *event"],
    mode_scale: float,
    *,
    threshold: Annotated[float, Gt(0)] = 3.0,
) -> dict[str, float]:
    """Number of modes captured by samples, and share of samples close to a mode.

    Formula: a sample is of high quality if its nearest mode is closer than threshold · σ, with σ the standard
    deviation of a mode; a mode is captured if it is nearest to at least one such sample.

    Unit: modes, and a share. Direction: higher is better.
    Reference: training data in place of samples: all modes, and in the plane a share of
    1 − exp(−threshold²/2), which is 0.989 for 3.

    Options:
        threshold: in standard deviations of a mode; 3 by default.

    Source: Srivastava et al. 2017, VEEGAN (arXiv:1705.07761); Lin et al. 2017, PacGAN (arXiv:1712.04086).
    """
    nearest = torch.cdist(
        samples.flatten(1), modes.to(samples).flatten(1), compute_mode="donot_use_mm_for_euclid_dist"
    ).min(1)
    high_quality = nearest.values < threshold * mode_scale
    captured = torch.unique(nearest.indices[high_quality])
    return {"modes_captured": float(len(captured)), "high_quality": int(high_quality.sum()) / len(samples)}
