"""From one value per element to one per example."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Reduce = Literal["sum", "mean"]


def reduce_event(values: Tensor, reduce: Reduce = "sum") -> Tensor:
    """`[batch, *event]` to `[batch]`; an event may be a single number."""
    if values.dim() == 1:
        return values
    return values.flatten(1).mean(1) if reduce == "mean" else values.flatten(1).sum(1)
