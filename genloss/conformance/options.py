"""The options of a definition: their defaults, and those that have but a few values."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from genloss.conformance.suite import Nonconformity
from genloss.contracts.definition import Definition, Option


def check_defaults(definition: Definition) -> None:
    """Raise unless each default is a value that the YAML may give.

    Raises:
        Nonconformity: naming the option.
    """
    for name, option in definition.options.items():
        if option.required or option.default is None:
            continue
        what = f"the default of `{name}` of {definition.kind} `{definition.name}`"
        try:
            value = option.validate(option.default)
        except ValueError as error:
            raise Nonconformity(f"{what} is none of its values: {error}") from error
        if value != option.default:
            raise Nonconformity(
                f"{what} is {option.default!r}, and a YAML that says the same gives {value!r}",
                hint="write the default in the option's own type",
            )


def check_given(definition: Definition, given: Mapping[str, Any], *, by: str) -> None:
    """Raise unless these values are valid, and those that have no default are among them.

    Args:
        definition: whose options they are.
        given: as YAML would give them.
        by: what gives them, for messages, with a hint how to write it.

    Raises:
        Nonconformity: naming the option.
    """
    what = f"{definition.kind} `{definition.name}`"
    for name, option in definition.options.items():
        if option.required and name not in given:
            raise Nonconformity(f"option `{name}` of {what} has no default, and {by} gives it no value")
    for name, value in given.items():
        if name not in definition.options:
            raise Nonconformity(f"{by} of {what} gives `{name}`, which is not an option")
        try:
            definition.options[name].validate(value)
        except ValueError as error:
            raise Nonconformity(f"{by} of {what} gives `{name}` a wrong value: {error}") from error


def varied(definition: Definition, base: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The options with one of them at another of its values, of those that have but a few."""
    for name, option in definition.options.items():
        for value in few_values(option):
            if value != base.get(name, option.default):
                yield {**base, name: value}


def few_values(option: Option) -> list[Any]:
    """The values of a `Literal` or `bool` option, alone or beside other types; none for others."""
    found: list[Any] = []
    parts = [option.annotation]
    while parts:
        part = parts.pop(0)
        origin = get_origin(part)
        if origin is Literal:
            found += get_args(part)
        elif origin is Annotated:
            parts.append(get_args(part)[0])
        elif origin in (Union, types.UnionType):
            parts += get_args(part)
        elif part is bool:
            found += [False, True]
    return found
