"""Sweeps: which objectives they make, what those are called, and what is said about a wrong one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from genloss.errors import ExperimentError, Location
from genloss.experiment.nodes import Node, from_python
from genloss.experiment.overrides import set_value
from genloss.experiment.schema import Objective, PointName
from genloss.experiment.source import from_file
from genloss.experiment.sweep import at_point, expand, labels, read_sweep, text_of
from genloss.experiment.yaml_reader import parse
from genloss.planning.plan import Plan, plan, runs

Planned = Callable[..., Plan]
Refused = Callable[..., str]

WEIGHT, SCALE = "objectives.second.critic.pull.weight", "objectives.second.actor.push.scale"


def swept(*lines: str) -> tuple[str, str]:
    """The text replacement that gives the valid experiment a sweep; its first line is the file's 17th."""
    return "seeds: [3, 1]", "\n".join(["sweep:", *(f"  {line}" for line in lines), "seeds: [3, 1]"])


def by_name(planned: Plan) -> Mapping[str, Objective]:
    return {objective.name: objective for objective in planned.experiment.objectives}


def test_a_path_into_an_objective_applies_to_it_alone(planned: Planned) -> None:
    points = by_name(planned(swept(f"{WEIGHT}: [0.5, 1, 4]")))
    assert list(points) == ["first", "second,weight=0.5", "second,weight=1", "second,weight=4"]
    assert [point.players["critic"][1].weight for name, point in points.items() if name != "first"] == [
        0.5,
        1.0,
        4.0,
    ]
    first, half, *_ = points.values()
    assert (first.base, first.point) == ("", {})
    assert (half.base, half.point) == ("second", {WEIGHT: 0.5})
    assert half.sets == {"training.players.critic.updates_per_step": 2}
    assert half.players["critic"][1].every == 3  # what is not swept stays


def test_model_and_training_apply_to_every_objective(planned: Planned) -> None:
    points = by_name(planned(swept("training.optimizer.lr: [1e-4, 1e-3]", "model.width: [2]")))
    assert list(points) == [
        "first,lr=1e-4,width=2",
        "first,lr=1e-3,width=2",
        "second,lr=1e-4,width=2",
        "second,lr=1e-3,width=2",
    ]
    for point in points.values():
        optimizer = point.training.optimizer
        assert optimizer.options["lr"] == point.point["training.optimizer.lr"]
        assert optimizer.options["betas"] == [0, 0.9]
        assert point.model.options["width"] == 2


def test_the_first_key_changes_slowest(planned: Planned) -> None:
    points = by_name(planned(swept(f"{WEIGHT}: [1, 2]", "training.steps: [5, 6]"), objectives=["second"]))
    assert list(points) == [
        "second,weight=1,steps=5",
        "second,weight=1,steps=6",
        "second,weight=2,steps=5",
        "second,weight=2,steps=6",
    ]


def test_a_sweep_wins_over_with(planned: Planned) -> None:
    path = "training.players.critic.updates_per_step"
    points = by_name(planned(swept(f"{path}: [1, 3]")))
    assert [point.training.players["critic"].updates_per_step for point in points.values()] == [1, 3, 1, 3]


def test_a_value_of_with_is_swept_for_its_objective_alone(planned: Planned) -> None:
    path = "objectives.second.with.training.players.critic.updates_per_step"
    points = by_name(planned(swept(f"{path}: [1, 3]")))
    assert list(points) == ["first", "second,updates_per_step=1", "second,updates_per_step=3"]
    assert [point.training.players["critic"].updates_per_step for point in list(points.values())[1:]] == [
        1,
        3,
    ]
    new = by_name(planned(swept("objectives.first.with.training.batch_size: [4, 8]")))
    assert [point.training.batch_size for point in new.values()] == [4, 8, 8]


def test_several_values_together(planned: Planned) -> None:
    path = "objectives.second.with"
    points = by_name(
        planned(swept(f"{path}: [{{model.width: 2, training.steps: 5}}, {{training.steps: 6}}]"))
    )
    assert list(points) == [
        "first",
        "second,with=model.width-2-training.steps-5",
        "second,with=training.steps-6",
    ]
    _, both, one = points.values()
    assert (both.training.steps, both.model.options["width"]) == (5, 2)
    assert (one.training.steps, one.model.options["width"]) == (6, 4)
    assert both.sets == {"model.width": 2, "training.steps": 5}


def test_a_value_that_is_no_number(planned: Planned) -> None:
    points = by_name(
        planned(
            swept(
                "training.optimizer: [{name: sgd, lr: 0.1}, adam]",
                "objectives.first.critic: [push, [push, {pull: {weight: 2}}]]",
                "objectives.first.actor.pull.weight: [{linear: {from: 0, to: 1, steps: 5}}]",
            ),
            objectives=["first"],
        )
    )
    assert list(points) == [
        "first,optimizer=sgd-lr-0.1,critic=push,weight=linear-from-0-to-1-steps-5",
        "first,optimizer=sgd-lr-0.1,critic=push-pull-weight-2,weight=linear-from-0-to-1-steps-5",
        "first,optimizer=adam,critic=push,weight=linear-from-0-to-1-steps-5",
        "first,optimizer=adam,critic=push-pull-weight-2,weight=linear-from-0-to-1-steps-5",
    ]
    second = list(points.values())[1]
    assert [term.name for term in second.players["critic"]] == ["push", "pull"]
    assert (second.training.optimizer.name, second.training.optimizer.options["lr"]) == ("sgd", 0.1)


def test_nothing_swept_is_no_sweep(planned: Planned) -> None:
    usual = planned().experiment.objectives
    for text in ("sweep:", "sweep: {}"):
        assert planned(("seeds: [3, 1]", f"{text}\nseeds: [3, 1]")).experiment.objectives == usual


def test_a_base_may_be_the_baseline_or_chosen_and_so_may_a_point(planned: Planned) -> None:
    sweep = swept(f"{WEIGHT}: [0.5, 4]")

    def baseline(name: str) -> str:
        return planned(sweep, ("name: toys", f"name: toys\nbaseline: {name}")).experiment.baseline

    assert baseline("first") == "first"
    assert baseline("second") == "second,weight=0.5"
    assert baseline("second,weight=4") == "second,weight=4"
    assert list(by_name(planned(sweep, objectives=["second"]))) == ["second,weight=0.5", "second,weight=4"]
    one = planned(sweep, objectives=["second,weight=4"]).experiment
    assert ([objective.name for objective in one.objectives], one.baseline) == (["second,weight=4"],) * 1 + (
        "second,weight=4",
    )
    both = planned(sweep, objectives=["second,weight=4", "first"]).experiment
    assert both.baseline == "first"
    assert planned(swept("training.steps: [5, 6]")).experiment.baseline == "first,steps=5"


def test_runs_have_all_seeds_and_the_line_that_trains_a_point_alone(planned: Planned, toys: Path) -> None:
    sweep = swept(f"{WEIGHT}: [0.5, 4]", "training.steps: [5]")
    first = planned(sweep, overrides=["sweep.training.steps=[7]"])
    todo = runs(first, "toys-1")
    assert [run.name for run in todo[:3]] == [
        "first,steps=7-3",
        "second,weight=0.5,steps=7-3",
        "second,weight=4,steps=7-3",
    ]
    assert [run.seed for run in todo] == [3, 3, 3, 1, 1, 1]
    run = todo[5]
    assert run.reproduce == (
        "genloss run toys.yaml --objective second,weight=4,steps=7 --set 'seeds=[1]' "
        f"--set threads={first.devices[0].threads} --set 'sweep.training.steps=[7]' "
        f"--plugin {shlex.quote(str(toys))}"
    )
    again = plan(
        "toys.yaml",
        objectives=["second,weight=4,steps=7"],
        overrides=["seeds=[1]", "sweep.training.steps=[7]"],
        plugins=[toys],
    )
    (same,) = runs(again, "toys-1")
    assert same.objective == run.objective
    assert type(run).model_validate_json(run.model_dump_json(by_alias=True)) == run
    parameters = run.parameters()
    assert parameters["objective"] == "second,weight=4,steps=7"
    assert (parameters["critic.pull.weight"], parameters["training.steps"]) == ("4.0", "7")


def test_a_mapping_s_points_have_the_names_that_its_file_gives(planned: Planned, toys: Path) -> None:
    planned()
    mapping = from_file("toys.yaml").root.plain
    mapping["sweep"] = {"training.optimizer.lr": [1e-5, 1, 0.5], "model.width": (2,)}
    names = list(by_name(plan(mapping, plugins=[toys])))
    assert names[:3] == ["first,lr=1e-05,width=2", "first,lr=1,width=2", "first,lr=0.5,width=2"]
    Path("saved.yaml").write_text(json.dumps(mapping))
    assert list(by_name(plan("saved.yaml", plugins=[toys]))) == names


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("sweep.training.optimizer.lr=[1e-3]", {"training.optimizer.lr": [1e-3], WEIGHT: [1, 2]}),
        (f"sweep.{WEIGHT}=[3]", {WEIGHT: [3]}),
        (f"sweep.{WEIGHT}.1=3", {WEIGHT: [1, 3]}),
        (f"sweep.{WEIGHT}.linear.to=[3]", {WEIGHT: [1, 2], f"{WEIGHT}.linear.to": [3]}),
        ("sweep=", None),
        ("sweep={}", {}),
    ],
)
def test_set_reaches_into_a_sweep(override: str, expected: object) -> None:
    root = parse(f"sweep: {{{WEIGHT}: [1, 2]}}", lambda line, column: Location("f", line, column))
    assert set_value(root, override).plain["sweep"] == expected


def test_set_makes_a_sweep(planned: Planned) -> None:
    overrides = ["sweep.training.optimizer.lr=[1e-3, 2e-3]", "sweep.model.width=[2]"]
    assert list(by_name(planned(overrides=overrides)))[:2] == [
        "first,lr=1e-3,width=2",
        "first,lr=2e-3,width=2",
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        # the sweep
        (
            ["[1]"],
            "`sweep`: expected a mapping of paths to lists of values, got `[1]`\n  --> toys.yaml:17:3\n"
            "hint: as in `sweep: {training.optimizer.lr: [1e-4, 1e-3]}`",
        ),
        (["training.steps: 5"], "`sweep.training.steps`: expected a list, got `5`\n  --> toys.yaml:17:19\n"),
        (
            ["training.steps: []"],
            "`sweep.training.steps`: expected at least one value, got `[]`\n  --> toys.yaml:17:19\n",
        ),
        (
            ["training: {steps: [5]}"],
            "expected a list of the values of `training`, got a mapping\n  --> toys.yaml:17:13\n"
            "hint: write the whole path, with dots",
        ),
        # paths
        (
            ["data.size: [64, 32]"],
            "`sweep` varies `objectives.…`, `model.…` and `training.…`, not `data.size`\n"
            "  --> toys.yaml:17:3\n"
            "hint: objectives are compared on the same data, seeds, devices and evaluation",
        ),
        (["seeds: [1, 2]"], "`sweep` varies `objectives.…`, `model.…` and `training.…`, not `seeds`\n"),
        (
            ["trainin.steps: [5]"],
            "`sweep` varies `objectives.…`, `model.…` and `training.…`, not `trainin.steps`\n"
            "  --> toys.yaml:17:3\nhint: did you mean `training`?",
        ),
        (
            ["objectives.secnd.critic.pull.weight: [1]"],
            "there is no objective `secnd`\n  --> toys.yaml:17:3\nhint: did you mean `second`?",
        ),
        (["objectives: [1]"], "there is no objective ``\n  --> toys.yaml:17:3\nhint: known here: `first`"),
        (["objectives.second: [1]"], "`objectives.second` is a whole objective, not a value of one\n"),
        (
            ["objectives.second.critc.pull.weight: [1]"],
            "there is no player `critc` in objective `second`\n"
            "  --> toys.yaml:17:3\nhint: did you mean `critic`?",
        ),
        (
            ["objectives.second.critic.pul.weight: [1]"],
            "there is no `pul` in `objectives.second.critic`\n"
            "  --> toys.yaml:17:3\nhint: did you mean `pull`",
        ),
        (
            ["objectives.second.critic.pull.wieght: [1]"],
            "loss `pull` has no option `wieght`\n  --> toys.yaml:17:3\nhint: did you mean `weight`?",
        ),
        (
            ["training.optimzer.lr: [1]"],
            "unknown key `optimzer` in `training`\n  --> toys.yaml:17:3\nhint: did you mean `optimizer`?",
        ),
        (
            ["model.widht: [1]"],
            "model `toy_gan` has no option `widht`\n  --> toys.yaml:17:3\nhint: did you mean `width`?",
        ),
        (["model.: [1]"], "model `toy_gan` has no option ``\n  --> toys.yaml:17:3\n"),
        # values
        (
            [f"{WEIGHT}: [1, two]"],
            "`objectives.second.critic.pull.weight`: expected a number, got `two`\n  --> toys.yaml:17:45\n",
        ),
        (
            ["training.steps: [5, 6, 0]"],
            "`training.steps`: expected a number > 0, got `0`\n  --> toys.yaml:17:26\n",
        ),
        (
            [f"{SCALE}: [1, -1]"],
            "option `scale` of loss `push`: expected float ≥ 0, got -1\n  --> toys.yaml:17:43\n",
        ),
        (
            ["model.width: [1, 0]"],
            "option `width` of model `toy_gan`: expected int > 0, got 0\n  --> toys.yaml:17:20\n",
        ),
        (
            ["model.width: [1, 13]"],
            "model `toy_gan` cannot be built for this data: thirteen brings bad luck\n",
        ),
        (
            ["training.batch_size: [8, 65]"],
            "a batch has 65 examples, and the training set only 64\n  --> toys.yaml:17:28\n",
        ),
        (
            ["training.optimizer.lr: [1, -1]"],
            "torch refuses the optimizer `adam`: Invalid learning rate: -1.0\n  --> toys.yaml:17:30\n",
        ),
        (
            ["objectives.first.critic: [push, slope, match]"],
            "loss `match` needs the option `table`\n  --> toys.yaml:17:42\n",
        ),
        (
            ["objectives.first.actor: [push, slope]"],
            "loss `slope` needs the quantity `gradient`, which model `toy_gan` does not offer to `actor`\n"
            "  --> toys.yaml:17:34\n",
        ),
        # points
        (
            ["training.optimizer.lr: [1, 2, 1]"],
            "`1` for `training.optimizer.lr` makes the same point of `first` as `1`\n  --> toys.yaml:17:33\n"
            "hint: delete one of the two",
        ),
        (
            [f"{WEIGHT}: [1, 1.0]"],
            f"`1.0` for `{WEIGHT}` makes the same point of `second` as `1`\n  --> toys.yaml:17:45\n",
        ),
        (
            ["training.steps: [5, 6]", "objectives.second.with.training.steps: [7, 8]"],
            "`8` for `objectives.second.with.training.steps` makes the same point of `second` as `7`\n"
            "  --> toys.yaml:18:46\n",
        ),
        (
            [f"training.steps: {list(range(1, 26))}", f"training.batch_size: {list(range(1, 22))}"],
            "with this sweep the experiment has 2100 runs, more than 1000\n  --> toys.yaml:16:1\n"
            "hint: take fewer values, or fewer seeds",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(refused: Refused, lines: list[str], message: str) -> None:
    said = refused(swept(*lines))
    assert said[: len(message)] == message


def test_a_mistake_in_an_override_names_it(refused: Refused) -> None:
    override = "sweep.training.steps=[5, 0]"
    assert refused(overrides=[override]).startswith(
        f"`training.steps`: expected a number > 0, got `0`\n  --> --set {override}\n"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"objectives": ["second,weight=5"]}, "there is no objective `second,weight=5` in `toys.yaml`\n"),
        ({"objectives": ["secnd"]}, "there is no objective `secnd` in `toys.yaml`\n"),
    ],
)
def test_a_point_that_is_not_there(refused: Refused, given: dict[str, Any], message: str) -> None:
    said = refused(swept(f"{WEIGHT}: [0.5, 4]"), **given)
    assert said.startswith(message)
    assert "did you mean `second" in said


def test_a_baseline_that_is_not_there(refused: Refused) -> None:
    sweep = swept(f"{WEIGHT}: [0.5, 4]")
    said = refused(sweep, ("name: toys", "name: toys\nbaseline: second,weight=5"))
    assert said.startswith(
        "there is no objective `second,weight=5` to be the baseline\n  --> toys.yaml:2:11\n"
    )
    assert "did you mean `second,weight=" in said
    assert refused(sweep, ("name: toys", 'name: toys\nbaseline: ""')).startswith("there is no objective ``")


def test_paths_get_the_shortest_ends_that_tell_them_apart() -> None:
    paths = [
        "objectives.a.g.kl.weight",
        "objectives.a.g.nll.weight",
        "model.latent_dim",
        "training.optimizer",
    ]
    assert list(labels(paths).values()) == ["kl.weight", "nll.weight", "latent_dim", "optimizer"]
    assert list(labels(["model.x", "objectives.a.with.model.x"]).values()) == ["model.x", "with.model.x"]
    assert labels(["training.optimizer.lr"]) == {"training.optimizer.lr": "lr"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1e-3", "1e-3"),
        ("2.0e-4", "2.0e-4"),
        ("-0.5", "-0.5"),
        ("+1", "+1"),
        ("0x1F", "0x1F"),
        ("true", "true"),
        ("True", "true"),
        ("null", "null"),
        ("adam", "adam"),
        ("'1e-3'", "1e-3"),
        ("[128, 64]", "128-64"),
        ("{name: adam, betas: [0, 0.9]}", "adam-betas-0-0.9"),
        ("a/../b", "a-..-b"),
        ("'$(rm -rf x); `x` \"y\" & *'", "rm--rf-x-x-y"),
        ("a,b=c", "a-b-c"),
        ("''", "12ae32cb"),
        ("'∂'", "6be2e911"),
        ("x" * 33, "x" * 23 + "-997d53cf"),
    ],
)
def test_values_stand_in_names_as_they_were_written(value: str, text: str) -> None:
    node = parse(value, lambda line, column: Location("f", line, column))
    assert text_of(node) == text


def test_names_are_safe_whatever_the_values(planned: Planned) -> None:
    """In folders, in MLflow's params and in a shell; and each has another one, whatever the file system."""
    values = [
        '"a/b"',
        '"a b"',
        '"a;b"',
        '"A;B"',
        '"~"',
        '"' + "x" * 300 + '"',
        '"' + "x" * 301 + '"',
        "[]",
        "{}",
    ]
    planned()
    root = set_value(from_file("toys.yaml").root, f"sweep.model.kind=[{', '.join(values)}]")
    for number in range(9):
        root = set_value(root, f"sweep.model.some_quite_long_option_{number}=[{'1' * 30}]")
    names = [each.objective.name for each in expand(root, read_sweep(root.at("sweep"), "sweep"), seeds=1)]
    assert len({name.casefold() for name in names}) == 2 * len(values)
    for name in names:
        assert TypeAdapter(PointName).validate_python(name) == name
        assert shlex.quote(name) == name or set(name) <= set(shlex.quote(name)) - {"'"}
        assert len(name) <= 90


def test_a_point_can_be_read_alone() -> None:
    """As a search does, which takes its values from elsewhere."""
    root = from_python(
        {
            "model": "gan",
            "objectives": {"beta": {"network": "kl", "with": {"training.steps": 5}}},
            "training": {"steps": 3, "optimizer": {"name": "adam", "lr": 1e-3}},
        }
    )
    where = Location("trial 7")
    values = {"objectives.beta.network.kl.weight": 0.25, "training.steps": 9, "model.latent_dim": 4}
    point = {path: Node(value, where, where) for path, value in values.items()}
    drafted = at_point(root, "beta", point)
    objective = drafted.objective
    assert (objective.name, objective.base) == ("beta,weight=0.25,steps=9,latent_dim=4", "beta")
    assert (objective.point, objective.sets) == (values, {"training.steps": 5})
    assert (objective.training.steps, objective.model.options) == (9, {"latent_dim": 4})
    assert objective.players["network"][0].weight == 0.25
    assert drafted.training.at("steps").where == where
    assert at_point(root, "beta", point, "beta,trial=7").objective.name == "beta,trial=7"
    with pytest.raises(ExperimentError) as caught:
        at_point(root, "beta", {"training.steps": Node(0, where, where)})
    assert caught.value.where == where
