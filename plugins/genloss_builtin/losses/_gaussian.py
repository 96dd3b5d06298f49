"""The Gaussian's log-density."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def log_density(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """Compute log N(x; mean, exp(logvar)) of each element, in nats.

    The variance is at least the square root of the dtype's smallest normal number, 1e-19 in float32, so that
    the value and its gradient are finite for errors up to 1e9.
    """
    logvar = logvar.clamp_min(math.log(torch.finfo(logvar.dtype).tiny) / 2)
    return -0.5 * (math.log(2 * math.pi) + logvar + (x - mean).square() * (-logvar).exp())
