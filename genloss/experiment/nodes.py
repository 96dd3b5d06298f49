"""Values with their places in the source, before they are interpreted."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral, Real
from typing import Any

from genloss.errors import ExperimentError, Location
from genloss.text import one_line

MAX_DEPTH = 50
MAX_NODES = 10_000
MAX_DIGITS = 300

Scalar = None | bool | int | float | str


@dataclass(frozen=True)
class Node:
    """A value with the place where it was written.

    Attributes:
        value: the value.
        where: its place.
        key: the place of the key that it stands under, if any.
        text: a number as it was written, `1e-3`; empty for other values.
    """

    value: Scalar | tuple[Node, ...] | Mapping[str, Node]
    where: Location
    key: Location | None = None
    text: str = ""

    @property
    def items(self) -> Mapping[str, Node]:
        """The items of a mapping; of anything else, none."""
        return self.value if isinstance(self.value, Mapping) else {}

    @property
    def label(self) -> Location:
        """The place of its key; its own where it has none."""
        return self.key or self.where

    def at(self, *path: str | int) -> Node:
        """The node at that path, or the deepest one on the way to it."""
        if not path:
            return self
        step, *rest = path
        if isinstance(step, str) and step in self.items:
            return self.items[step].at(*rest)
        if isinstance(step, int) and isinstance(self.value, tuple) and step < len(self.value):
            return self.value[step].at(*rest)
        return self

    @cached_property
    def plain(self) -> Any:
        """The value as JSON has it."""
        if isinstance(self.value, Mapping):
            return {key: node.plain for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain for node in self.value]
        return self.value

    @cached_property
    def size(self) -> int:
        """Number of nodes, those of aliases counted each time."""
        return 1 + sum(child.size for child in self._children)

    @cached_property
    def height(self) -> int:
        """Levels of nesting: 0 for a scalar."""
        return 1 + max((child.height for child in self._children), default=-1)

    @property
    def _children(self) -> tuple[Node, ...]:
        return self.value if isinstance(self.value, tuple) else tuple(self.items.values())


def show(value: Any) -> str:
    """A value of the user's as it stands in a message: between backticks, in one line, not too long."""
    return f"`{one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))}`"


def from_python(value: Any) -> Node:
    """Nodes of Python's values; places are paths in them, such as `experiment: objectives.wgan_gp.generator`.

    Raises:
        ExperimentError: it holds what YAML could not say.
    """
    return _Converter().node(value)


def too_many(where: Location) -> ExperimentError:
    """The error of an experiment with more than MAX_NODES values."""
    return ExperimentError(
        f"the experiment has more than {MAX_NODES} values, those of aliases included",
        where=where,
        hint="look for aliases of aliases; an experiment needs no such size",
    )


def too_deep(where: Location) -> ExperimentError:
    """The error of an experiment that is nested deeper than MAX_DEPTH."""
    return ExperimentError(
        f"the nesting is deeper than {MAX_DEPTH} levels", where=where, hint="no key of genloss needs that"
    )


def encodable(text: str, where: Location) -> str:
    """The text.

    Raises:
        ExperimentError: UTF-8 cannot say it.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ExperimentError(
            "the text holds half of a surrogate pair", where=where, hint="write the character itself"
        ) from None
    return text


def finite(number: float, written: str) -> float:
    """The number.

    Raises:
        ValueError: it is infinite or NaN. (JSON, in which workers get their runs, has no such numbers.)
    """
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number, got {show(written)}")
    return number


class _Converter:
    """Nodes from Python's values."""

    def __init__(self) -> None:
        self._count = 0

    def node(self, value: Any, path: tuple[str, ...] = ()) -> Node:
        where = Location(f"experiment: {one_line('.'.join(path))}" if path else "experiment")
        self._count += 1
        if self._count > MAX_NODES:
            raise too_many(where)
        if len(path) > MAX_DEPTH:
            raise too_deep(where)
        if isinstance(value, Mapping):
            items = {}
            for key, inner in value.items():
                if not isinstance(key, str):
                    raise ExperimentError(
                        f"expected a string as key, got {show(repr(key))}", where=where, hint="quote the key"
                    )
                child = self.node(inner, (*path, encodable(key, where)))
                items[key] = replace(child, key=child.where)
            return Node(items, where)
        if isinstance(value, list | tuple | range):
            return Node(
                tuple(self.node(inner, (*path, str(index))) for index, inner in enumerate(value)), where
            )
        return Node(self._scalar(value, where), where)

    def _scalar(self, value: Any, where: Location) -> Scalar:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if isinstance(value, str):
            return encodable(str(value), where)
        try:
            if isinstance(value, Integral) and abs(value) < 10**MAX_DIGITS:
                return int(value)
            if isinstance(value, Real):
                return finite(float(value), str(value))
        except (ValueError, OverflowError):
            raise ExperimentError(
                f"expected a finite number of at most {MAX_DIGITS} digits",
                where=where,
                hint="write a smaller number",
            ) from None
        raise ExperimentError(
            f"expected a plain value, got an object of type `{type(value).__name__}`",
            where=where,
            hint="use numbers, strings, booleans, lists and mappings, as YAML has them",
        )
