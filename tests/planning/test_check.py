from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

import genloss
from genloss.errors import DefinitionError, ExperimentError, Location
from genloss.experiment.nodes import Node
from genloss.experiment.schema import Choice, Ramp, Schedule
from genloss.planning.options import check_options
from genloss.planning.plan import Plan

from .conftest import VALID

Planned = Callable[..., Plan]
Refused = Callable[..., str]
OFFERED = "`dataset_size`, `logits`, `x`, `x_range`"


def test_the_valid_experiment_is_planned(planned: Planned) -> None:
    plan = planned()
    first, second = plan.experiment.objectives
    numbers = {"lr": 1e-3, "betas": [0.0, 0.9], "eps": 1e-8, "weight_decay": 0}
    assert first.training.optimizer == Choice(name="adam", options=numbers)
    assert second.training.players["critic"].updates_per_step == 2
    assert second.players["critic"][1].weight == 2.0
    assert plan.data.spec.size == 64
    assert [device.name for device in plan.devices] == ["cpu"]


def test_an_optimizer_of_a_player_without_a_name_is_that_of_all_with_arguments_of_its_own(
    planned: Planned,
) -> None:
    of_critic = "batch_size: 8\n  players: {critic: {optimizer: {lr: 0.1}}}"
    of_second = ("training.players.critic.updates_per_step: 2", "training.players.critic.optimizer.lr: 0.2")
    first, second = planned(("batch_size: 8", of_critic), of_second).experiment.objectives
    expected = first.training.optimizer.options
    for objective, lr in ((first, 0.1), (second, 0.2)):
        own = objective.training.players["critic"].optimizer
        assert own == Choice(name="adam", options=expected | {"lr": lr})
    alone = ("  optimizer: {name: adam, lr: 1e-3, betas: [0, 0.9]}\n", "")
    first, _ = planned(("batch_size: 8", of_critic), alone).experiment.objectives
    own = first.training.players["critic"].optimizer
    assert own is not None
    assert (own.name, own.options["lr"]) == ("adam", 0.1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "training.players.critic.updates_per_step: 2",
            "training.players.critic.optimizer.beta: 0.9",
            "the optimizer `adam` has no argument `beta`\n  --> toys.yaml:11:12\nhint: did you mean `betas`?",
        ),
        (
            "critic: push",
            "critic: {push: {bind: {logits: margin}}}",
            "`logits` is bound to the quantity `margin`, which model `toy_gan` does not offer to `critic`\n"
            "  --> toys.yaml:6:36\n"
            "hint: `margin` of `CriticTurn` is a property: make it a `functools.cached_property`",
        ),
        (
            "critic: push",
            "critic: {push: {bind: {logits: sharpness}}}",
            "`logits` is bound to the quantity `sharpness`, which model `toy_gan` does not offer to "
            "`critic`\n  --> toys.yaml:6:36\n"
            "hint: `sharpness` of `CriticTurn` is a method: make it a `functools.cached_property`",
        ),
        # names
        (
            "critic: push",
            "critic: puhs",
            "no plugin offers a loss named `puhs`\n  --> toys.yaml:6:13\n"
            "hint: did you mean `push`? `genloss list losses` shows all",
        ),
        (
            "actor: {push: {scale: 0.5}}",
            "actor: {plush: {scale: 0.5}}",
            "no plugin offers a loss named `plush`\n  --> toys.yaml:10:13\n"
            "hint: did you mean `push`? `genloss list losses` shows all",
        ),
        (
            "name: toy_gan",
            "name: toygan",
            "no plugin offers a model named `toygan`\n  --> toys.yaml:3:15\n"
            "hint: did you mean `toy_gan` or `toy_vae`? `genloss list models` shows all",
        ),
        (
            "{name: dots, size: 64}",
            "dotz",
            "no plugin offers a dataset named `dotz`\n  --> toys.yaml:2:7\n"
            "hint: did you mean `dots`? `genloss list datasets` shows all",
        ),
        (
            "[spread]",
            "[{spraed: {power: 1}}]",
            "no plugin offers a metric named `spraed`\n  --> toys.yaml:18:35\n"
            "hint: did you mean `spread`? `genloss list metrics` shows all",
        ),
        (
            "critic: push",
            "critic: future",
            "loss `future` cannot be used here: it needs torch 99\n  --> toys.yaml:6:13\n"
            "hint: `genloss list losses` shows what can",
        ),
        # options
        (
            "scale: 0.5",
            "scal: 0.5",
            "loss `push` has no option `scal`\n  --> toys.yaml:10:20\nhint: did you mean `scale`?",
        ),
        (
            "every: 3",
            "evry: 3",
            "loss `pull` has no option `evry`\n  --> toys.yaml:9:39\nhint: did you mean `every`?",
        ),
        (
            "scale: 0.5",
            "scale: -0.5",
            "option `scale` of loss `push`: expected float ≥ 0, got -0.5\n  --> toys.yaml:10:27\n"
            "hint: `genloss show push` tells what it means",
        ),
        (
            "scale: 0.5",
            "form: medium",
            'option `form` of loss `push`: expected "soft" | "hard", got "medium"\n  --> toys.yaml:10:26\n'
            "hint: `genloss show push` tells what it means",
        ),
        (
            "scale: 0.5",
            "scale: {linear: {from: 1, to: -1, steps: 5}}",
            "option `scale` of loss `push`: expected float ≥ 0, got -1.0\n  --> toys.yaml:10:50\n"
            "hint: `genloss show push` tells what it means",
        ),
        (
            "scale: 0.5",
            "scale: {linear: {from: 1, to: 2, step: 5}}",
            "unknown key `step` in `scale.linear`\n  --> toys.yaml:10:53\nhint: did you mean `steps`?",
        ),
        (
            "width: 4",
            "width: {linear: {from: 1, to: 2, steps: 5}}",
            "option `width` of model `toy_gan`: expected int > 0, got "
            '{"linear": {"from": 1, "to": 2, "steps": 5}}\n  --> toys.yaml:3:31\n'
            "hint: `genloss show toy_gan` tells what it means",
        ),
        (
            "width: 4",
            "width: wide",
            'option `width` of model `toy_gan`: expected int > 0, got "wide"\n  --> toys.yaml:3:31\n'
            "hint: `genloss show toy_gan` tells what it means",
        ),
        (
            "width: 4",
            "widht: 4",
            "model `toy_gan` has no option `widht`\n  --> toys.yaml:3:24\nhint: did you mean `width`?",
        ),
        (
            "size: 64",
            "size: 0",
            "option `size` of dataset `dots`: expected int > 0, got 0\n  --> toys.yaml:2:26\n"
            "hint: `genloss show dots` tells what it means",
        ),
        (
            "critic: push",
            "critic: learned",
            "loss `learned` needs the option `size`\n  --> toys.yaml:6:13\n"
            "hint: add `size: …`, a value of the type int",
        ),
        (
            "critic: push",
            "critic: {learned: {size: 9, scale: {linear: {from: 0, to: 1, steps: 3}}}}",
            "loss `learned` cannot be built: there is no room for 9\n  --> toys.yaml:6:14\n"
            "hint: `genloss show learned` tells what its options mean",
        ),
        # data and model
        ("size: 64", "size: 13", "thirteen brings bad luck\n  --> toys.yaml:2:7"),
        (
            "width: 4",
            "width: 13",
            "model `toy_gan` cannot be built for this data: thirteen brings bad luck\n  --> toys.yaml:3:15\n"
            "hint: `genloss show toy_gan` tells what its options mean",
        ),
        (
            "{name: toy_gan, width: 4}",
            "empty",
            "`network` of model `empty` has no parameters to train\n  --> toys.yaml:3:8",
        ),
        (
            "{name: toy_gan, width: 4}",
            "lopsided",
            "model `lopsided` has the players somebody, turns for network\n  --> toys.yaml:3:8",
        ),
        (
            "{name: dots, size: 64}",
            "{name: stored, path: nowhere.txt}",
            "there is no file or folder `nowhere.txt`\n  --> toys.yaml:2:28\nhint: known here: `toys.yaml`",
        ),
        (
            "{name: dots, size: 64}",
            "{name: stored, path: toys.yaml}",
            "dataset `stored` cannot be loaded: could not convert string to float: 'name:'\n  --> "
            "toys.yaml:2:7\n"
            "hint: `genloss show stored` tells what its options mean",
        ),
        (
            "{name: dots, size: 64}",
            "{name: stored, path: .}",
            "dataset `stored` cannot be loaded: [Errno 21] Is a directory: '{folder}'\n  --> toys.yaml:2:7\n"
            "hint: `genloss show stored` tells what its options mean",
        ),
        # players
        (
            "    critic: push\n",
            "",
            "objective `first` has no term for `critic`, a player of model `toy_gan`\n  --> toys.yaml:5:3\n"
            "hint: add `critic: …` with the name of a loss",
        ),
        (
            "critic: push",
            "critc: push",
            "model `toy_gan` has no player `critc`\n  --> toys.yaml:6:5\nhint: did you mean `critic`?",
        ),
        (
            "training.players.critic",
            "training.players.critc",
            "model `toy_gan` has no player `critc`\n  --> toys.yaml:11:12\nhint: did you mean `critic`?",
        ),
        (
            "actor: pull",
            "actor: {pull: {every: 2}}",
            "objective `first` has no term of `actor` with `every: 1`\n  --> toys.yaml:7:12\n"
            "hint: some steps would have nothing to train on: leave `every` out of one term",
        ),
        # quantities
        (
            "actor: pull",
            "actor: [pull, {match: {table: toys.yaml}}]",
            "loss `match` needs the quantity `mu`, which model `toy_gan` does not offer to `actor`\n"
            f"  --> toys.yaml:7:20\nhint: `actor` is offered {OFFERED}; `mu` is offered by model `toy_vae`",
        ),
        (
            "actor: pull",
            "actor: {pull: {bind: {logits: gradient}}}",
            "`logits` is bound to the quantity `gradient`, which model `toy_gan` does not offer to `actor`\n"
            f"  --> toys.yaml:7:35\nhint: known here: {OFFERED}",
        ),
        (
            "actor: pull",
            "actor: {pull: {bind: {logit: x}}}",
            "loss `pull` asks for no quantity `logit`\n  --> toys.yaml:7:27\nhint: did you mean `logits`?",
        ),
        (
            "actor: pull",
            "actor: {pull: {bind: {logits: null}}}",
            "loss `pull` needs the quantity `logits`, so it cannot be left out by `null`\n  --> "
            "toys.yaml:7:35\n"
            f"hint: bind it to one that `actor` is offered: {OFFERED}",
        ),
        (
            "actor: pull",
            "actor: {push: {bind: {hint: zz}}}",
            "`hint` is bound to the quantity `zz`, which model `toy_gan` does not offer to `actor`\n"
            f"  --> toys.yaml:7:33\nhint: known here: {OFFERED}",
        ),
        # training
        (
            "batch_size: 8",
            "batch_size: 65",
            "a batch has 65 examples, and the training set only 64\n  --> toys.yaml:14:15\n"
            "hint: set `training.batch_size` to 64 or less",
        ),
        (
            "steps: 10\n  batch_size: 8\n",
            "steps: 10\n",
            "a batch has 128 examples, and the training set only 64\n  --> toys.yaml:13:3\n"
            "hint: set `training.batch_size` to 64 or less",
        ),
        (
            "steps: 10\n",
            "steps: 10\n  order: simultaneous\n",
            "`critic` has 2 updates in a step, but simultaneous players have one each\n  --> "
            "toys.yaml:11:54\n"
            "hint: set `training.order` to `alternating`, or leave `updates_per_step` out",
        ),
        # optimizers
        (
            "name: adam,",
            "name: adamm,",
            "there is no optimizer `adamm`\n  --> toys.yaml:15:21\nhint: did you mean `adam` or `radam`?",
        ),
        (
            "lr: 1e-3, betas: [0, 0.9]",
            "learning_rate: 1e-3",
            "the optimizer `adam` has no argument `learning_rate`\n  --> toys.yaml:15:27\n"
            "hint: known here: `amsgrad`, `betas`, `capturable`, `decoupled_weight_decay`, "
            "`differentiable`, `eps`, "
            "`foreach`, `fused`, `lr`, `maximize`, `weight_decay`",
        ),
        (
            "1e-3",
            "fast",
            "`lr`: expected a number, got `fast`\n  --> toys.yaml:15:31\nhint: as in `lr: 0.001`",
        ),
        (
            "1e-3",
            "-1",
            "torch refuses the optimizer `adam`: Invalid learning rate: -1.0\n  --> toys.yaml:15:31\n"
            "hint: the documentation of `torch.optim.Adam` tells what it takes",
        ),
        (
            "[0, 0.9]",
            "0.9",
            "`betas`: expected a list of 2 numbers, got `0.9`\n  --> toys.yaml:15:44\n"
            "hint: as in `betas: [0.9, 0.999]`",
        ),
        (
            "[0, 0.9]",
            "[0, 1.5]",
            "torch refuses the optimizer `adam`: Invalid beta parameter at index 1: 1.5\n  --> "
            "toys.yaml:15:44\n"
            "hint: the documentation of `torch.optim.Adam` tells what it takes",
        ),
        (
            "betas: [0, 0.9]",
            "amsgrad: 1",
            "`amsgrad`: expected true or false, got `1`\n  --> toys.yaml:15:46\nhint: as in `amsgrad: true`",
        ),
        (
            "{name: adam, lr: 1e-3, betas: [0, 0.9]}",
            "{name: sgd, lr: 1, nesterov: true}",
            "torch refuses the optimizer `sgd`: Nesterov momentum requires a momentum and zero dampening\n"
            "  --> toys.yaml:15:43\nhint: the documentation of `torch.optim.SGD` tells what it takes",
        ),
        (
            "{name: adam, lr: 1e-3, betas: [0, 0.9]}",
            "muon",
            "torch refuses the optimizer `muon`: Muon only supports 2D parameters whereas we found a "
            "parameter with "
            "size: torch.Size([1])\n"
            "  --> toys.yaml:15:14\nhint: the documentation of `torch.optim.Muon` tells what it takes",
        ),
        (
            "{name: adam, lr: 1e-3, betas: [0, 0.9]}",
            "lbfgs",
            "the optimizer `lbfgs` cannot train here: it evaluates the loss several times in a step\n"
            "  --> toys.yaml:15:14\nhint: `adam` can",
        ),
        (
            "training.players.critic.updates_per_step: 2",
            "training.players.critic.optimizer: {name: sparseadam}",
            "the optimizer `sparseadam` cannot train here: it takes sparse gradients only\n"
            "  --> toys.yaml:11:54\nhint: `adam` can",
        ),
        # metrics
        (
            "[spread]",
            "[{spread: {power: 0}}]",
            "option `power` of metric `spread`: expected int > 0, got 0\n  --> toys.yaml:18:51\n"
            "hint: `genloss show spread` tells what it means",
        ),
        (
            "[spread]",
            "[spread, summary]",
            "metric `summary` gives the number `spread`, as `spread` does\n  --> toys.yaml:18:42\n"
            "hint: delete one of the two: a number is recorded under its name alone",
        ),
        (
            "[spread]",
            "[likelihood]",
            "metric `likelihood` asks for `log_likelihood`, and model `toy_gan` has no method of that name\n"
            "  --> toys.yaml:18:34\nhint: leave this metric out; `genloss list metrics` shows the others",
        ),
        (
            "[spread]",
            "[purity]",
            "metric `purity` asks for `train_labels`, and the data has no field `label`\n"
            "  --> toys.yaml:18:34\nhint: leave this metric out; `genloss list metrics` shows the others",
        ),
        (
            "[spread]",
            "[coverage]",
            "metric `coverage` asks for `modes`, and of the truth, this data knows nothing\n"
            "  --> toys.yaml:18:34\nhint: leave this metric out; `genloss list metrics` shows the others",
        ),
        (
            "[spread]",
            "[misspelt]",
            "metric `misspelt` asks for `sample`, and of the truth, this data knows nothing\n"
            "  --> toys.yaml:18:34\nhint: did its author mean `samples`?",
        ),
        # devices
        (
            "devices: cpu",
            "devices: cpuu",
            "`cpuu` is not a device that genloss knows\n  --> toys.yaml:17:10\n"
            "hint: write `auto`, `cpu`, `cuda`, `cuda:1`, `mps` or a list of them",
        ),
        (
            "devices: cpu",
            "devices: [cpu, tpu]",
            "`tpu` is not a device that genloss knows\n  --> toys.yaml:17:16\n"
            "hint: write `auto`, `cpu`, `cuda`, `cuda:1`, `mps` or a list of them",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(
    refused: Refused, tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert refused((old, new)) == message.replace("{folder}", str(tmp_path))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.optimizer.lr=-1", "torch refuses the optimizer `adam`: Invalid learning rate: -1.0"),
        ("model.width=0", "option `width` of model `toy_gan`: expected int > 0, got 0"),
        (
            "objectives.first.critic.push.scale=-1",
            "option `scale` of loss `push`: expected float ≥ 0, got -1",
        ),
        (
            "objectives.first.with.training.batch_size=99",
            "a batch has 99 examples, and the training set only 64",
        ),
        ("devices=tpu", "`tpu` is not a device that genloss knows"),
        ("data=nodata", "no plugin offers a dataset named `nodata`"),
    ],
)
def test_a_mistake_in_an_override_names_it(refused: Refused, override: str, message: str) -> None:
    assert refused(overrides=[override]).startswith(f"{message}\n  --> --set {override}")


def test_a_quantity_of_another_player_is_named(refused: Refused) -> None:
    message = refused(("actor: pull", "actor: slope"))
    assert message == (
        "loss `slope` needs the quantity `gradient`, which model `toy_gan` does not offer to `actor`\n"
        f"  --> toys.yaml:7:12\nhint: `actor` is offered {OFFERED}; `gradient` is offered to `critic`"
    )


def test_an_optional_quantity_may_be_left_out(planned: Planned) -> None:
    objective = planned(("critic: push", "critic: {push: {bind: {hint: null}}}")).experiment.objectives[0]
    assert objective.players["critic"][0].bind == {"hint": None}
    assert planned(("critic: push", "critic: {push: {bind: {hint: logits}}}"))


def test_paths_are_made_absolute(planned: Planned, tmp_path: Path) -> None:
    (tmp_path / "numbers").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "numbers" / name).write_text("1\n2\n3\n")
    plan = planned(
        (
            "{name: dots, size: 64}",
            "{name: stored, path: ./numbers/a.txt, others: [numbers/../numbers/b.txt]}",
        ),
        ("batch_size: 8", "batch_size: 3"),
    )
    assert plan.experiment.data.options == {
        "path": str(tmp_path / "numbers" / "a.txt"),
        "others": [str(tmp_path / "numbers" / "b.txt")],
    }
    assert plan.data.spec.size == 3


def test_schedules_of_options_are_parsed(planned: Planned) -> None:
    schedule = Schedule(linear=Ramp(start=0, to=2.5, steps=5))
    plan = planned(("scale: 0.5", "scale: {linear: {from: 0, to: 2.5, steps: 5}}"))
    assert plan.experiment.objectives[1].players["actor"][0].options == {"scale": schedule, "form": "soft"}
    assert planned(
        ("critic: push", "critic: [push, {learned: {size: 3, scale: {linear: {from: 0, to: 1, steps: 3}}}}]")
    )


def test_metrics_get_what_data_and_model_have(planned: Planned) -> None:
    objectives = VALID.split("objectives:\n")[1].split("training:\n")[0]
    plan = planned(
        ("[spread]", "[purity, coverage, likelihood]"),
        ("{name: toy_gan, width: 4}", "toy_vae"),
        ("size: 64", "labels: true, modes: true"),
        (objectives, "  one: {network: {slope: {bind: {gradient: mu}}}}\n"),
    )
    evaluation = plan.experiment.evaluation
    assert evaluation is not None
    assert [metric.name for metric in evaluation.metrics] == ["purity", "coverage", "likelihood"]


def test_options_that_are_not_written_have_the_defaults_of_the_signature(planned: Planned) -> None:
    experiment = planned(("name: toy_gan, width: 4", "name: toy_gan")).experiment
    first, second = experiment.objectives
    assert first.model.options == {"width": 4}
    assert experiment.data.options == {"size": 64, "labels": False, "modes": False}
    assert first.players["critic"][0].options == {"scale": 1.0, "form": "soft"}
    assert second.players["actor"][0].options == {"scale": 0.5, "form": "soft"}
    assert experiment.evaluation is not None
    assert experiment.evaluation.metrics[0].options == {"power": 2}


def test_a_default_that_no_yaml_could_say_is_left_to_the_function() -> None:
    @genloss.dataset
    def odd(
        *,
        low: float = -math.inf,
        path: Path = Path("there"),
        sizes: tuple[int, ...] = (1, 2),
        count: int = None,  # type: ignore[assignment]  # noqa: RUF013
        needed: float,
    ) -> genloss.Data: ...

    where = Location("toys.yaml", 2, 7)
    nodes = {"needed": Node(1, where)}
    assert check_options(odd, nodes, Path(), where) == {"path": "there", "sizes": [1, 2], "needed": 1}


def test_errors_of_plugins_keep_their_kind(planned: Planned) -> None:
    with pytest.raises(DefinitionError):
        planned(("size: 64", "size: 13"))
    with pytest.raises(ExperimentError) as caught:
        planned(("width: 4", "width: 13"))
    assert isinstance(caught.value.__cause__, ValueError)


def test_planning_draws_nothing_from_torchs_generator(planned: Planned) -> None:
    import torch

    before = torch.get_rng_state()
    planned()
    assert torch.equal(torch.get_rng_state(), before)
