"""A plugin whose losses go wrong when their option `progress` passes ½."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import time
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

import genloss

Fault = Literal[
    "none",
    "slow",
    "raise",
    "kill",
    "kill_once",
    "kill_parent",
    "terminate",
    "exit",
    "segfault",
    "hang",
    "nan",
    "full_disk",
    "kernels",
    "wander",
]


@genloss.loss(family="test", unit="data", source="a test")
def faulty(
    x: Float[Tensor, "batch *event"],
    x_hat: Float[Tensor, "batch *event"],
    *,
    progress: float = 0.0,
    fault: Fault = "none",
) -> Float[Tensor, "batch"]:
    """A squared error, until something goes wrong."""
    value = (x - x_hat).square().flatten(1).sum(1)
    if fault == "slow":
        time.sleep(0.02)
    if progress <= 0.5:
        return value
    if fault == "raise":
        raise ZeroDivisionError("planted")
    if fault == "kill" or (fault == "kill_once" and is_first_time()):
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "kill_parent":
        if forked := os.fork():
            Path("forked").write_text(str(forked))
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)
    if fault == "terminate":
        os.kill(os.getpid(), signal.SIGTERM)
    if fault == "wander":
        os.chdir("/")
    if fault == "exit":
        os._exit(0)
    if fault == "segfault":
        faulthandler._sigsegv()
    if fault == "hang":
        time.sleep(600)
    if fault == "nan":
        return value * float("nan")
    if fault == "full_disk" and is_first_time():
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, most))  # no file of this process grows any more
    if fault == "kernels" and not torch.are_deterministic_algorithms_enabled():
        raise RuntimeError("kernels may give other bits each time")
    return value


def is_first_time() -> bool:
    """Whether nobody has asked in this working folder."""
    asked = Path("asked")
    if asked.exists():
        return False
    asked.touch()
    return True


@genloss.hookimpl
def genloss_losses():
    yield faulty
