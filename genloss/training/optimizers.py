"""Optimizers by name: the classes of torch.optim, in lower case."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

UNSUPPORTED = {
    "lbfgs": "it evaluates the loss several times in a step",
    "sparseadam": "it takes sparse gradients only",
    "optimizer": "it is the base class of the others",
}
FUSED_DEVICES = ("cpu", "cuda", "mps")


def classes() -> dict[str, type[torch.optim.Optimizer]]:
    """The optimizers that genloss trains with, by name."""
    found = {name.lower(): value for name, value in vars(torch.optim).items() if inspect.isclass(value)}
    return {
        name: value
        for name, value in sorted(found.items())
        if issubclass(value, torch.optim.Optimizer) and name not in UNSUPPORTED
    }


def build(name: str, parameters: Sequence[Tensor], **options: Any) -> torch.optim.Optimizer:
    """The optimizer, fused where torch has it so and the user does not say otherwise."""
    optimizer = classes()[name]
    known = inspect.signature(optimizer).parameters
    fusable = all(p.device.type in FUSED_DEVICES and p.is_floating_point() for p in parameters)
    if "fused" in known and fusable and not options.keys() & {"fused", "foreach", "differentiable"}:
        options = {**options, "fused": True}
    return optimizer(parameters, **options)


def update(optimizer: torch.optim.Optimizer) -> Callable[[], Any]:
    """The optimizer's `step` as its class has it, without hooks.

    Torch wraps it to call hooks and to tell its profiler, which takes about as long as it takes to update a
    small network.
    """
    step = type(optimizer).step
    return partial(getattr(step, "__wrapped__", step) if getattr(step, "hooked", False) else step, optimizer)
