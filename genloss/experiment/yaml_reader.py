"""Reading YAML into nodes, safely.

The scalars are those of YAML 1.2's core schema: `1e-3` is a number, `on` and `no` are text, `010` is ten, and
a date is text. No tag is read, so no Python object is ever made. Size, depth and aliases are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import yaml

from genloss.errors import ExperimentError, Location
from genloss.experiment.nodes import (
    MAX_DEPTH,
    MAX_NODES,
    Node,
    Scalar,
    encodable,
    show,
    too_deep,
    too_many,
)
from genloss.experiment.scalars import resolved
from genloss.text import one_line

Place = Callable[[int, int], Location]
"""A location from line and column, both from 0."""


def parse(text: str, place: Place) -> Node:
    """The one value that a YAML text holds.

    Raises:
        ExperimentError: no YAML, or YAML that genloss does not read.
    """
    try:
        return _Composer(text, place).document()
    except yaml.MarkedYAMLError as error:
        raise _explained(error, place) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line_start = before.rfind("\n") + 1
        raise ExperimentError(
            f"the character U+{ord(text[error.position]):04X} cannot stand in YAML",
            where=place(before.count("\n"), error.position - line_start),
            hint="delete it; an editor may not show it",
        ) from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class _Composer:
    """Nodes from PyYAML's events."""

    def __init__(self, text: str, place: Place) -> None:
        self._loader = yaml.SafeLoader(text)
        self._place = place
        self._anchors: dict[str, Node | None] = {}
        self._count = 0

    def document(self) -> Node:
        self._next()
        first = self._next()
        if isinstance(first, yaml.StreamEndEvent):
            return Node(None, self._place(0, 0))
        root = self._node(self._next(), 0)
        self._next()
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            raise ExperimentError(
                "a second document begins here",
                where=self._where(after),
                hint="an experiment is one document: delete the line `---`, or make it two files",
            )
        return root

    def _next(self) -> yaml.Event:
        try:
            event: yaml.Event = self._loader.get_event()  # type: ignore[no-untyped-call]
            return event
        except (ValueError, OverflowError):  # PyYAML lets `chr` and `int` fail
            mark = self._loader.get_mark()
            raise ExperimentError(
                "this is not valid YAML: an escape sequence or a version is out of range",
                where=self._place(mark.line, mark.column),
                hint="write the character itself",
            ) from None

    def _where(self, event: yaml.Event) -> Location:
        mark = event.start_mark
        return self._place(mark.line, mark.column) if mark else self._place(0, 0)

    def _node(self, event: yaml.Event, depth: int, key: Location | None = None) -> Node:
        where = self._where(event)
        if isinstance(event, yaml.AliasEvent):
            node = self._alias(event.anchor, depth, where, key)
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            if event.tag is not None:
                tag = event.tag.replace("tag:yaml.org,2002:", "!!")
                raise ExperimentError(
                    f"the tag {show(tag)} is not read here",
                    where=where,
                    hint="write the plain value, without a tag",
                )
            if event.anchor is not None:
                self._anchors[event.anchor] = None  # not yet complete: an alias within itself is found
            value = self._value(event, depth, where)
            text = event.value if isinstance(event, yaml.ScalarEvent) and _is_number(value) else ""
            node = Node(value, where, key, text)
            if event.anchor is not None:
                self._anchors[event.anchor] = node
            self._count += 1
        if self._count > MAX_NODES:
            raise too_many(where)
        return node

    def _alias(self, anchor: str | None, depth: int, where: Location, key: Location | None) -> Node:
        node = self._anchors.get(anchor or "")
        if node is None:
            known = "refers to what it stands in" if anchor in self._anchors else "refers to nothing"
            raise ExperimentError(
                f"the alias {show(f'*{anchor}')} {known}",
                where=where,
                hint=f"{show(f'&{anchor}')} must stand before it; a text that begins with `*` must be quoted",
            )
        if depth + node.height > MAX_DEPTH:
            raise too_deep(where)
        self._count += node.size
        return replace(node, key=key)

    def _value(
        self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, depth: int, where: Location
    ) -> Scalar | tuple[Node, ...] | Mapping[str, Node]:
        if isinstance(event, yaml.ScalarEvent):
            text = encodable(event.value, where)
            try:
                return resolved(text) if event.style is None else text
            except ValueError as error:
                raise ExperimentError(
                    str(error), where=where, hint="write a finite number, or quote it if it is a text"
                ) from None
        if depth >= MAX_DEPTH:
            raise too_deep(where)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(inner := self._next(), yaml.SequenceEndEvent):
                items.append(self._node(inner, depth + 1))
            return tuple(items)
        return self._mapping(depth)

    def _mapping(self, depth: int) -> Mapping[str, Node]:
        items: dict[str, Node] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            where = self._where(event)
            name = key.value
            if not isinstance(name, str):
                hint = "write `{key: value}`, or a list"
                if isinstance(event, yaml.ScalarEvent):
                    hint = f'a text that reads as something else is quoted: `"{one_line(event.value)}": …`'
                raise ExperimentError(
                    f"expected a text as key, got {show(key.plain)}", where=where, hint=hint
                )
            if name == "<<":
                raise ExperimentError(
                    "merge keys (`<<`) are not read here",
                    where=where,
                    hint="write the keys out; what one objective sets differently stands under its `with`",
                )
            if name in items:
                line = items[name].label.line
                raise ExperimentError(
                    f"the key {show(name)} is given twice",
                    where=where,
                    hint="keep one of them" + (f"; the first is in line {line}" if line else ""),
                )
            items[name] = self._node(self._next(), depth + 1, where)
        return items


def _explained(error: yaml.MarkedYAMLError, place: Place) -> ExperimentError:
    """PyYAML's message in words for people who do not know its parser."""
    problem = error.problem or "it cannot be read"
    mark, start = error.problem_mark, error.context_mark
    message = f"this is not valid YAML: {problem}"
    hint = "the mistake may stand in the line before"
    if "cannot start any token" in problem:
        if "'\\t'" in problem:
            message, hint = "a tab stands where YAML allows only spaces", "replace the tab by spaces"
        else:
            character = problem.split("'")[1] if "'" in problem else "such a character"
            message = f"a text cannot begin with `{character}`"
            hint = "put the text in quotes"
    elif problem == "mapping values are not allowed here":
        message = "a colon stands where YAML expects no key"
        hint = "quote a text that contains `: `; otherwise look at the indentation"
    elif problem == "could not find expected ':'":
        message, mark = "expected `key: value`, found no colon", start or mark
        hint = "a key is followed by a colon and a space"
    elif problem.startswith("expected <block end>"):
        message = "the indentation does not fit the lines before"
        hint = "keys of one mapping, and dashes of one list, begin in the same column"
    elif start is not None and problem.startswith("expected ',' or"):
        message = f"expected `,` or `{problem[17]}`"
        hint = f"the bracket is opened in line {start.line + 1}, column {start.column + 1}"
    elif start is not None and problem == "found unexpected end of stream":
        message, hint, mark = "the quote is not closed", "add the closing quote", start
    elif problem.startswith("expected '<document start>'"):
        message = "expected the end of the experiment"
        hint = "look at the brackets and the indentation of the lines before"
    where = place(mark.line, mark.column) if mark else place(0, 0)
    return ExperimentError(message, where=where, hint=hint)
