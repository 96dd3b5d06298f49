"""Where a loss's gradients go, and whether they are right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError

from genloss.conformance.losses import draw
from genloss.conformance.losses.case import Case, Subject, leaves
from genloss.conformance.losses.draw import each, tensors
from genloss.conformance.suite import Nonconformity

SEEDS = range(3)


def gradients_reach(subject: Subject) -> None:
    """A gradient reaches each floating-point quantity that is not declared `stop_gradient`."""
    loss = subject.loss
    reached = _reached(subject)
    for name, quantity in loss.quantities.items():
        if draw.is_floating(quantity) and name not in loss.stop_gradient and name not in reached:
            raise Nonconformity(
                f"no gradient of loss `{loss.name}` reaches `{name}`",
                hint="do not detach it; if its formula holds it constant, declare "
                f"`stop_gradient=({name!r},)`; a mask is `Bool` or `Shaped`",
            )


def stop_gradient(subject: Subject) -> None:
    """No gradient reaches a quantity that is declared `stop_gradient`."""
    loss = subject.loss
    for name in sorted(_reached(subject) & set(loss.stop_gradient)):
        raise Nonconformity(
            f"loss `{loss.name}` declares `stop_gradient` for `{name}`, and a gradient reaches it",
            hint=f"write `{name}.detach()`",
        )


def gradcheck(subject: Subject) -> None:
    """Gradients agree with finite differences."""
    reached = _reached(subject)
    for case in subject.moderate:
        _compare(case, torch.autograd.gradcheck, reached)


def gradgradcheck(subject: Subject) -> None:
    """Second derivatives agree with finite differences of the first."""
    reached = _reached(subject)
    for case in subject.moderate:
        _compare(case, torch.autograd.gradgradcheck, reached)


def parameters(subject: Subject) -> None:
    """A gradient reaches each parameter of its own."""
    reached: dict[str, bool] = {}
    for case in subject.moderate:
        given = case.draw()
        module = case.build(given)
        if not isinstance(module, nn.Module):
            continue
        wanted = {name: own for name, own in module.named_parameters() if own.requires_grad}
        value = case.value(given, function=module)
        if value.requires_grad:
            value.sum().backward()  # type: ignore[no-untyped-call]
        for name, tensor in wanted.items():
            arrives = tensor.grad is not None and bool(tensor.grad.any())
            reached[name] = reached.get(name, False) or arrives
    for name, arrives in reached.items():
        if not arrives:
            raise Nonconformity(
                f"no gradient of loss `{subject.loss.name}` reaches its parameter `{name}`",
                hint="what is not trained is a buffer: `self.register_buffer(…)`",
            )


def _reached(subject: Subject) -> set[str]:
    """The quantities that some gradient other than 0 reaches, in whichever case."""
    reached = set()
    for case in subject.moderate:
        for seed in SEEDS:
            _, gradients = case.gradients(case.draw(seed=seed))
            reached |= {
                name
                for name, items in gradients.items()
                if any(item is not None and bool(item.any()) for item in items)
            }
    return reached


def _compare(case: Case, compare: Callable[..., bool], reached: set[str]) -> None:
    """Compare what a gradient reaches at all; what none reaches has a check of its own."""
    loss = case.loss
    given = {
        name: leaves({name: value})[name] if name in reached and name not in loss.stop_gradient else value
        for name, value in case.draw(draw.sizes(loss, batch=3)).items()
    }
    wanted = [tensor for tensor in tensors(given) if tensor.requires_grad]
    function = case.build(given)

    def value(*replaced: Tensor) -> Tensor:
        return case.value(_replaced(given, replaced), function=function)

    if not wanted or not value(*wanted).requires_grad:
        return
    try:
        compare(value, wanted, fast_mode=True)
    except GradcheckError as error:
        said = str(error).split("\n\n")[0]
        case.fail(
            f"its derivatives are not those of finite differences: {' '.join(said.split())[:400]}",
            hint="is a part of it detached or rounded, or a `backward` wrong? What the formula holds "
            "constant is declared by `stop_gradient`",
        )


def _replaced(given: Mapping[str, Any], tensors: tuple[Tensor, ...]) -> dict[str, Any]:
    following = iter(tensors)
    return each(given, lambda tensor: next(following) if tensor.requires_grad else tensor)
