"""Readers of typed values, with messages for people who do not know Python's types."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, TypeVar, get_type_hints

from pydantic import FiniteFloat, TypeAdapter, ValidationError

from genloss.errors import ExperimentError, Location, did_you_mean
from genloss.experiment.nodes import Node, show
from genloss.experiment.scalars import resolved
from genloss.experiment.schema import Cycle, Frozen, Number, Ramp, Schedule
from genloss.text import one_line

Reader = Callable[[Node, str], Any]
"""Reads a node at a dotted path, which is named in messages."""

F = TypeVar("F", bound=Frozen)

SCHEDULES: Mapping[str, type[Ramp | Cycle]] = {"linear": Ramp, "cosine": Ramp, "cyclical": Cycle}
EXAMPLES = {
    "name": "my-experiment",
    "data": "digits",
    "model": "gan",
    "objectives": "{…}",
    "training": "{steps: 1000}",
    "seeds": "[0, 1, 2]",
    "steps": "1000",
    "every": "100",
    "from": "0.0",
    "to": "1.0",
    "period": "100",
    "retry": "1",
    "ema": "0.999",
    "workers": "2",
    "batch_size": "128",
}

SWITCHES = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
"""What YAML 1.1 read as a boolean, and YAML 1.2 reads as text."""


def read_mapping(
    node: Node, path: str, readers: Mapping[str, Reader], required: Collection[str] = ()
) -> dict[str, Any]:
    """The values of a mapping, each by its reader.

    Raises:
        ExperimentError: an unknown or missing key, or what a reader finds.
    """
    if not isinstance(node.value, Mapping):
        raise unexpected(
            node, path, "a mapping", "write `{key: value}`, or one `key: value` in each line below it"
        )
    values = {}
    for key, child in node.items.items():
        if key not in readers:
            inside = f" in `{path}`" if path else ""
            raise ExperimentError(
                f"unknown key {show(key)}{inside}", where=child.label, hint=suggestion(key, readers)
            )
        values[key] = readers[key](child, join(path, key))
    for key in required:
        if key not in values:
            inside = f" in `{path}`" if path else ""
            raise ExperimentError(
                f"the key `{key}` is missing{inside}", where=node.label, hint=f"add `{key}: {EXAMPLES[key]}`"
            )
    return values


def section(model: type[F], node: Node, path: str, readers: Mapping[str, Reader] | None = None) -> F:
    """A mapping whose keys are the fields of a model; `readers` are for fields that are written otherwise.

    Raises:
        ExperimentError: a mistake in it.
    """
    hints = get_type_hints(model, include_extras=True)
    names = {field.alias or name: name for name, field in model.model_fields.items()}
    plain = {key: typed(hints[name]) for key, name in names.items()}
    required = [key for key, name in names.items() if model.model_fields[name].is_required()]
    return model(**read_mapping(node, path, plain | dict(readers or {}), required))


def typed(annotation: Any) -> Reader:
    """A reader of values of a type."""

    def read_value(node: Node, path: str) -> Any:
        try:
            # JSON's strict mode is what YAML's authors expect: 1 is a float, "1" and true are not.
            return adapter.validate_json(json.dumps(node.plain), strict=True)
        except ValidationError as error:
            expected, hint = _expected(error.errors(include_url=False)[0], node, path)
            bare = _unquoted(node)
            if bare is not None and _is_valid(adapter, bare):
                hint = f"write it without quotes: `{path.rpartition('.')[2]}: {node.value}`"
            raise unexpected(node, path, expected, hint) from None

    adapter = TypeAdapter[Any](annotation)
    return read_value


def _is_valid(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return False
    return True


def _unquoted(node: Node) -> Any:
    """What a text would be without its quotes, if that is something else; else None."""
    if not isinstance(node.value, str):
        return None
    try:
        bare = resolved(node.value)
    except ValueError:
        return None
    return None if isinstance(bare, str) else bare


def unexpected(node: Node, path: str, expected: str, hint: str | None) -> ExperimentError:
    """An error that says what was expected at a path and what is there."""
    subject = f"`{path}`: " if path else ""
    # A text that looks like a number is shown in the quotes that make it a text.
    got = node.plain if _unquoted(node) is None else json.dumps(node.plain)
    return ExperimentError(f"{subject}expected {expected}, got {show(got)}", where=node.where, hint=hint)


def suggestion(name: str, known: Collection[str]) -> str:
    """A hint that names what may have been meant, or all that is known."""
    near = did_you_mean(name[:200], known)
    return near or ("known here: " + ", ".join(f"`{key}`" for key in sorted(known)) if known else "")


def _expected(error: Any, node: Node, path: str) -> tuple[str, str | None]:
    """What pydantic expected, in words, and a hint."""
    kind, context = error["type"], error.get("ctx", {})
    key = path.rpartition(".")[2]
    if kind.startswith("int"):
        return "an integer", f"as in `{key}: {EXAMPLES.get(key, 10)}`"
    if kind in ("float_type", "float_parsing"):
        return "a number", f"as in `{key}: {EXAMPLES.get(key, 0.5)}`"
    if kind.startswith("bool"):
        said = str(node.value).lower()
        return (
            "`true` or `false`",
            f"write `{key}: {SWITCHES.get(said, said if said == 'false' else 'true')}`",
        )
    if kind in ("greater_than", "greater_than_equal"):
        sign, bound = (">", context["gt"]) if kind == "greater_than" else ("≥", context["ge"])
        return f"a number {sign} {bound:g}", f"as in `{key}: {EXAMPLES.get(key, int(bound) + 1)}`"
    if kind in ("less_than", "less_than_equal"):
        sign, bound = ("<", context["lt"]) if kind == "less_than" else ("≤", context["le"])
        said = f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"
        return f"a number {sign} {said}", f"as in `{key}: {EXAMPLES.get(key, min(bound, 100))}`"
    if kind == "literal_error":
        values = re.findall(r"'([^']*)'", context["expected"])
        return "one of " + ", ".join(f"`{value}`" for value in values), did_you_mean(str(node.plain), values)
    if kind in ("string_too_long", "string_too_short"):
        return "a text of 1 to 500 characters", f"as in `{key}: my-experiment`"
    if kind == "string_pattern_mismatch":
        fitting = re.sub(r"[^A-Za-z0-9._-]+", "-", str(node.plain)).strip("-._")[:100] or "my-name"
        return (
            "a name of at most 100 letters, digits, `.`, `_` and `-` that begins with a letter or digit",
            f"it names a folder, so it is not a path; `{fitting}` would do",
        )
    if isinstance(node.value, Mapping | tuple) or node.value is None:
        return "a text", f'as in `{key}: "…"`'
    return "a text", f'put it in quotes: `{key}: "{one_line(json.dumps(node.plain))}"`'


def read_number(node: Node, path: str) -> Number:
    """A number or a schedule."""
    if isinstance(node.value, Mapping):
        return read_schedule(node, path)
    number: float = typed(FiniteFloat)(node, path)
    return number


def read_schedule(node: Node, path: str) -> Schedule:
    """A schedule: a mapping with exactly one of its forms."""
    forms = read_mapping(node, path, {form: partial(section, model) for form, model in SCHEDULES.items()})
    if len(forms) != 1:
        raise unexpected(node, path, "one form of a schedule", "one of `linear`, `cosine`, `cyclical`")
    return Schedule(**forms)


def named_item(node: Node) -> tuple[Location, Mapping[str, Node]]:
    """The place of the name of a term or metric, and what stands under the name."""
    for options in node.items.values():
        return options.label, options.items
    return node.where, {}


def read_list(node: Node, path: str) -> tuple[Node, ...]:
    """The items of a list."""
    if not isinstance(node.value, tuple):
        raise unexpected(node, path, "a list", f"as in `{path.rpartition('.')[2]}: […]`")
    return node.value


def join(path: str, key: str) -> str:
    """The dotted path of a key in what stands at a path."""
    return f"{path}.{one_line(key)}" if path else one_line(key)
