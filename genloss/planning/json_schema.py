"""The JSON schema of an experiment, with which editors complete and check its YAML.

It knows the names and options of all that a catalogue offers, and accepts whatever the plan accepts. What
needs more than the file's own words is left to the plan: whether the model offers what a loss needs, or
whether a device is there.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from genloss.contracts.definition import RESERVED_NAMES
from genloss.contracts.docstrings import explanations
from genloss.experiment.read import MAX_SEEDS, REQUIRED, SEED_LIMIT
from genloss.experiment.readers import SCHEDULES
from genloss.experiment.schema import (
    Evaluation,
    Frozen,
    Name,
    Player,
    Processes,
    Range,
    Retry,
    Schedule,
    Search,
    Term,
    Tracking,
    Training,
)
from genloss.planning.definition_schemas import (
    Schema,
    choice_of,
    item_of,
    mapping,
    optimizers,
    or_schedule,
    own_optimizer,
    pattern_of,
    refer,
    without_titles,
)
from genloss.planning.interfaces import example

if TYPE_CHECKING:
    from genloss.registry.catalogue import Catalogue

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def experiment_schema(catalogue: Catalogue) -> Schema:
    """The JSON schema (draft 2020-12) of the experiments that this catalogue's definitions allow."""
    objectives = {
        "type": "object",
        "propertyNames": _value(Name),
        "additionalProperties": refer("objective"),
        "minProperties": 1,
    }
    keys = {
        "name": ("The name of MLflow's experiment.", _value(Name)),
        "description": ("What the experiment is about.", _value(str)),
        "plugins": ("Plugin files, relative to this one.", _value(list[str])),
        "data": ("What is trained on: a dataset's name, or a mapping of `name` and options.", refer("data")),
        "model": ("What is trained: a model's name, or a mapping of `name` and options.", refer("model")),
        "objectives": ("What is compared, by names of yours: each is trained with every seed.", objectives),
        "baseline": ("The objective that others are compared with; the first by default.", _value(str)),
        "training": (_summary(Training), refer("training")),
        "sweep": (
            "Values to compare, by dotted path: each objective is trained with each of them.",
            refer("sweep"),
        ),
        "search": (_summary(Search), refer("search")),
        "seeds": ("A list of seeds, or their number.", _seeds()),
        "devices": ("`auto`, `cpu`, `cuda`, `cuda:1`, `mps`, or a list of them.", _devices()),
        "workers": ("Processes per device; chosen by the device by default.", _value(Processes | None)),
        "threads": ("CPU threads of each; chosen by a step's work by default.", _value(Processes | None)),
        "on_failure": (
            "What is done when a run fails; `{retry: n}` goes on from its newest checkpoint.",
            {"anyOf": [{"enum": ["continue", "stop"]}, _section(Retry)]},
        ),
        "evaluation": (_summary(Evaluation), refer("evaluation")),
        "tracking": (_summary(Tracking), _section(Tracking)),
    }
    properties = {key: {**schema, "description": said} for key, (said, schema) in keys.items()}
    about = "The same model, trained on the same data under several objectives with several seeds."
    return {
        "$schema": DRAFT,
        "title": "An experiment of genloss",
        **mapping(properties, list(REQUIRED), about),
        "allOf": [_for_model(catalogue, name) for name in catalogue.models],
        "$defs": _definitions(catalogue),
    }


def _definitions(catalogue: Catalogue) -> Schema:
    """What is referred to from several places."""
    defs: Schema = {}
    ramps = {form: _section(model) for form, model in SCHEDULES.items()}
    defs["schedule"] = {**_section(Schedule, ramps), "minProperties": 1, "maxProperties": 1}
    defs["data"] = choice_of(catalogue.datasets, defs)
    defs["model"] = choice_of(catalogue.models, defs)
    defs["optimizer"] = optimizers(defs)
    player = _section(Player, {"optimizer": own_optimizer()})
    players = {"type": "object", "additionalProperties": player}
    defs["training"] = _section(Training, {"optimizer": refer("optimizer"), "players": players})
    defs["metric"] = item_of(catalogue.metrics, defs)
    metrics = {"type": "array", "items": refer("metric")}
    defs["evaluation"] = {**_section(Evaluation, {"metrics": metrics}), "type": ["object", "null"]}
    defs["term"] = item_of(catalogue.losses, defs, _term_keys())
    several = {"type": "array", "items": refer("term"), "minItems": 1}
    defs["terms"] = {"anyOf": [*defs["term"]["anyOf"], several]}
    defs["with"] = _overlay(defs["training"])
    defs["sweep"] = _sweep(defs["training"])
    defs["search"] = _search(defs)
    defs["objective"] = {
        "description": "For each player a term, or a list of terms.",
        "type": "object",
        "properties": {"with": refer("with")},
        "additionalProperties": refer("terms"),
    }
    return defs


def _term_keys() -> Schema:
    """What may stand beside a loss's options."""
    own = _section(Term, {"weight": or_schedule({"type": "number"})})["properties"]
    name = {**own["name"], **_value(Name), "not": {"enum": list(RESERVED_NAMES)}}
    return {"weight": own["weight"], "as": name, "bind": own["bind"], "every": own["every"]}


def _overlay(training: Schema) -> Schema:
    """What an objective may set differently, by dotted path."""
    fields = training["properties"]
    deeper = {r"^training\.(optimizer|players)\..": True, r"^model\..": True}
    partial = {
        "type": "object",
        "properties": fields,
        "patternProperties": {r"^(optimizer|players)\..": True},
        "additionalProperties": False,
    }
    return {
        "description": "What this objective sets differently in `model` and `training`, by dotted path.",
        "type": ["object", "null"],
        "properties": {
            "training": partial,
            "model": {"type": ["string", "object"]},
            **{f"training.{name}": refer(f"training/properties/{name}") for name in fields},
        },
        "patternProperties": deeper,
        "additionalProperties": False,
    }


def _sweep(training: Schema) -> Schema:
    """List of values, by dotted path."""
    several = {"type": "array", "minItems": 1}
    fields = [name for name in training["properties"] if name not in ("optimizer", "players")]
    return {
        "type": ["object", "null"],
        "properties": {
            f"training.{name}": {**several, "items": refer(f"training/properties/{name}")} for name in fields
        },
        "patternProperties": {
            r"^training\.(optimizer|players)(\.|$)": several,
            r"^(model|training)$": several,
            r"^model\..": several,
            r"^objectives\.[^.].*\..": several,
        },
        "additionalProperties": False,
    }


def _search(defs: Schema) -> Schema:
    """What trials choose, and how; ranges by dotted path."""
    choice = {"type": "array", "minItems": 2, "uniqueItems": True}
    ends = {"type": "array", "minItems": 2, "maxItems": 2}
    forms = {
        "uniform": {**ends, "items": {"type": "number"}},
        "log_uniform": {**ends, "items": {"type": "number", "exclusiveMinimum": 0}},
        "integer": {**ends, "items": {"type": "integer"}},
        "choice": choice,
    }
    defs["range"] = {**_section(Range, forms), "minProperties": 1, "maxProperties": 1}
    paths = (r"^training(\..|$)", r"^model(\..|$)", r"^objectives\.[^.].*\..")
    space = {
        "type": "object",
        "patternProperties": {path: refer("range") for path in paths},
        "additionalProperties": False,
        "minProperties": 1,
    }
    search = _section(Search, {"space": space})
    del search["properties"]["owners"]
    return {**search, "type": ["object", "null"]}


def _for_model(catalogue: Catalogue, name: str) -> Schema:
    """What an editor may suggest where the experiment's model is this one: its players, and its options.

    It forbids nothing: another option, or an objective's `with`, may change what the model has.
    """
    definition = catalogue.models[name]
    pattern = {"type": "string", "pattern": pattern_of(catalogue.models, name)}
    built = example(definition)
    suggested: Schema = {player: refer("terms") for player in (built.players() if built is not None else {})}
    options = {
        f"model.{option}": {"description": said}
        for option, said in explanations(definition.doc, "Options").items()
        if option in definition.options
    }
    suggested["with"] = {"properties": options}
    named = {"type": "object", "properties": {"name": pattern}, "required": ["name"]}
    return {
        "if": {"properties": {"model": {"anyOf": [pattern, named]}}, "required": ["model"]},
        "then": {
            "properties": {
                "objectives": {"additionalProperties": {"properties": suggested}},
                "sweep": {"properties": options},
            }
        },
    }


def _section(model: type[Frozen], written: Mapping[str, Schema] | None = None) -> Schema:
    """The mapping whose keys are a model's fields; `written` are those that YAML says in other words."""
    generated = without_titles(model.model_json_schema(by_alias=True))
    explained = explanations(inspect.getdoc(model) or "", "Attributes")
    properties = {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        schema = dict((written or {}).get(key, generated["properties"][key]))
        schema["description"] = explained.get(name, "")
        if isinstance(field.default, str | int | float):
            schema["default"] = field.default
        properties[key] = schema
    return mapping(properties, generated.get("required", []), _summary(model))


def _summary(model: type[Frozen]) -> str:
    return (inspect.getdoc(model) or "").split("\n", 1)[0]


def _value(annotation: Any) -> Schema:
    schema: Schema = without_titles(TypeAdapter(annotation).json_schema())
    return schema


def _seeds() -> Schema:
    return {
        "type": ["integer", "array"],
        "minimum": 1,
        "maximum": MAX_SEEDS,
        "items": {"type": "integer", "minimum": 0, "maximum": SEED_LIMIT - 1},
        "minItems": 1,
        "maxItems": MAX_SEEDS,
        "uniqueItems": True,
    }


def _devices() -> Schema:
    device = {"type": "string", "pattern": r"^(auto|cpu|cuda|mps)(:\d+)?$"}
    return {"if": {"type": "array"}, "then": {"items": device, "minItems": 1}, "else": device}
