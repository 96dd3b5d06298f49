"""Checks of optimizers against torch."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from genloss.errors import ExperimentError
from genloss.experiment.nodes import Node, show
from genloss.experiment.readers import suggestion, unexpected
from genloss.experiment.schema import Choice
from genloss.text import one_line

if TYPE_CHECKING:
    from torch import Tensor


def check_optimizer(choice: Choice, node: Node, parameters: Iterable[Tensor]) -> Choice:
    """The optimizer with its arguments in the types that torch wants, and torch's numbers for the others.

    Args:
        choice: its name and arguments.
        node: what they were read from, or the section that they are missing in.
        parameters: what it will train; only their numbers of dimensions are looked at.

    Raises:
        ExperimentError: there is no such optimizer or argument, or torch refuses a value.
    """
    import torch

    from genloss.training import optimizers

    known, where = optimizers.classes(), node.at("name").where
    reason = optimizers.UNSUPPORTED.get(choice.name)
    if reason is not None:
        raise ExperimentError(
            f"the optimizer `{choice.name}` cannot train here: {reason}", where=where, hint="`adam` can"
        )
    if choice.name not in known:
        raise ExperimentError(
            f"there is no optimizer {show(choice.name)}", where=where, hint=suggestion(choice.name, known)
        )
    arguments = dict(inspect.signature(known[choice.name]).parameters)
    del arguments["params"]
    options = {}
    for name, value in choice.options.items():
        if name not in arguments:
            raise ExperimentError(
                f"the optimizer `{choice.name}` has no argument {show(name)}",
                where=node.at(name).label,
                hint=suggestion(name, arguments),
            )
        options[name] = _converted(value, arguments[name].default, node.at(name), name)
    dimensions = sorted({parameter.ndim for parameter in parameters}) or [2]
    small = [torch.nn.Parameter(torch.zeros((1,) * ndim)) for ndim in dimensions]

    def refusal(**some: Any) -> str:
        try:
            optimizers.build(choice.name, small, **some)
        except Exception as error:  # torch has no one class for them
            return one_line(str(error), 200)
        return ""

    if message := refusal(**options):
        alone = (name for name, value in options.items() if refusal(**{name: value}) == message)
        culprit = next(alone, "name")
        raise ExperimentError(
            f"torch refuses the optimizer `{choice.name}`: {message}",
            where=node.at(culprit).where,
            hint=f"the documentation of `torch.optim.{known[choice.name].__name__}` tells what it takes",
        )
    numbers = {name: _numbers(argument.default) for name, argument in arguments.items()}
    defaults = {name: number for name, number in numbers.items() if number is not None}
    return choice.model_copy(update={"options": defaults | options})


def _numbers(default: Any) -> float | list[float] | None:
    """A default that is a number, or several; None for a switch of how torch computes."""
    if isinstance(default, tuple):
        inner = [_numbers(each) for each in default]
        return None if None in inner else inner  # type: ignore[return-value]
    return default if isinstance(default, int | float) and not isinstance(default, bool) else None


def _converted(value: Any, default: Any, node: Node, name: str) -> Any:
    """A value in the type of the argument's default; torch wants floats to be written as such."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise unexpected(node, name, "true or false", f"as in `{name}: true`")
    elif isinstance(default, int | float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise unexpected(node, name, "a number", f"as in `{name}: {default}`")
        return float(value) if isinstance(default, float) else value
    elif isinstance(default, tuple):
        if not isinstance(value, list) or len(value) != len(default):
            example = json.dumps(default)
            raise unexpected(node, name, f"a list of {len(default)} numbers", f"as in `{name}: {example}`")
        pairs = zip(value, default, strict=True)
        return [_converted(inner, own, node.at(i), name) for i, (inner, own) in enumerate(pairs)]
    return value
