"""A plugin whose losses go wrong when their option `progress` passes ½."""

from __future__ import annotations

import os
import signal
import time
from typing import Literal

from jaxtyping import Float
from torch import Tensor

import genloss


@genloss.loss(family="test", unit="data", source="a test")
def faulty(
    x: Float[Tensor, "batch *event"],
    x_hat: Float[Tensor, "batch *event"],
    *,
    progress: float = 0.0,
    fault: Literal["none", "raise", "kill", "exit", "hang", "nan", "slow"] = "none",
) -> Float[Tensor, "batch"]:
    """A squared error, until something goes wrong."""
    value = (x - x_hat).square().flatten(1).sum(1)
    if fault == "slow":
        time.sleep(0.05)
    if progress <= 0.5:
        return value
    if fault == "raise":
        raise ZeroDivisionError("planted")
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "exit":
        os._exit(0)
    if fault == "hang":
        time.sleep(600)
    if fault == "nan":
        return value * float("nan")
    return value


@genloss.hookimpl
def genloss_losses():
    yield faulty
