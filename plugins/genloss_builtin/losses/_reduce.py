"""Reduce one value per element to one per example."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Reduce = Literal["sum", "mean"]


def rows(values: Tensor) -> Tensor:
    """Reshape `[batch, *event]` to `[batch, elements]`; an event may be a scalar."""
    return values.unsqueeze(-1).flatten(1)


def reduce_event(values: Tensor, reduce: Reduce = "sum") -> Tensor:
    """Reduce `[batch, *event]` to `[batch]`; scalar events are returned unchanged, which is faster."""
    if values.dim() == 1:
        return values
    return rows(values).mean(1) if reduce == "mean" else rows(values).sum(1)
