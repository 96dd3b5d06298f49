"""Checking what a loss gets and gives against its annotations, once per run on the first batch."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import torch
from jaxtyping import jaxtyped
from torch import Tensor

from genloss.contracts.definition import describe, without_none
from genloss.contracts.loss import Loss
from genloss.errors import ContractError


def check_arguments(loss: Loss[Any], arguments: Mapping[str, Any]) -> None:
    """Raise unless all quantities have the annotated type, shape and domain, and agree on their dimensions.

    Raises:
        ContractError: naming the quantity, what was expected and what came.
    """
    with jaxtyped("context"):
        for name, value in arguments.items():
            annotation, constraints = _split(without_none(loss.quantities[name].annotation))
            if not matches(value, annotation):
                others = ", ".join(
                    f"`{other}` is {describe_value(given)}"
                    for other, given in arguments.items()
                    if other != name
                )
                raise ContractError(
                    f"loss `{loss.name}` expects `{name}` as {expected_value(annotation)}, "
                    f"got {describe_value(value)}" + (f"; {others}" if others else "")
                )
            for constraint in constraints:
                _check_domain(loss, name, value, constraint)


def check_value(loss: Loss[Any], value: Any, batch: int) -> None:
    """Raise unless the value is what the loss's return annotation says.

    Raises:
        ContractError: saying what was expected and what came.
    """
    expected: tuple[int, ...] = () if loss.batch_coupled else (batch,)
    if loss.batch_coupled:
        said = "a scalar"
        hint = 'annotate what it returns with `Float[Tensor, "batch"]` if that is one value per example'
    else:
        said = f"one value per example, shape [{batch}]"
        hint = "sum over the event's dimensions, not over the batch; the trainer takes the batch's mean"
    if not isinstance(value, Tensor):
        raise ContractError(f"loss `{loss.name}` must return {said}, got {describe_value(value)}")
    if tuple(value.shape) != expected:
        raise ContractError(f"loss `{loss.name}` must return {said}, got {describe_value(value)}", hint=hint)
    if not value.is_floating_point():
        raise ContractError(
            f"loss `{loss.name}` must return floating-point values, got {describe_value(value)}"
        )


def check_dtype(what: str, value: Any, dtype: torch.dtype) -> None:
    """Raise where a floating-point tensor, or one in a list, is of another precision than the run's.

    Raises:
        ContractError: it is: a loss or metric of it would have fewer digits than it seems, or other ones.
    """
    for tensor in value if isinstance(value, list) else [value]:
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.dtype != dtype:
            raise ContractError(
                f"{what} is {describe_value(tensor)}, and the run computes in "
                f"{str(dtype).removeprefix('torch.')}",
                hint="what networks return in tensors, lists, mappings or dataclasses is brought to that; "
                "convert what is kept elsewhere",
            )


def _split(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(annotation) is Annotated:
        base, *constraints = get_args(annotation)
        return without_none(base), tuple(constraints)
    return annotation, ()


def matches(value: Any, annotation: Any) -> bool:
    """Return whether a value is as annotated; within `jaxtyped("context")`, dimensions of one name must
    agree.
    """
    annotation, _ = _split(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is list:
        return isinstance(value, list) and all(matches(item, arguments[0]) for item in value)
    if origin in (Union, types.UnionType):
        return any(matches(value, part) for part in arguments)
    if origin is Literal:
        return value in arguments
    if annotation is Any or not isinstance(origin or annotation, type):
        return True
    return isinstance(value, origin or annotation)


def _check_domain(loss: Loss[Any], name: str, value: Any, constraint: Any) -> None:
    values = torch.as_tensor(value)
    for field, sign, broken in (
        ("ge", "≥", torch.lt),
        ("gt", ">", torch.le),
        ("le", "≤", torch.gt),
        ("lt", "<", torch.ge),
    ):
        bound = getattr(constraint, field, None)
        if bound is not None and bool(broken(values, bound).any()):
            raise ContractError(
                f"loss `{loss.name}` expects `{name}` {sign} {bound:g}, got values "
                f"from {float(values.min()):g} to {float(values.max()):g}",
                hint=f"scale the data, or choose a loss for data of another range than `{loss.name}` is for",
            )


def expected_value(annotation: Any, *, plural: bool = False) -> str:
    """An annotation in words: `a floating-point tensor of shape [batch *event]`."""
    annotation, _ = _split(annotation)
    if get_origin(annotation) is list:
        return f"a list of {expected_value(get_args(annotation)[0], plural=True)}"
    if not hasattr(annotation, "dim_str"):
        return describe(annotation)
    tensor = f"{_kind(annotation.dtypes)}tensor{'s' if plural else ''} of shape [{annotation.dim_str}]"
    return tensor if plural else f"an {tensor}" if tensor.startswith("i") else f"a {tensor}"


def _kind(dtypes: Any) -> str:
    """What kind of numbers jaxtyping's list of dtypes allows, as an adjective."""
    if not isinstance(dtypes, tuple):
        return ""
    if len(dtypes) == 1:
        return f"{dtypes[0]} "
    for part, kind in (("float", "floating-point "), ("int", "integer "), ("bool", "Boolean ")):
        if all(part in dtype for dtype in dtypes):
            return kind
    return ""


def describe_value(value: Any) -> str:
    """What came, in words: `float32 [5, 2]`."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, list):
        shown = [describe_value(item) for item in value[:4]] + ["…"] * (len(value) > 4)
        return f"a list of {', '.join(shown)}" if value else "an empty list"
    return f"{type(value).__name__} {value!r}"
