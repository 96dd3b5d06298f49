"""A plugin whose metric and whose loss hang, while the file `hang` is there."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

import genloss

IN_WORKER = any("genloss.launch.worker" in word for word in sys.orig_argv)


def hang(what: str) -> None:
    """Says in a file that it hangs, and does."""
    if IN_WORKER and Path("hang").exists():
        Path(what).touch()
        time.sleep(600)


@genloss.loss(family="test", unit="data", source="a test")
def hanging_loss(
    x: Float[Tensor, "batch *event"],
    x_hat: Float[Tensor, "batch *event"],
    *,
    progress: float = 0.0,
    hangs: bool = False,
) -> Float[Tensor, "batch"]:
    """A squared error; it hangs before the first evaluation."""
    if hangs and progress > 0.4:
        hang("loss")
    return (x - x_hat).square().flatten(1).sum(1)


@genloss.metric(unit="1", higher_is_better=False, version="1")
def hanging_metric(samples: Float[Tensor, "samples *event"]) -> float:
    """Standard deviation of the samples, if it comes to that."""
    hang("metric")
    return float(samples.std())


@genloss.hookimpl
def genloss_losses():
    yield hanging_loss


@genloss.hookimpl
def genloss_metrics():
    yield hanging_metric
