"""How near held-out data comes back, for models that encode and decode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss.errors import RequestError

LOWER = {"mean_squared_error": False, "mean_absolute_error": False}


@genloss.metric(unit="data", higher_is_better=LOWER, version="1")
def reconstruction_error(
    reconstruct: Callable[[Tensor], Tensor],
    held_out: Float[Tensor, "held_out *event"],
    *,
    batch_size: Annotated[int, Ge(1)] = 500,
) -> dict[str, float]:
    """Mean squared and mean absolute error of reconstructions of held-out data, whatever was trained with.

    Formula: mean of (x − x̂)² and of |x − x̂|, over examples and elements.

    Unit: the data's own, squared for the first.
    Direction: lower is better.
    Floor: none is known; how near a code of this length can come depends on the data.

    Options:
        batch_size: held-out examples that are reconstructed at once; 500 by default.

    Source: the definitions.

    Raises:
        RequestError: the data is tokens, between which there is no distance.
    """
    if not held_out.is_floating_point():
        raise RequestError(
            "`reconstruction_error` compares values, and this data is tokens",
            hint="`negative_log_likelihood` is a metric for tokens",
        )
    with torch.no_grad():
        errors = torch.cat([reconstruct(batch) - batch for batch in torch.split(held_out, batch_size)])
    return {
        "mean_squared_error": float(errors.square().mean()),
        "mean_absolute_error": float(errors.abs().mean()),
    }
