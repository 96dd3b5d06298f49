"""A loss that leaves behind what it has changed in its process."""

from __future__ import annotations

import os
import random
import threading
import time
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

import genloss


def draw_for_ever() -> None:
    while True:
        torch.rand(1)
        random.random()
        time.sleep(0.001)


def leave_a_mess() -> None:
    """Changes about all that a process shares."""
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True)
    F.relu = lambda x, *_, **__: x.tanh()
    warnings.simplefilter("error")
    os.environ["OMP_NUM_THREADS"] = "1"
    os.chdir(Path.home())
    threading.Thread(target=draw_for_ever, daemon=True).start()


@genloss.loss(family="regularisation", unit="1", source="this file")
def careless(dataset_size: int, *, step: float = 0.0) -> Float[Tensor, ""]:
    """Nothing, once; a mess, at its last step."""
    value = torch.zeros((), dtype=torch.float32)
    if step >= 1:
        leave_a_mess()
    return value * dataset_size


@genloss.hookimpl
def genloss_losses():
    yield careless
