"""How a model's networks compute: in which precision, and through torch.compile or not."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from genloss.errors import ContractError

DTYPES = {"float32": torch.float32, "bfloat16": torch.float32, "float64": torch.float64}
"""What weights, quantities, losses and optimizers have, by `training.precision`."""

COMPILER = "inductor"


def networks(module: nn.Module) -> Iterator[nn.Module]:
    """The networks of a model: its direct parts that have parameters, and those of its lists of modules."""
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from networks(child)
        elif any(True for _ in child.parameters()):
            yield child


def compute_in_bfloat16(model: nn.Module, device: torch.device) -> None:
    """Let each network compute in bfloat16 where torch.autocast does so, and give float32.

    All that a model and its losses make of what networks give keeps full precision: a difference of two
    logits, or a sum over a thousand pixels, has no digits to spare.
    """
    for network in networks(model):
        network.forward = _mixed(network.forward, device.type)


def _mixed(forward: Callable[..., Any], device: str) -> Callable[..., Any]:
    @functools.wraps(forward)
    def mixed(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device, torch.bfloat16):
            return _full(forward(*args, **kwargs))

    return mixed


def _full(output: Any) -> Any:
    """An output with its tensors of bfloat16 as float32, in whatever holds them."""
    return tree_map(_full_leaf, output)


def _full_leaf(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.dtype == torch.bfloat16 else value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):  # one that no library has registered
        parts = {part.name: getattr(value, part.name) for part in dataclasses.fields(value) if part.init}
        return dataclasses.replace(value, **{name: _full(part) for name, part in parts.items()})
    return value


def compile_networks(model: nn.Module) -> None:
    """Compiles each network in place, so that its parameters keep their names."""
    from torch._functorch import config

    # Otherwise a backward pass frees what players that are updated at once still need.
    config.donated_buffer = False
    for network in networks(model):
        # Module.compile would pass over torch's own containers, such as Sequential.
        network.forward = torch.compile(network.forward, backend=COMPILER)


@contextmanager
def differentiated_once(model: nn.Module) -> Iterator[None]:
    """Let gradients by the networks' inputs be differentiated as little as torch.compile lets them.

    So what it cannot do is found without a compiler.
    """
    forwards = {network: network.forward for network in networks(model)}
    try:
        for network, forward in forwards.items():
            network.forward = _once(forward)
        yield
    finally:
        for network, forward in forwards.items():
            network.forward = forward


class _Once(torch.autograd.Function):
    """The identity, whose gradient cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:  # noqa: ARG004 - torch's
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # noqa: ARG004 - torch's
        return _Refused.apply(gradient)  # type: ignore[no-untyped-call]


class _Refused(_Once):
    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # noqa: ARG004 - torch's
        raise RuntimeError("no double backward")


def _once(forward: Callable[..., Any]) -> Callable[..., Any]:
    def marked(value: Any) -> Any:
        if isinstance(value, Tensor) and value.requires_grad:
            return _Once.apply(value)  # type: ignore[no-untyped-call]
        return value

    @functools.wraps(forward)
    def once(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree_map(marked, (args, kwargs))
        return forward(*args, **kwargs)

    return once


@contextmanager
def explained() -> Iterator[None]:
    """Report of what torch.compile cannot do that it is torch.compile which cannot.

    Raises:
        ContractError: a loss differentiates a gradient, or there is no compiler.
    """
    try:
        yield
    except RuntimeError as error:
        if "C++ compiler" in str(error):
            raise ContractError(
                "torch.compile finds no working C++ compiler",
                hint="install one (g++, or clang++), or leave `training.compile` out",
            ) from error
        if "double backward" not in str(error):
            raise
        raise ContractError(
            "torch.compile cannot differentiate a network's gradient, and a loss asks for that",
            hint="leave `training.compile` out, or set it for the other objectives alone by `with:`",
        ) from error
