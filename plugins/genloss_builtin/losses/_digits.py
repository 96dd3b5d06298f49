"""Functions that would lose digits near zero to the subtraction of nearly equal numbers.

Below a threshold, a truncated series is used, whose error there is about that of the difference above it. The
branch that is not selected is evaluated at a point where it is finite, so that no NaN enters a gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _threshold(dtype: torch.dtype) -> float:
    """Return 0.07 for float32, 0.0025 for float64."""
    return float(torch.finfo(dtype).eps ** (1 / 6))


def expm1_residual(r: Tensor) -> Tensor:
    """Compute exp(r) − 1 − r, which is r²/2 near 0 and never negative."""
    near = r.abs() < _threshold(r.dtype)
    far = r.masked_fill(near, 1.0)
    small = r.masked_fill(~near, 0.0)
    series = small.square() / 2 * (1 + small / 3 * (1 + small / 4 * (1 + small / 5 * (1 + small / 6))))
    return torch.where(near, series, far.expm1() - far)


def log_mean_exp(x: Tensor, dim: int) -> Tensor:
    """Compute log mean exp(x), accurate if all of x are near 0; an x of −∞ contributes 0 to the mean."""
    greatest, rest = _log_mean_exp(x, dim)
    return (greatest + rest).squeeze(dim)


def log_of_share(x: Tensor, dim: int) -> Tensor:
    """Compute log (n · softmax x), accurate if all n elements are near 0."""
    greatest, rest = _log_mean_exp(x, dim)
    return (x - greatest) - rest


def _log_mean_exp(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the maximum, and what to add to it."""
    greatest = x.amax(dim, keepdim=True).detach()
    less = x - greatest
    mean = less.expm1().mean(dim, keepdim=True)
    near = mean > -0.5
    close = mean.masked_fill(~near, 0.0).log1p()
    # Far from 0, subtracting 1 would lose digits; the sum is at least 1, from the maximum.
    return greatest, torch.where(near, close, less.logsumexp(dim, keepdim=True) - math.log(x.shape[dim]))


def log_cosh(x: Tensor) -> Tensor:
    """Compute log cosh x: x²/2 near 0, |x| − log 2 far from it."""
    near = x.abs() < 1
    far = x.abs().masked_fill(near, 1.0)
    small = x.masked_fill(~near, 0.0).sinh().square().log1p() / 2
    return torch.where(near, small, far + (-2 * far).exp().log1p() - math.log(2))
