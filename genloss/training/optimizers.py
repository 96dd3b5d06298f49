"""Optimizers by name: the classes of torch.optim, in lower case."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from genloss.errors import DefinitionError

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
    """The optimizer, fused where torch has it so and the user does not say otherwise.

    Its fused kernels on the CPU ignore strides: of a parameter that is a part of a larger tensor, they would
    change what lies between its elements.

    Raises:
        DefinitionError: the user wants it fused all the same.
    """
    optimizer = classes()[name]
    known = inspect.signature(optimizer).parameters
    dense = all(torch.empty_like(p).stride() == p.stride() for p in parameters)
    if options.get("fused") and not dense:
        raise DefinitionError(
            f"the optimizer `{name}` cannot be fused: a parameter is a part of a larger tensor",
            hint="leave `fused` out, or make the parameter of a copy: `nn.Parameter(part.clone())`",
        )
    fusable = dense and all(p.device.type in FUSED_DEVICES and p.is_floating_point() for p in parameters)
    if "fused" in known and fusable and not options.keys() & {"fused", "foreach", "differentiable"}:
        options = {**options, "fused": True}
    with _uncompiled():
        return optimizer(parameters, **options)


def assign(parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], *, copy: bool = False) -> None:
    """Return each parameter its gradient, in memory as the parameter is; copied where it is not, or if asked.

    Gradients come as they were computed: that of `W.sum()` is one number with strides of 0, that of a weight
    that was permuted is permuted. Torch's fused kernels on the CPU take no notice of that.
    """
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None and (copy or gradient.stride() != parameter.stride()):
            dense = gradient.to_dense() if gradient.is_sparse else gradient
            parameter.grad = torch.empty_like(parameter).copy_(dense)
        else:
            parameter.grad = gradient


def update(optimizer: torch.optim.Optimizer) -> Callable[[], Any]:
    """The optimizer's `step` as its class has it.

    Torch wraps it to call hooks, to tell its profiler, and to keep its compiler away from it, which it
    imports for that: a second's work, and 70 MB. The wrapping itself takes about as long as it takes to
    update a small network.
    """
    if optimizer.defaults.get("differentiable"):
        return optimizer.step
    return torch.no_grad()(partial(inspect.unwrap(type(optimizer).step), optimizer))


def state_dict(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer's state; torch's compiler is not imported for it."""
    found: dict[str, Any] = inspect.unwrap(torch.optim.Optimizer.state_dict)(optimizer)
    return found


def load_state_dict(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Put an optimizer where `state_dict` found another one like it.

    Torch gives all that it keeps of a parameter the parameter's type, even what NAdam keeps in float32.
    """
    inspect.unwrap(torch.optim.Optimizer.load_state_dict)(optimizer, dict(state))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, saved in state["state"].items():
        kept = optimizer.state[parameters[index]]
        for name, value in saved.items():
            if isinstance(value, Tensor) and value.dtype != kept[name].dtype:
                kept[name] = value.to(kept[name].device)


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Let an optimizer be made without torch's compiler, which is imported only to be kept away from it."""
    base = torch.optim.Optimizer
    kept = base.add_param_group
    base.add_param_group = inspect.unwrap(kept)  # type: ignore[method-assign]
    try:
        yield
    finally:
        base.add_param_group = kept  # type: ignore[method-assign]
