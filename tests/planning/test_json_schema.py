"""The JSON schema: it accepts what the plan accepts, and refuses the usual mistakes at their places.

Each experiment that the other tests of this folder plan is held against it as well; see conftest.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

import genloss
from genloss.experiment.source import from_file
from genloss.planning.json_schema import experiment_schema
from genloss.planning.plan import Plan
from tests.planning.conftest import VALID

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "experiments" / "README.md"]


@pytest.fixture(scope="module")
def builtin() -> Draft202012Validator:
    """The schema of what is installed."""
    schema = experiment_schema(genloss.catalogue())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def content(path: Path, text: str) -> Any:
    """An experiment as the schema sees it."""
    path.write_text(text)
    return from_file(path).root.plain


def causes(error: ValidationError) -> Iterator[ValidationError]:
    """The error, or those that it is made of."""
    if not error.context:
        yield error
    for inner in error.context or ():
        yield from causes(inner)


def places(schema: Draft202012Validator, value: Any) -> set[str]:
    """Where the schema finds mistakes."""
    return {cause.json_path for error in schema.iter_errors(value) for cause in causes(error)}


@pytest.mark.parametrize("path", sorted(ROOT.glob("experiments/*.yaml")), ids=lambda path: path.stem)
def test_it_accepts_every_experiment_here(builtin: Draft202012Validator, path: Path) -> None:
    assert not places(builtin, from_file(path).root.plain)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.parent.name)
def test_it_accepts_the_examples_of_the_documents(
    builtin: Draft202012Validator, document: Path, tmp_path: Path
) -> None:
    examples = re.findall(r"^```yaml\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        assert not places(builtin, content(tmp_path / "example.yaml", example))


MISTAKES = [
    # keys
    ("name: toys", "nam: toys", "$"),
    ("seeds: [3, 1]\n", "", "$"),
    ("  steps: 10\n", "", "$.training"),
    ("name: toys", "name: two words", "$.name"),
    # a sweep
    ("seeds: [3, 1]", "seeds: [3, 1]\nsweep: {data.size: [8]}", "$.sweep"),
    ("seeds: [3, 1]", "seeds: [3, 1]\nsweep: {training.stps: [8]}", "$.sweep"),
    ("seeds: [3, 1]", "seeds: [3, 1]\nsweep: {objectives.first: [push]}", "$.sweep"),
    ("seeds: [3, 1]", "seeds: [3, 1]\nsweep: {training.steps: 8}", "$.sweep['training.steps']"),
    ("seeds: [3, 1]", "seeds: [3, 1]\nsweep: {model.width: []}", "$.sweep['model.width']"),
    ("seeds: [3, 1]", "seeds: [3, 1]\nsweep: {training.steps: [8, 0]}", "$.sweep['training.steps'][1]"),
    # data and model
    ("{name: dots, size: 64}", "{name: dotz}", "$.data.name"),
    ("{name: dots, size: 64}", "dotz", "$.data"),
    ("{name: dots, size: 64}", "{size: 64}", "$.data"),
    ("{name: dots, size: 64}", "{name: dots, siz: 64}", "$.data"),
    ("{name: dots, size: 64}", "{name: dots, size: 0}", "$.data.size"),
    ("{name: dots, size: 64}", "{name: dots, labels: 1}", "$.data.labels"),
    ("{name: dots, size: 64}", "{name: stored}", "$.data"),
    ("{name: dots, size: 64}", "{name: stored, path: 3}", "$.data.path"),
    ("{name: toy_gan, width: 4}", "{name: toy_gan, width: wide}", "$.model.width"),
    ("{name: toy_gan, width: 4}", "{name: push}", "$.model.name"),
    ("{name: toy_gan, width: 4}", "{name: other:toy_gan}", "$.model.name"),
    # terms
    ("actor: pull", "actor: pul", "$.objectives.first.actor"),
    ("actor: pull", "actor: []", "$.objectives.first.actor"),
    ("actor: pull", "actor: [pull, 3]", "$.objectives.first.actor[1]"),
    ("actor: pull", "actor: {pull: {weight: 1}, push: {}}", "$.objectives.first.actor"),
    ("actor: pull", "actor: {}", "$.objectives.first.actor"),
    ("{scale: 0.5}", "{scal: 0.5}", "$.objectives.second.actor.push"),
    ("{scale: 0.5}", "{scale: -1}", "$.objectives.second.actor.push.scale"),
    ("{scale: 0.5}", "{form: sharp}", "$.objectives.second.actor.push.form"),
    ("{scale: 0.5}", "{form: {linear: {from: 0, to: 1, steps: 3}}}", "$.objectives.second.actor.push.form"),
    ("{scale: 0.5}", "{scale: {linear: {from: 0, to: 1}}}", "$.objectives.second.actor.push.scale.linear"),
    (
        "{scale: 0.5}",
        "{scale: {linear: {from: 0, to: 1, steps: 3}, cosine: {from: 0, to: 1, steps: 3}}}",
        "$.objectives.second.actor.push.scale",
    ),
    ("{scale: 0.5}", "{weight: much}", "$.objectives.second.actor.push.weight"),
    ("{scale: 0.5}", "{every: 0}", "$.objectives.second.actor.push.every"),
    ("{scale: 0.5}", "{as: total}", "$.objectives.second.actor.push.as"),
    ("{scale: 0.5}", "{bind: {logit: z}}", "$.objectives.second.actor.push.bind"),
    ("{scale: 0.5}", "{bind: {logits: null}}", "$.objectives.second.actor.push.bind.logits"),
    ("actor: {push: {scale: 0.5}}", "actor: {learned: {}}", "$.objectives.second.actor.learned"),
    # what an objective sets differently
    ("training.players.critic", "trainin.players.critic", "$.objectives.second.with"),
    ("{training.players.critic.updates_per_step: 2}", "{training.stepz: 2}", "$.objectives.second.with"),
    (
        "{training.players.critic.updates_per_step: 2}",
        "{training.steps: many}",
        "$.objectives.second.with['training.steps']",
    ),
    ("first:", '"a b":', "$.objectives"),
    # training
    ("batch_size: 8", "batch_size: 8.5", "$.training.batch_size"),
    ("batch_size: 8", "order: parallel", "$.training.order"),
    ("name: adam", "name: adamm", "$.training.optimizer.name"),
    ("lr: 1e-3", "rate: 1e-3", "$.training.optimizer"),
    ("betas: [0, 0.9]", "betas: [0.9]", "$.training.optimizer.betas"),
    ("batch_size: 8", "players: {critic: {updates: 2}}", "$.training.players.critic"),
    ("batch_size: 8", "players: {critic: {optimizer: {rate: 2}}}", "$.training.players.critic.optimizer"),
    # the rest
    ("seeds: [3, 1]", "seeds: [3, 3]", "$.seeds"),
    ("seeds: [3, 1]", "seeds: 0", "$.seeds"),
    ("seeds: [3, 1]", "seeds: [-1]", "$.seeds[0]"),
    ("devices: cpu", "devices: gpu", "$.devices"),
    ("devices: cpu", "on_failure: {retries: 2}", "$.on_failure"),
    ("devices: cpu", "workers: 0", "$.workers"),
    ("every: 5", "evry: 5", "$.evaluation"),
    ("[spread]", "[spraed]", "$.evaluation.metrics[0]"),
    ("[spread]", "spread", "$.evaluation.metrics"),
    ("[spread]", "[{spread: {power: 0}}]", "$.evaluation.metrics[0].spread.power"),
]


@pytest.mark.parametrize(("right", "wrong", "place"), MISTAKES, ids=[wrong for _, wrong, _ in MISTAKES])
def test_it_refuses_a_mistake_at_its_place_as_the_plan_does(
    toys_schema: Draft202012Validator,
    refused: Callable[..., str],
    tmp_path: Path,
    right: str,
    wrong: str,
    place: str,
) -> None:
    assert right in VALID
    assert place in places(toys_schema, content(tmp_path / "toys.yaml", VALID.replace(right, wrong, 1)))
    assert refused((right, wrong))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{name: dots, size: 64}", "dots"),
        ("{name: dots, size: 64}", "{name: toys.py:dots}"),
        ("name: toy_gan", 'name: "toys.py:toy_gan"'),
        ("actor: pull", 'actor: "toys.py:pull"'),
        ("actor: pull", 'actor: ["toys.py:pull", {"toys.py:push": {scale: 2, as: other}}]'),
        ("actor: pull", "actor: {pull: null}"),
        ("actor: pull", "actor: {pull: {bind: {logits: logits}}}"),
        ("{scale: 0.5}", "{bind: {hint: null}, form: hard}"),
        ("{scale: 0.5}", "{scale: {cyclical: {from: 0, to: 1, period: 3}}}"),
        ("{scale: 0.5}", "{weight: {cosine: {from: 1, to: 0, steps: 3}}}"),
        ("{training.players.critic.updates_per_step: 2}", "null"),
        ("{training.players.critic.updates_per_step: 2}", "{model.width: 8, training: {batch_size: 4}}"),
        ("{training.players.critic.updates_per_step: 2}", "{training: {optimizer.lr: 0.1}}"),
        ("{training.players.critic.updates_per_step: 2}", "{training.optimizer.lr: 0.1, model: toy_gan}"),
        ("{training.players.critic.updates_per_step: 2}", "{training.players: {actor: {optimizer: sgd}}}"),
        ("{training.players.critic.updates_per_step: 2}", "{training.players.actor.optimizer.lr: 0.1}"),
        ("batch_size: 8", "batch_size: 8\n  players: {actor: {optimizer: {lr: 0.1, betas: [0, 0.5]}}}"),
        ("optimizer: {name: adam, lr: 1e-3, betas: [0, 0.9]}", "optimizer: sgd"),
        ("seeds: [3, 1]", "seeds: 2"),
        ("devices: cpu", "devices: [cpu]\nworkers: null\non_failure: {retry: 2}\ntracking: {uri: null}"),
        ("evaluation: {every: 5, metrics: [spread]}", "evaluation: null"),
        ("[spread]", '["toys.py:spread"]'),
        ("[spread]", "[{spread: {power: 3}}]"),
    ],
)
def test_it_accepts_all_ways_to_say_it(planned: Callable[..., Plan], old: str, new: str) -> None:
    assert planned((old, new))


OPTIONS = """
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from annotated_types import Ge, Le, Len
import genloss
import torch

@dataclass
class Range:
    title: str
    low: float

@genloss.dataset
def odd(
    *,
    file: Path,
    level: Literal[1, 2, "all"] = "all",
    share: Annotated[float, Ge(0), Le(1)] = 0.5,
    widths: Annotated[tuple[int, ...], Len(1)] = (1,),
    pair: tuple[int, bool] = (1, True),
    limit: int | None = None,
    ranges: list[Range] = [],
) -> genloss.Data:
    '''An odd dataset.

    Options:
        file: one that
            is there.
        level, share: two in one.
    '''

@genloss.hookimpl
def genloss_datasets():
    yield odd
"""


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The schema with the odd dataset."""
    path = tmp_path_factory.mktemp("odd") / "odd.py"
    path.write_text(OPTIONS)
    return experiment_schema(genloss.catalogue(path))


class TestOptions:
    def test_their_types_bounds_defaults_and_descriptions(self, odd: dict[str, Any]) -> None:
        schema = odd["$defs"]["datasets.odd"]
        assert schema["description"] == "An odd dataset."
        assert schema["required"] == ["file"]
        assert schema["additionalProperties"] is False
        options = dict(schema["properties"])
        assert options.pop("name") is True
        assert options == {
            "file": {"type": "string", "format": "path", "description": "one that is there."},
            "level": {"enum": [1, 2, "all"], "default": "all", "description": "two in one."},
            "share": {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "default": 0.5,
                "description": "two in one.",
            },
            "widths": {
                "type": "array",
                "items": {"type": "integer"},
                "minItems": 1,
                "default": [1],
                "description": "list of int",
            },
            "pair": {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "boolean"}],
                "minItems": 2,
                "maxItems": 2,
                "default": [1, True],
                "description": "list of int",
            },
            "limit": {
                "anyOf": [{"type": "integer"}, {"type": "null"}],
                "default": None,
                "description": "int | null",
            },
            "ranges": {
                "type": "array",
                "items": {"$ref": "#/$defs/dataset.odd.ranges.Range"},
                "default": [],
                "description": options["ranges"]["description"],
            },
        }

    def test_a_type_of_its_own_is_found(self, odd: dict[str, Any]) -> None:
        validator = Draft202012Validator({"$ref": "#/$defs/datasets.odd", "$defs": odd["$defs"]})
        assert not places(validator, {"name": "odd", "file": "f", "ranges": [{"title": "a", "low": 0.5}]})
        assert places(validator, {"name": "odd", "file": "f", "ranges": [{"low": 0.5}]}) == {"$.ranges[0]"}


class TestDescriptions:
    def test_every_key_of_a_section_is_explained(self, builtin: Draft202012Validator) -> None:
        defs = builtin.schema["$defs"]
        sections = [
            builtin.schema,
            defs["training"],
            defs["evaluation"],
            defs["schedule"],
            defs["losses.mmd"],
        ]
        sections.append(defs["training"]["properties"]["players"]["additionalProperties"])
        sections.append(builtin.schema["properties"]["tracking"])
        for section in sections:
            assert section["description"]
            for key, schema in section["properties"].items():
                assert schema["description"], key

    def test_the_players_of_the_model_are_suggested(self, builtin: Draft202012Validator) -> None:
        (suggested,) = [
            case["then"]["properties"]["objectives"]["additionalProperties"]["properties"]
            for case in builtin.schema["allOf"]
            if Draft202012Validator(case["if"]).is_valid({"model": {"name": "genloss:gan"}})
        ]
        assert set(suggested) == {"discriminator", "generator", "with"}
        assert "model.latent_dim" in suggested["with"]["properties"]
