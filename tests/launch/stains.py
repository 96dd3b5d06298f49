"""A plugin whose loss leaves its mark on all of the process."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings

import torch
from jaxtyping import Float
from torch import Tensor

import genloss

IN_WORKER = any("genloss.launch.worker" in word for word in sys.orig_argv)


@genloss.loss(family="test", unit="data", source="a test")
def stain(
    x: Float[Tensor, "batch *event"],
    x_hat: Float[Tensor, "batch *event"],
    *,
    progress: float = 0.0,
    leave: bool = False,
    in_plan: bool = False,
) -> Float[Tensor, "batch"]:
    """A squared error; towards the end it leaves behind whatever a process can keep."""
    value = torch.nn.functional.mse_loss(x_hat, x, reduction="none").flatten(1).sum(1)
    if leave and ((IN_WORKER and progress > 0.9) or (in_plan and not IN_WORKER)):
        soil()
    return value


def soil() -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_default_device("meta")
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.set_float32_matmul_precision("medium")
    torch.autograd.set_detect_anomaly(True)
    torch.nn.functional.mse_loss = torch.nn.functional.l1_loss
    warnings.simplefilter("error")
    os.chdir("/")
    os.environ["GENLOSS_STAIN"] = "left"
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if IN_WORKER:
        threading.Thread(target=draw, daemon=True).start()


def draw() -> None:
    while True:
        torch.rand(1, device="cpu")
        time.sleep(0.001)


@genloss.hookimpl
def genloss_losses():
    yield stain
