"""Losses whose docstring is right for whatever they do, so that the suite finds their own mistake alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import genloss
from genloss.conformance import checks, outcomes
from genloss.conformance.losses import draw
from genloss.contracts.definition import MISSING

ERROR = "x=torch.tensor([[3.0, 4.0]]), x_hat=torch.zeros(1, 2)"


def documented(
    function: Callable[..., Any], example: str = ERROR, *, want: str | None = None, **facts: Any
) -> genloss.Loss[Any]:
    """A loss of a function or class.

    Args:
        function: the loss.
        example: the arguments of its docstring's example.
        want: the value that the example shows; what the function gives, if none is said.
        facts: arguments of the decorator.
    """
    loss = genloss.loss(**{"family": "toys", "unit": "1", "source": "this file", **facts})(function)
    if want is None:
        torch.manual_seed(0)
        want = repr(eval(f"loss({example})", {"torch": torch, "loss": loss}))
    lines = ["A loss for tests.", "", "Formula:", "    as below", "", "Quantities:"]
    for name, quantity in loss.quantities.items():
        lines.append(f"    {name}: `[{', '.join(draw.dimensions(quantity))}]`, its meaning.")
    if loss.options:
        lines += ["", "Options:"]
    for name, option in loss.options.items():
        default = "" if option.default is MISSING else f"default {str(option.default).lower()}, "
        lines.append(f"    {name}: {default}its meaning.")
    lines += ["", "Source:", "    This file.", "", "Example:", f"    >>> {loss.__name__}({example})"]
    loss.doc = "\n".join([*lines, *(f"    {line}" for line in want.splitlines())])
    return loss


def failures(loss: genloss.Loss[Any]) -> dict[str, str]:
    """What the suite finds, by check."""
    return {o.check.name: str(o.error) for o in outcomes(checks(loss)) if o.status == "failed"}
