"""Functions that are differences of nearly equal numbers where they are small, without the loss of digits.

Below a threshold they are the beginning of their series, whose error there is about that of the difference
above it. A branch that is not taken sees a number at which it is finite, so that no NaN gets into a gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _threshold(dtype: torch.dtype) -> float:
    """0.07 in float32, 0.0025 in float64."""
    return float(torch.finfo(dtype).eps ** (1 / 6))


def expm1_residual(r: Tensor) -> Tensor:
    """exp(r) − 1 − r, which is r²/2 near 0 and never negative."""
    near = r.abs() < _threshold(r.dtype)
    far = r.masked_fill(near, 1.0)
    small = r.masked_fill(~near, 0.0)
    series = small.square() / 2 * (1 + small / 3 * (1 + small / 4 * (1 + small / 5 * (1 + small / 6))))
    return torch.where(near, series, far.expm1() - far)


def log_mean_exp(x: Tensor, dim: int) -> Tensor:
    """log mean exp(x), which is near 0 where all of x are; minus infinity among them counts as 0."""
    greatest, rest = _log_mean_exp(x, dim)
    return (greatest + rest).squeeze(dim)


def log_of_share(x: Tensor, dim: int) -> Tensor:
    """log (n · softmax x), which is near 0 where all of the n are."""
    greatest, rest = _log_mean_exp(x, dim)
    return (x - greatest) - rest


def _log_mean_exp(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The greatest, and what is to be added to it."""
    greatest = x.amax(dim, keepdim=True).detach()
    less = x - greatest
    mean = less.expm1().mean(dim, keepdim=True)
    near = mean > -0.5
    close = mean.masked_fill(~near, 0.0).log1p()
    # Far from 0 the 1 that was subtracted would cost digits; the sum has at least the 1 of the greatest.
    return greatest, torch.where(near, close, less.logsumexp(dim, keepdim=True) - math.log(x.shape[dim]))


def log_cosh(x: Tensor) -> Tensor:
    """log cosh x: x²/2 near 0, |x| − log 2 far from it."""
    near = x.abs() < 1
    far = x.abs().masked_fill(near, 1.0)
    small = x.masked_fill(~near, 0.0).sinh().square().log1p() / 2
    return torch.where(near, small, far + (-2 * far).exp().log1p() - math.log(2))
