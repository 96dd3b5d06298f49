"""Reconstruction error of held-out data, for models that encode and decode."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

import genloss
from genloss.errors import RequestError

LOWER = {"mean_squared_error": False, "mean_absolute_error": False}


@genloss.metric(unit="data", higher_is_better=LOWER, version="1")
def reconstruction_error(
    reconstruct: Callable[[Tensor], Tensor],
    held_out: genloss.Examples,
    *,
    batch_size: Annotated[int, Ge(1)] = 500,
) -> dict[str, float]:
    """Mean squared and mean absolute error of reconstructed held-out data, whatever the training loss.

    Formula: mean of (x − x̂)² and of |x − x̂|, over examples and elements.

    Unit: the data's own, squared for the first.
    Direction: lower is better.
    Reference: none known; the error that a code of this length can reach depends on the data.

    Options:
        batch_size: number of held-out examples reconstructed at once; 500 by default.

    Source: the definitions.

    Raises:
        RequestError: the data is tokens, which have no distance.
    """
    if not held_out.dtype.is_floating_point:
        raise RequestError(
            "`reconstruction_error` compares values, but this data is tokens",
            hint="use `negative_log_likelihood` for tokens",
        )
    squares, absolutes = [], []
    with torch.no_grad():
        for part in held_out.batches():
            errors = torch.cat([reconstruct(batch) - batch for batch in torch.split(part, batch_size)])
            share = len(part) / len(held_out)
            squares.append(share * float(errors.square().mean()))
            absolutes.append(share * float(errors.abs_().mean()))
    return {"mean_squared_error": math.fsum(squares), "mean_absolute_error": math.fsum(absolutes)}
