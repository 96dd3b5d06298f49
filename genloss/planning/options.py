"""Checks of options against the signatures of losses, models, datasets and metrics."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from genloss.errors import (
    FOREIGN,
    CatalogueError,
    ExperimentError,
    GenlossError,
    Location,
    PluginError,
    RequestError,
    said,
)
from genloss.experiment.files import existing
from genloss.experiment.nodes import Node, show
from genloss.experiment.readers import read_schedule, suggestion
from genloss.experiment.schema import Schedule
from genloss.planning.building import is_too_large
from genloss.registry.origin import culprit, describe
from genloss.text import one_line

if TYPE_CHECKING:
    from genloss.contracts.definition import Definition, Option
    from genloss.registry.catalogue import Definitions

D = TypeVar("D", bound="Definition")


@contextmanager
def calling(definition: Definition, verb: str, where: Location) -> Iterator[None]:
    """Create errors of the request of what a plugin's code finds wrong with its options, and of its bugs.

    Args:
        definition: whose code is called.
        verb: what is done with it: `loaded`, `built`.
        where: the place in the experiment that led there.
    """
    what = f"{definition.kind} `{definition.name}`"
    try:
        with located(where):
            yield
    except (ValueError, OSError) as error:
        raise ExperimentError(
            f"{what} cannot be {verb}: {one_line(said(error), 300)}",
            where=where,
            hint=f"`genloss show {definition.name}` tells what its options mean",
        ) from error
    except GenlossError:
        raise
    except FOREIGN as error:
        if is_too_large(error):
            raise ExperimentError(
                f"{what} cannot be {verb}, for want of memory: {one_line(said(error), 200)}",
                where=where,
                hint="make the options smaller that say how large it is",
            ) from error
        found = culprit(error, [definition])
        raise PluginError(f"{found or what} cannot be {verb}: {describe(error)}", where=where) from error


@contextmanager
def located(where: Location) -> Iterator[None]:
    """Return the errors of others the place in the experiment that led to them."""
    try:
        yield
    except CatalogueError as error:
        raise ExperimentError(error.message, where=where, hint=error.hint) from None
    except RequestError as error:
        error.where = error.where or where
        raise


def find(definitions: Definitions[D], name: str, where: Location) -> D:
    """The definition of that name.

    Raises:
        ExperimentError: no plugin offers it, several do, or it cannot be used here.
    """
    with located(where):
        definition = definitions[name]
    if definition.unavailable is not None:
        raise ExperimentError(
            f"{definition.kind} `{name}` cannot be used here: {definition.unavailable}",
            where=where,
            hint=f"`genloss list {definitions.kind}` shows what can",
        )
    return definition


def check_options(
    definition: Definition,
    nodes: Mapping[str, Node],
    folder: Path,
    where: Location,
    *,
    also: tuple[str, ...] = (),
) -> dict[str, Any]:
    """All options as JSON has them: paths absolute, else as they were written, or the signature's defaults.

    Args:
        definition: what they are for.
        nodes: the options.
        folder: what paths are relative to.
        where: the place of the definition's name.
        also: keys that may stand beside them, for the hint.

    Raises:
        ExperimentError: an unknown or missing option, or a value that it does not allow.
    """
    what = f"{definition.kind} `{definition.name}`"
    checked = {}
    for name, node in nodes.items():
        if name not in definition.options:
            raise ExperimentError(
                f"{what} has no option {show(name)}",
                where=node.label,
                hint=suggestion(name, [*definition.options, *also]) or "it has none",
            )
        option = definition.options[name]
        if definition.kind == "loss" and option.takes_schedule and node.items:
            checked[name] = _schedule(option, node, definition)
        else:
            value = _validate(option, node.plain, node, definition)
            checked[name] = _absolute(value, node, folder)
    for option in definition.options.values():
        if option.required and option.name not in nodes:
            raise ExperimentError(
                f"{what} needs the option `{option.name}`",
                where=where,
                hint=f"add `{option.name}: …`, a value of the type {option.type}",
            )
    return _defaults(definition) | checked


def _defaults(definition: Definition) -> dict[str, Any]:
    """The defaults of the signature, but for those that YAML could not say."""
    defaults = {}
    for option in definition.options.values():
        with contextlib.suppress(ValueError, TypeError):
            plain = json.loads(json.dumps(option.default, default=os.fspath, allow_nan=False))
            option.validate(plain)
            defaults[option.name] = plain
    return defaults


def _validate(option: Option, value: Any, node: Node, definition: Definition) -> Any:
    try:
        return option.validate(value)
    except ValueError as error:
        raise ExperimentError(
            f"option `{option.name}` of {definition.kind} `{definition.name}`: {error}",
            where=node.where,
            hint=f"`genloss show {definition.name}` tells what it means",
        ) from None


def _schedule(option: Option, node: Node, definition: Definition) -> Schedule:
    schedule = read_schedule(node, option.name)
    for form, ramp in schedule:
        if ramp is not None:
            _validate(option, ramp.start, node.at(form, "from"), definition)
            _validate(option, ramp.to, node.at(form, "to"), definition)
    return schedule


def _absolute(value: Any, node: Node, folder: Path) -> Any:
    if isinstance(value, Path):
        return existing(str(node.plain), folder, where=node.where, what="file or folder")
    if isinstance(value, list | tuple) and isinstance(node.value, tuple):
        return [_absolute(inner, child, folder) for inner, child in zip(value, node.value, strict=False)]
    return node.plain
