"""JSON schemas of definitions: their names, their options, and the terms and metrics that use them."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from genloss.contracts.docstrings import explanations

if TYPE_CHECKING:
    from genloss.contracts.definition import Definition, Option
    from genloss.registry.catalogue import Definitions

Schema = dict[str, Any]


def refer(name: str) -> Schema:
    """A reference to what stands under that name in the schema's `$defs`."""
    return {"$ref": f"#/$defs/{name}"}


def names_of(definitions: Definitions[Any]) -> Schema:
    """A name that finds one of the definitions: its own, or `distribution:name`."""
    named = [{"const": name, "description": described(each)} for name, each in definitions.items()]
    qualified: dict[str, list[str]] = {}
    for name in definitions:
        qualified.setdefault(definitions.provider(name).name, []).append(name.rpartition(":")[2])
    patterns = [
        {"pattern": f"^{_escaped(provider)}:({'|'.join(names)})$"} for provider, names in qualified.items()
    ]
    return {"type": "string", "anyOf": [*named, *patterns] or [False]}


def pattern_of(definitions: Definitions[Any], name: str) -> str:
    """A pattern of the names that find this definition."""
    provider, _, short = name.rpartition(":")
    if provider:
        return f"^{_escaped(name)}$"
    return f"^({_escaped(definitions.provider(name).name)}:)?{short}$"


def choice_of(definitions: Definitions[Any], defs: Schema) -> Schema:
    """One of the definitions: its name, or a mapping of `name` and its options."""
    kind = definitions.kind
    defs[f"{kind}.names"] = names_of(definitions)
    cases = []
    for name, definition in definitions.items():
        defs[f"{kind}.{name}"] = mapping(
            {"name": True, **options_of(definition, defs)}, required_by(definition), described(definition)
        )
        cases.append((pattern_of(definitions, name), refer(f"{kind}.{name}")))
    return named_choice(refer(f"{kind}.names"), cases)


def named_choice(names: Schema, cases: list[tuple[str, Schema]]) -> Schema:
    """A name, or a mapping whose `name` decides what else stands in it."""
    mapped = {
        "title": "name and options",
        "type": "object",
        "properties": {"name": names},
        "required": ["name"],
        "allOf": [{"if": _named(pattern), "then": options} for pattern, options in cases],
    }
    return {"anyOf": [names, mapped]}


def _named(pattern: str) -> Schema:
    name = {"type": "string", "pattern": pattern}
    return {"type": "object", "properties": {"name": name}, "required": ["name"]}


def item_of(definitions: Definitions[Any], defs: Schema, own: Mapping[str, Schema] | None = None) -> Schema:
    """A term or a metric: a name, or `{name: {option: value}}`.

    Args:
        definitions: what it may name.
        defs: the schema's `$defs`, to which it adds.
        own: keys that may stand beside the options.
    """
    kind = definitions.kind
    defs[f"{kind}.names"] = names_of(definitions)
    properties, patterns = {}, {}
    for name, definition in definitions.items():
        keys = dict(own or {})
        if definition.kind == "loss":
            keys["bind"] = {**keys["bind"], **_binding(definition)}
        properties[name] = refer(f"{kind}.{name}")
        if ":" not in name:
            patterns[f"^{_escaped(definitions.provider(name).name)}:{name}$"] = properties[name]
        options = mapping(
            {**options_of(definition, defs), **keys}, required_by(definition), described(definition)
        )
        defs[f"{kind}.{name}"] = {**options, "type": ["object", "null"]}
    one = {
        "title": "name: options",
        "type": "object",
        "properties": properties,
        "patternProperties": patterns,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {"anyOf": [refer(f"{kind}.names"), one]}


def options_of(definition: Definition, defs: Schema) -> Schema:
    """The options of a definition, by name."""
    explained = explanations(definition.doc, "Options")
    schemas = {}
    for name, option in definition.options.items():
        place = f"{definition.kind}.{definition.name}.{name}"
        schema = without_titles(option.json_schema(f"#/$defs/{place}.{{model}}"))
        for model, inner in schema.pop("$defs", {}).items():
            defs[f"{place}.{model}"] = inner
        if definition.kind == "loss" and option.takes_schedule:
            schema = or_schedule(schema)
        schemas[name] = {**schema, **dict(_facts(option, explained.get(name, "")))}
    return schemas


def required_by(definition: Definition) -> list[str]:
    """The options that have no default."""
    return [option.name for option in definition.options.values() if option.required]


def or_schedule(number: Schema) -> Schema:
    """A number of that schema, or a schedule."""
    return {"anyOf": [number, refer("schedule")]}


def mapping(properties: Schema, required: list[str], description: str) -> Schema:
    """A mapping with these keys and no others."""
    return {
        "description": description,
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def without_titles(schema: Any) -> Any:
    """The schema without pydantic's titles, which only repeat the names."""
    if isinstance(schema, dict):
        return {
            key: without_titles(value)
            for key, value in schema.items()
            if not (key == "title" and isinstance(value, str))
        }
    return [without_titles(item) for item in schema] if isinstance(schema, list) else schema


def described(definition: Definition) -> str:
    """A definition in one line."""
    return f"Unavailable: {definition.unavailable}" if definition.unavailable else definition.summary


def optimizers(defs: Schema) -> Schema:
    """An optimizer of torch: its name, or a mapping of `name` and its arguments."""
    from genloss.training.optimizers import classes

    cases = []
    for name, optimizer in classes().items():
        arguments = dict(inspect.signature(optimizer).parameters)
        del arguments["params"]
        properties = {argument: _like(p.default) for argument, p in arguments.items()}
        defs[f"optimizers.{name}"] = mapping(
            {"name": True, **properties}, [], f"torch.optim.{optimizer.__name__}"
        )
        cases.append((f"^{name}$", refer(f"optimizers.{name}")))
    return named_choice({"type": "string", "enum": list(classes())}, cases)


def own_optimizer() -> Schema:
    """A player's optimizer: one of torch, or arguments alone, for the one of all players."""
    from genloss.training.optimizers import classes

    arguments = {name for each in classes().values() for name in inspect.signature(each).parameters}
    alone = mapping(dict.fromkeys(sorted(arguments - {"params"}), True), [], "arguments")
    return {"anyOf": [refer("optimizer"), alone]}


def _like(default: Any) -> Schema:
    """What may stand in place of an argument's default; anything where that does not tell."""
    if isinstance(default, bool):
        return {"type": "boolean", "default": default}
    if isinstance(default, int | float):
        return {"type": "number", "default": default}
    if isinstance(default, tuple):
        size = len(default)
        items = {"type": "array", "prefixItems": [_like(each) for each in default]}
        return {**items, "minItems": size, "maxItems": size, "default": list(default)}
    return {}


def _binding(loss: Any) -> Schema:
    """Which parameters can be bound, and which may be left out by null."""
    return {
        "type": "object",
        "properties": {
            name: {
                "description": f"[{quantity.shape}]" if quantity.shape else "",
                "type": ["string", "null"] if quantity.optional else "string",
            }
            for name, quantity in loss.quantities.items()
        },
        "additionalProperties": False,
    }


def _facts(option: Option, explanation: str) -> Iterator[tuple[str, Any]]:
    """What is known about an option besides its type."""
    yield "description", explanation or option.type
    if not option.required:
        with contextlib.suppress(TypeError, ValueError):  # YAML could not say it
            yield "default", json.loads(json.dumps(option.default, default=os.fspath, allow_nan=False))


def _escaped(text: str) -> str:
    """The text in a pattern; Python's own escapes are too many for JavaScript, in which editors read it."""
    return re.sub(r"[.*+?^${}()|\[\]\\/]", r"\\\g<0>", text)
