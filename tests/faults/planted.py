"""A plugin with every mistake that a plugin can make, each where and when an experiment asks for it."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

import genloss

IN_WORKER = any("genloss.launch.worker" in word for word in sys.orig_argv)

Fault = Literal[
    "none",
    "raise",
    "nan",
    "inf",
    "minus_inf",
    "zero",
    "shape",
    "dtype",
    "detached",
    "number",
    "hang",
    "segfault",
    "exit",
    "close",
    "sys_exit",
    "unprintable",
    "surrogate",
    "full",
    "small",
    "fill",
]
"""What a loss does wrong. `zero` is not a mistake: it is a value without a gradient to go by. `full` takes
all room that this process has on the disk; `small`, for ten steps, so much that it can write no file of
`SMALL` bytes; `fill` all room that there is, in a file.
"""

SMALL = 8192
MENDED = Path("mended")
"""Where this file is, losses do nothing wrong."""


@genloss.loss(family="test", unit="data", source="a test")
def planted(
    x: Float[Tensor, "batch *event"],
    x_hat: Float[Tensor, "batch *event"],
    *,
    step: float = 0.0,
    fault: Fault = "none",
    at: int = 0,
    only_then: bool = False,
    in_plan: bool = False,
) -> Float[Tensor, "batch"]:
    """A squared error, until something goes wrong.

    Options:
        step: a schedule that counts the steps.
        fault: what goes wrong.
        at: the step at which it begins.
        only_then: whether it goes wrong at that step alone.
        in_plan: whether it goes wrong before anything is trained, too.
    """
    value: Tensor = (x - x_hat).square().flatten(1).sum(1)
    now = round(step)
    if now < at or (only_then and now > at) or not (IN_WORKER or in_plan) or MENDED.exists():
        return value
    if fault == "full":
        limit_files(1)
    if fault == "fill":
        fill_disk()
    if fault == "small":
        limit_files(SMALL if now < at + 10 else resource.RLIM_INFINITY)
    return wrong(value, fault)


def limit_files(size: int) -> None:
    """Lets no file of this process grow beyond so many bytes, as if the disk were full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def fill_disk() -> None:
    """Writes until the disk takes no more."""
    with suppress(OSError), Path("filling").open("wb", buffering=0) as file:
        while file.write(bytes(512)):
            continue


class Unprintable(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise ZeroDivisionError


def wrong(value: Tensor, fault: str) -> Any:
    """The value as the fault has it."""
    if fault == "raise":
        raise ZeroDivisionError("planted")
    if fault == "hang":
        time.sleep(600)
    if fault == "segfault":
        ctypes.string_at(0)
    if fault == "exit":
        os._exit(0)
    if fault == "close":
        os.closerange(3, 100)
        for number in range(40):
            os.open(f"mine-{number}", os.O_CREAT | os.O_WRONLY)
    if fault == "sys_exit":
        sys.exit(0)
    if fault == "unprintable":
        raise Unprintable
    if fault == "surrogate":
        raise ValueError("half a \ud800 character")
    changed = {
        "nan": lambda: value * float("nan"),
        "inf": lambda: value + float("inf"),
        "minus_inf": lambda: value - float("inf"),
        "zero": lambda: value * 0,
        "shape": lambda: value[:, None].expand(-1, 2),
        "dtype": lambda: value.long(),
        "detached": lambda: value.detach(),
        "number": lambda: float(value.detach().sum()),
    }
    return changed.get(fault, lambda: value)()


@genloss.loss(family="test", unit="1", source="a test")
class Wandering(nn.Module):
    """A distance that depends on all that a checkpoint must hold, and drives the weights with it."""

    mean: Tensor
    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("steps", torch.zeros(()), persistent=False)

    def forward(
        self, x: Float[Tensor, "batch *event"], x_hat: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "batch"]:
        noise = torch.randn(len(x)) + random.random() + np.random.random()
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x_hat.detach().mean()
            self.steps += 1
        distance = (x_hat - self.mean - torch.sin(self.steps)).square().flatten(1).sum(1)
        return (1 + 0.1 * noise) * distance * self.scale.exp() - self.scale


class Turn(genloss.Turn["Mistaken"]):
    """What the model offers."""

    @cached_property
    def x_hat(self) -> Float[Tensor, "batch *event"]:
        """The data, shifted."""
        self.model.fail("turn")
        return self.x + self.model.shift


class Mistaken(genloss.Model):
    """Learns the mean of noise, until something goes wrong."""

    def __init__(
        self,
        data: genloss.DataSpec,
        *,
        fault: Literal["none", "build", "turn", "sample", "sample_shape", "metric", "metric_text"] = "none",
    ) -> None:
        super().__init__(data)
        self.fault = fault
        self.shift = nn.Parameter(torch.ones(data.event_shape))
        self.fail("build")

    def fail(self, where: str) -> None:
        """Raises if the fault is to be there, in a worker."""
        if IN_WORKER and self.fault == where:
            raise ZeroDivisionError(f"planted in {where}")

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": Turn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self}

    def sample(self, count: int) -> Tensor:
        self.fail("sample")
        if IN_WORKER and self.fault == "sample_shape":
            return torch.zeros(count)
        return torch.randn(count, *self.data.event_shape) + self.shift.detach()


@genloss.metric(unit="1", higher_is_better=False, version="1")
def spread(samples: Float[Tensor, "samples *event"], model: genloss.Model) -> float:
    """Standard deviation of the samples, unless the model says that this goes wrong."""
    fault = getattr(model, "fault", "none")
    if IN_WORKER and fault == "metric":
        raise ZeroDivisionError("planted in metric")
    if IN_WORKER and fault == "metric_text":
        return "narrow"  # type: ignore[return-value]
    return float(samples.std())


@genloss.hookimpl
def genloss_losses():
    yield planted
    yield Wandering


@genloss.hookimpl
def genloss_models():
    yield Mistaken


@genloss.hookimpl
def genloss_metrics():
    yield spread


if IN_WORKER and Path("import-fails-in-workers").exists():
    raise ZeroDivisionError("planted at import")
