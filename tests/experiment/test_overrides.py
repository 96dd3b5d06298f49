from __future__ import annotations

from typing import Any

import pytest

from genloss.errors import ExperimentError, Location
from genloss.experiment.nodes import Node
from genloss.experiment.overrides import lay_over, set_value
from genloss.experiment.yaml_reader import parse

ROOT = """\
data: digits
model: {name: gan, width: 4}
objectives:
  v1.0:
    critic: [hinge, {penalty: {as: p.1, weight: 10}}, {core:push: }]
    actor: pull
    with: {training.steps: 5}
  plain:
    critic: {penalty: {as: soft}}
    actor:
training: {steps: 3, optimizer: adam}
seeds: [0, 1]
evaluation: {metrics: [spread, {coverage: {k: 3}}]}
"""


def place(line: int, column: int) -> Location:
    return Location("f", line + 1, column + 1)


def root() -> Node:
    return parse(ROOT, place)


def after(*overrides: str) -> Any:
    node = root()
    for override in overrides:
        node = set_value(node, override)
    return node.plain


def refusal(override: str) -> ExperimentError:
    with pytest.raises(ExperimentError) as caught:
        set_value(root(), override)
    return caught.value


@pytest.mark.parametrize(
    ("override", "path", "expected"),
    [
        ("training.steps=50", ("training", "steps"), 50),
        (" training.steps = 50", ("training", "steps"), 50),
        ("training.steps=1e1", ("training", "steps"), 10.0),
        ("training={steps: 7}", ("training",), {"steps": 7}),
        ("seeds=[3]", ("seeds",), [3]),
        ("seeds.1=5", ("seeds",), [0, 5]),
        ("description=a=b # c", ("description",), "a=b"),
        ("workers=", ("workers",), None),
        ("evaluation.every=5", ("evaluation", "every"), 5),
        ("tracking.uri=file:x", ("tracking",), {"uri": "file:x"}),
        ("data.size=3", ("data",), {"name": "digits", "size": 3}),
        ("training.optimizer.lr=0.1", ("training", "optimizer"), {"name": "adam", "lr": 0.1}),
        ("training.steps.x=1", ("training", "steps"), {"x": 1}),
        ("evaluation.metrics.spread.k=5", ("evaluation", "metrics", 0), {"spread": {"k": 5}}),
        ("evaluation.metrics.coverage.k=5", ("evaluation", "metrics", 1), {"coverage": {"k": 5}}),
        ("objectives.v1.0.actor.pull.weight=2", ("objectives", "v1.0", "actor"), {"pull": {"weight": 2}}),
        ("objectives.v1.0.actor=[pull, push]", ("objectives", "v1.0", "actor"), ["pull", "push"]),
        (
            "objectives.v1.0.critic.hinge.every=2",
            ("objectives", "v1.0", "critic", 0),
            {"hinge": {"every": 2}},
        ),
        (
            "objectives.v1.0.critic.p.1.weight=2",
            ("objectives", "v1.0", "critic", 1),
            {"penalty": {"as": "p.1", "weight": 2}},
        ),
        (
            "objectives.v1.0.critic.push.scale=2",
            ("objectives", "v1.0", "critic", 2),
            {"core:push": {"scale": 2}},
        ),
        (
            "objectives.v1.0.critic.push={scale: 2}",
            ("objectives", "v1.0", "critic", 2),
            {"core:push": {"scale": 2}},
        ),
        ("objectives.v1.0.critic.0=push", ("objectives", "v1.0", "critic", 0), "push"),
        (
            "objectives.plain.critic.soft.bind.x=z",
            ("objectives", "plain", "critic"),
            {"penalty": {"as": "soft", "bind": {"x": "z"}}},
        ),
        ("objectives.plain.actor=pull", ("objectives", "plain", "actor"), "pull"),
        ("objectives.v1.0.with.training.steps=6", ("objectives", "v1.0", "with"), {"training.steps": 6}),
        ("objectives.plain.with.model.width=6", ("objectives", "plain", "with"), {"model": {"width": 6}}),
        ("objectives.new={actor: pull}", ("objectives", "new"), {"actor": "pull"}),
    ],
)
def test_set_replaces_one_value(override: str, path: tuple[str | int, ...], expected: object) -> None:
    changed = set_value(root(), override)
    read = changed.at(*path).plain
    assert read == expected
    assert type(read) is type(expected)


def test_nothing_else_changes() -> None:
    before, changed = root().plain, after("objectives.v1.0.critic.hinge.weight=3")
    assert changed["objectives"]["v1.0"].pop("critic")[1:] == before["objectives"]["v1.0"].pop("critic")[1:]
    assert changed == before


def test_later_ones_win() -> None:
    assert after("training.steps=1", "training.steps=2")["training"]["steps"] == 2


def test_what_is_set_is_named_as_its_own_place() -> None:
    node = set_value(root(), "training.optimizer.lr=[1, {x: 2}]")
    where = Location("--set training.optimizer.lr=[1, {x: 2}]")
    assert node.at("training", "optimizer", "lr", 1, "x").where == where
    assert node.at("training", "optimizer", "lr").label == where
    assert node.at("training", "optimizer", "name").where == place(10, 32)
    assert node.at("training", "steps").where == place(10, 18)
    term = set_value(root(), "objectives.v1.0.actor.pull.weight=2").at("objectives", "v1.0", "actor")
    assert term.where == place(5, 11)
    assert term.at("pull").label == place(5, 11)
    assert term.at("pull", "weight").where == Location("--set objectives.v1.0.actor.pull.weight=2")


@pytest.mark.parametrize(
    ("override", "message", "hint"),
    [
        (
            "training.steps",
            "expected `key.path=VALUE`, got `training.steps`",
            "as in `--set training.steps=50`",
        ),
        ("=5", "expected `key.path=VALUE`, got `=5`", "as in `--set training.steps=50`"),
        ("a..b=5", "expected `key.path=VALUE`, got `a..b=5`", "as in `--set training.steps=50`"),
        (
            "a=[",
            "this is not valid YAML: expected the node content, but found '<stream end>'",
            "the mistake may stand in the line before",
        ),
        ("a=!!python/name:x", "the tag `!!python/name:x` is not read here", None),
        ("a=1\n---\n2", "a second document begins here", None),
        ("a={b: 1, b: 2}", "the key `b` is given twice", "keep one of them"),
        (f"a={'[' * 60}", "the nesting is deeper than 50 levels", None),
        (f"{'a.' * 3000}b=1", "the nesting is deeper than 50 levels", None),
        ("objectives.v2.actor=pull", "there is no objective `v2`", "known here: `plain`, `v1.0`"),
        (
            "objectives.plain.actr.pull.weight=2",
            "there is no player `actr` in objective `plain`",
            "did you mean `actor`?",
        ),
        (
            "objectives.v1.0.critic.hing.weight=2",
            "there is no `hing` in `objectives.v1.0.critic`",
            "did you mean `hinge`?",
        ),
        (
            "objectives.v1.0.critic.penalty.weight=2",
            "there is no `penalty` in `objectives.v1.0.critic`",
            "known here: `hinge`, `p.1`, `push`",
        ),
        ("seeds.2=5", "there is no `2` in `seeds`", None),
    ],
)
def test_what_leads_nowhere_is_refused(override: str, message: str, hint: str | None) -> None:
    error = refusal(override)
    assert error.message == message
    assert hint is None or error.hint == hint
    assert str(error.where).startswith("--set ")


def base() -> dict[str, Node]:
    text = (
        "model: {name: gan, hidden: [1]}\ntraining: {steps: 3, optimizer: {name: adam, lr: 1, betas: [0, 1]}}"
    )
    return dict(parse(text, place).items)


@pytest.mark.parametrize(
    ("overlay", "model", "training"),
    [
        ("{training.steps: 5}", {}, {"steps": 5}),
        ("{training: {steps: 5}}", {}, {"steps": 5}),
        (
            "{training.players.d.updates: 5, training.players: {d.clip: 1, g: {clip: 2}}}",
            {},
            {"players": {"d": {"updates": 5, "clip": 1}, "g": {"clip": 2}}},
        ),
        ("{training.optimizer.lr: 2}", {}, {"optimizer": {"name": "adam", "lr": 2, "betas": [0, 1]}}),
        ("{training: {optimizer: {lr: 2}}}", {}, {"optimizer": {"name": "adam", "lr": 2, "betas": [0, 1]}}),
        ("{training.optimizer: {name: sgd}}", {}, {"optimizer": {"name": "sgd"}}),
        ("{training.optimizer: sgd}", {}, {"optimizer": "sgd"}),
        ("{model: {hidden: [2, 3]}, training.steps: 1}", {"hidden": [2, 3]}, {"steps": 1}),
        ("{model.name: vae}", {"name": "vae"}, {}),
        ("{}", {}, {}),
        ("{training: {}, model: {}}", {}, {}),
    ],
)
def test_with_is_laid_over_model_and_training(
    overlay: str, model: dict[str, Any], training: dict[str, Any]
) -> None:
    before = base()
    laid = lay_over(before, parse(overlay, place))
    assert laid["model"].plain == before["model"].plain | model
    assert laid["training"].plain == before["training"].plain | training
    assert before["training"].plain == base()["training"].plain


def test_a_model_by_name_alone_can_be_overlaid() -> None:
    laid = lay_over(dict(parse("model: gan\ntraining: {}", place).items), parse("model.width: 3", place))
    assert laid["model"].plain == {"name": "gan", "width": 3}
    laid = lay_over(base(), parse("model: vae", place))
    assert laid["model"].plain == "vae"


def test_what_is_overlaid_keeps_its_place() -> None:
    laid = lay_over(base(), parse("training.steps: 5\ntraining.x: {y: 1}\n", place))
    assert laid["training"].at("steps").where == place(0, 16)
    assert laid["training"].at("x").label == place(1, 0)
    assert laid["training"].at("x", "y").where == place(1, 16)
    assert laid["training"].at("optimizer").where == place(1, 32)


@pytest.mark.parametrize("overlay", ["{seeds: 3}", "{trainin.steps: 3}", "{training.steps: 1, data.size: 2}"])
def test_with_sets_nothing_else(overlay: str) -> None:
    with pytest.raises(ExperimentError, match=r"`with` sets `model.…` and `training.…` for this") as caught:
        lay_over(base(), parse(overlay, place))
    assert caught.value.hint
    assert caught.value.where in (place(0, 1), place(0, 20))


def test_nested_dotted_paths_are_bounded() -> None:
    key = ".".join("a" * 40)
    deep = f"{{training.{key}: {{{key}: {{{key}: 1}}}}}}"
    with pytest.raises(ExperimentError, match="deeper than 50 levels"):
        lay_over(base(), parse(deep, place))
