from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genloss.errors import ExperimentError, Location
from genloss.experiment.files import existing
from genloss.experiment.read import Draft, read
from genloss.experiment.schema import Choice, Player, Ramp, Retry, Schedule, Term
from genloss.experiment.source import from_file
from genloss.planning.remarks import seeds_remark

WHOLE = """\
name: gan-losses
description: All keys.
plugins: [./mine.py]
data: digits
model: {name: gan, latent_dim: 32, hidden: [256, 256]}
objectives:
  non_saturating:
    discriminator: minimax_discriminator
    generator: {core:hinge_generator: }
  wgan_gp:
    discriminator:
      - wasserstein_discriminator
      - gradient_penalty:
          weight: {linear: {from: 0, to: 10, steps: 100}}
          as: gp
          bind: {interpolated_gradient: real_gradient, mask: null}
          every: 4
          target: {cosine: {from: 0.5, to: 1, steps: 7}}
    generator: wasserstein_generator
    with:
      training.players.discriminator.updates_per_step: 5
      model: {latent_dim: 8}
baseline: wgan_gp
training:
  steps: 3000
  batch_size: 64
  optimizer: {name: adam, lr: 2.0e-4}
  players:
    discriminator: {optimizer: sgd, clip_gradients: 1}
  order: simultaneous
  precision: float64
  checkpoint_every: 100
  timeout: 60
  on_nonfinite: skip
seeds: [5, 2]
devices: [cpu, "cuda:1"]
workers: 3
on_failure: {retry: 2}
evaluation: {every: 1000, samples: 10, metrics: [frechet_distance, {precision_recall: {k: 5}}]}
tracking: {uri: "http://x", experiment: other}
"""
SMALL = """\
name: small
data: dots
model: gan
objectives:
  one: {critic: push}
training: {steps: 10}
seeds: 3
"""


@pytest.fixture
def draft(tmp_path: Path) -> Callable[..., Draft]:
    (tmp_path / "mine.py").touch()

    def draft(text: str, *overrides: str) -> Draft:
        path = tmp_path / "e.yaml"
        path.write_text(text)
        return read(from_file(path).overridden(overrides))

    return draft


@pytest.fixture
def refused(draft: Callable[..., Draft], tmp_path: Path) -> Callable[..., str]:
    """The message, with places as line:column."""

    def refused(text: str, *overrides: str) -> str:
        with pytest.raises(ExperimentError) as caught:
            draft(text, *overrides)
        assert caught.value.hint
        return str(caught.value).replace(f"{tmp_path}/e.yaml:", "").split("\nhint: ")[0]

    return refused


def test_every_key_is_read(draft: Callable[..., Draft], tmp_path: Path) -> None:
    read = draft(WHOLE)
    experiment = read.experiment
    assert experiment.name == "gan-losses"
    assert experiment.description == "All keys."
    assert experiment.source == f"{tmp_path}/e.yaml"
    assert experiment.text == WHOLE
    assert experiment.plugins == (str(tmp_path / "mine.py"),)
    assert experiment.data == Choice(name="digits")
    assert experiment.baseline == "wgan_gp"
    assert experiment.seeds == (5, 2)
    assert experiment.devices == ("cpu", "cuda:1")
    assert experiment.workers == 3
    assert experiment.on_failure == Retry(retry=2)
    assert experiment.tracking.uri == "http://x"
    assert experiment.tracking.experiment == "other"
    evaluation = experiment.evaluation
    assert evaluation is not None
    assert (evaluation.every, evaluation.samples) == (1000, 10)
    assert evaluation.metrics == (
        Choice(name="frechet_distance"),
        Choice(name="precision_recall", options={"k": 5}),
    )

    plain, gp = experiment.objectives
    assert (plain.name, gp.name) == ("non_saturating", "wgan_gp")
    assert plain.players["generator"] == (Term(loss="core:hinge_generator", name="hinge_generator"),)
    assert plain.model == Choice(name="gan", options={"latent_dim": 32, "hidden": [256, 256]})
    assert gp.model == Choice(name="gan", options={"latent_dim": 8, "hidden": [256, 256]})
    first, second = gp.players["discriminator"]
    assert first == Term(loss="wasserstein_discriminator", name="wasserstein_discriminator")
    assert second == Term(
        loss="gradient_penalty",
        name="gp",
        weight=Schedule(linear=Ramp.model_validate({"from": 0.0, "to": 10.0, "steps": 100})),
        bind={"interpolated_gradient": "real_gradient", "mask": None},
        every=4,
        options={"target": {"cosine": {"from": 0.5, "to": 1, "steps": 7}}},
    )

    training = plain.training
    assert (training.steps, training.batch_size) == (3000, 64)
    assert training.optimizer == Choice(name="adam", options={"lr": 2e-4})
    player = Player(optimizer=Choice(name="sgd"), clip_gradients=1.0)
    assert training.players == {"discriminator": player}
    assert (training.order, training.precision) == ("simultaneous", "float64")
    assert (training.checkpoint_every, training.timeout, training.on_nonfinite) == (100, 60.0, "skip")
    assert gp.training.players == {"discriminator": player.model_copy(update={"updates_per_step": 5})}
    assert gp.training.model_copy(update={"players": training.players}) == training


def test_what_is_left_out_has_its_default(draft: Callable[..., Draft]) -> None:
    experiment = draft(SMALL).experiment
    assert experiment.seeds == (0, 1, 2)
    assert experiment.devices == ("auto",)
    assert experiment.baseline == "one"
    assert experiment.evaluation is None
    assert experiment.plugins == ()
    assert experiment.on_failure == "continue"
    (objective,) = experiment.objectives
    assert objective.training.batch_size == 128
    assert objective.training.optimizer == Choice(name="adam", options={"lr": 1e-3})
    assert objective.players == {"critic": (Term(loss="push", name="push"),)}


def test_an_experiment_survives_json(draft: Callable[..., Draft]) -> None:
    experiment = draft(WHOLE).experiment
    assert type(experiment).model_validate_json(experiment.model_dump_json(by_alias=True)) == experiment


def test_places_of_overlaid_parts_are_kept(draft: Callable[..., Draft]) -> None:
    read = draft(WHOLE)
    assert read.objectives["wgan_gp"].model.at("latent_dim").where.line == 22
    assert read.objectives["non_saturating"].model.at("latent_dim").where.line == 5
    training = read.objectives["wgan_gp"].training
    assert training.at("players", "discriminator", "updates_per_step").where.line == 21
    assert training.at("players", "discriminator", "clip_gradients").where.line == 29
    assert (
        read.objectives["wgan_gp"].terms["discriminator", "gp"].at("gradient_penalty", "as").where.line == 15
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # keys
        ("seeds: 3", "seed: 3", "unknown key `seed`\n  --> 7:1"),
        ("steps: 10", "steps: 10, stps: 3", "unknown key `stps` in `training`\n  --> 6:23"),
        ("name: small\n", "", "the key `name` is missing\n  --> 1:1"),
        ("steps: 10", "batch_size: 4", "the key `steps` is missing in `training`\n  --> 6:1"),
        ("seeds: 3", "seeds: 3\ncompile: true", "unknown key `compile`\n  --> 8:1"),
        ("steps: 10", "steps: 10, momentum: 0.9", "unknown key `momentum` in `training`\n  --> 6:23"),
        (
            "steps: 10",
            "steps: 10, ema: 1.0",
            "`training.ema`: expected a number < 1, got `1.0`\n  --> 6:28",
        ),
        # the first in the document's order, an unknown key or not
        (
            "steps: 10}\nseeds: 3",
            "steps: ten}\nseed: 3",
            "`training.steps`: expected an integer, got `ten`\n  --> 6:19",
        ),
        ("name: small\ndata", "data", "the key `name` is missing\n  --> 1:1"),
        # types and bounds
        ("steps: 10", "steps: abc", "`training.steps`: expected an integer, got `abc`\n  --> 6:19"),
        ("steps: 10", 'steps: "10"', '`training.steps`: expected an integer, got `"10"`\n  --> 6:19'),
        ("steps: 10", "steps: 1e3", "`training.steps`: expected an integer, got `1000.0`\n  --> 6:19"),
        ("steps: 10", "steps: true", "`training.steps`: expected an integer, got `true`\n  --> 6:19"),
        ("steps: 10", "steps: ", "`training.steps`: expected an integer, got `null`\n  --> 6:18"),
        ("steps: 10", "steps: 0", "`training.steps`: expected a number > 0, got `0`\n  --> 6:19"),
        (
            "steps: 10",
            "steps: 10, timeout: -1.5",
            "`training.timeout`: expected a number > 0, got `-1.5`\n  --> 6:32",
        ),
        (
            "steps: 10",
            "steps: 10, timeout: soon",
            "`training.timeout`: expected a number, got `soon`\n  --> 6:32",
        ),
        ("{steps: 10}", "[steps]", '`training`: expected a mapping, got `["steps"]`\n  --> 6:11'),
        (
            "steps: 10",
            "steps: 10, order: both",
            "`training.order`: expected one of `alternating`, `simultaneous`, got `both`\n  --> 6:30",
        ),
        (
            "steps: 10",
            "steps: 10, precision: float16",
            "`training.precision`: expected one of `float32`, `bfloat16`, `float64`, got `float16`\n"
            "  --> 6:34",
        ),
        ("name: small", "name: small\ndescription: 3", "`description`: expected a text, got `3`\n  --> 2:14"),
        (
            "name: small",
            "name: small\ndescription: [a]",
            '`description`: expected a text, got `["a"]`\n  --> 2:14',
        ),
        ("seeds: 3", "seeds: 3\nworkers: 1.5", "`workers`: expected an integer, got `1.5`\n  --> 8:10"),
        ("seeds: 3", "seeds: 3\nevaluation: 5", "`evaluation`: expected a mapping, got `5`\n  --> 8:13"),
        (
            "seeds: 3",
            "seeds: 3\nevaluation: {every: 0}",
            "`evaluation.every`: expected a number > 0, got `0`\n  --> 8:21",
        ),
        ("seeds: 3", "seeds: 3\ntracking: {url: x}", "unknown key `url` in `tracking`\n  --> 8:12"),
        ("seeds: 3", "seeds: 3\ndevices: 2", "`devices`: expected a list, got `2`\n  --> 8:10"),
        (
            "seeds: 3",
            "seeds: 3\ndevices: []",
            "`devices`: expected at least one device, got `[]`\n  --> 8:10",
        ),
        ("seeds: 3", "seeds: 3\ndevices: [cpu, 1]", "`devices`: expected a text, got `1`\n  --> 8:16"),
        (
            "seeds: 3",
            "seeds: 3\non_failure: retry",
            "`on_failure`: expected `continue`, `stop` or `{retry: n}`, got `retry`\n  --> 8:13",
        ),
        (
            "seeds: 3",
            "seeds: 3\non_failure: {retry: 0}",
            "`on_failure.retry`: expected a number > 0, got `0`\n  --> 8:21",
        ),
        # seeds
        (
            "seeds: 3",
            "seeds: 0",
            "`seeds`: expected a list of seeds, or their number (1 to 1000), got `0`\n  --> 7:8",
        ),
        (
            "seeds: 3",
            "seeds: []",
            "`seeds`: expected a list of seeds, or their number (1 to 1000), got `[]`\n  --> 7:8",
        ),
        (
            "seeds: 3",
            "seeds: 1000000000000",
            "`seeds`: expected a list of seeds, or their number (1 to 1000), got `1000000000000`\n  --> 7:8",
        ),
        (
            "seeds: 3",
            "seeds: true",
            "`seeds`: expected a list of seeds, or their number (1 to 1000), got `true`\n  --> 7:8",
        ),
        (
            "seeds: 3",
            "seeds: [0, -1]",
            "`seeds`: expected an integer from 0 to 4294967295, got `-1`\n  --> 7:12",
        ),
        (
            "seeds: 3",
            "seeds: [0, true]",
            "`seeds`: expected an integer from 0 to 4294967295, got `true`\n  --> 7:12",
        ),
        ("seeds: 3", "seeds: [1, 0, 1]", "the seed `1` is given twice\n  --> 7:15"),
        # names
        (
            "name: small",
            "name: ../small",
            "`name`: expected a name of at most 100 letters, digits, `.`, `_` and `-` that begins with "
            "a letter or "
            "digit, got `../small`\n  --> 1:7",
        ),
        ("name: small", "name: 3", "`name`: expected a text, got `3`\n  --> 1:7"),
        (
            "  one: ",
            "  a/b: ",
            "`objectives`: expected a name of at most 100 letters, digits, `.`, `_` and `-` that "
            "begins with a letter "
            "or digit, got `a/b`\n  --> 5:3",
        ),
        (
            "  one: {critic: push}",
            "  one: {critic: push}\n  One: {critic: push}",
            "the objectives `one` and `One` differ only in upper and lower case\n  --> 6:3",
        ),
        ("seeds: 3", "seeds: 3\nbaseline: two", "there is no objective `two` to be the baseline\n  --> 8:11"),
        # choices
        (
            "data: dots",
            "data: 3",
            "`data`: expected a name, or a mapping with `name` and options, got `3`\n  --> 2:7",
        ),
        ("data: dots", "data: {size: 3}", "the key `name` is missing in `data`\n  --> 2:1"),
        ("data: dots", "data: {name: [x]}", '`data.name`: expected a text, got `["x"]`\n  --> 2:14'),
        (
            "steps: 10",
            "steps: 10, optimizer: {lr: 1}",
            "the key `name` is missing in `training.optimizer`\n  --> 6:23",
        ),
        (
            "steps: 10",
            "steps: 10, players: {critic: {updates_per_step: 0}}",
            "`training.players.critic.updates_per_step`: expected a number > 0, got `0`\n  --> 6:60",
        ),
        # objectives and terms
        (
            "objectives:\n  one: {critic: push}",
            "objectives:",
            "`objectives`: expected at least one objective, got `null`\n  --> 4:12",
        ),
        ("{critic: push}", "push", "`objectives.one`: expected a mapping, got `push`\n  --> 5:8"),
        (
            "critic: push",
            "critic: []",
            "`objectives.one.critic`: expected at least one term, got `[]`\n  --> 5:17",
        ),
        (
            "critic: push",
            "critic: 3",
            "`objectives.one.critic`: expected the name of a loss, or `{name: {option: value}}`, got "
            "`3`\n  --> 5:17",
        ),
        (
            "critic: push",
            "critic: {push: , weight: 3}",
            '`objectives.one.critic`: expected one name of a loss, got `{"push": null, "weight": 3}`\n '
            " --> 5:17",
        ),
        (
            "critic: push",
            "critic: {push: 3}",
            "`objectives.one.critic.push`: expected a mapping of options, got `3`\n  --> 5:24",
        ),
        (
            "critic: push",
            "critic: [push, push]",
            "two terms of `objectives.one.critic` have the name `push`\n  --> 5:24",
        ),
        (
            "critic: push",
            "critic: {push: {as: total}}",
            "a term cannot have the name `total`\n  --> 5:29",
        ),
        (
            "critic: push",
            "critic: {push: {as: a/b}}",
            "`objectives.one.critic.push.as`: expected a name of at most 100 letters, digits, `.`, `_` "
            "and `-` that "
            "begins with a letter or digit, got `a/b`\n  --> 5:29",
        ),
        (
            "critic: push",
            "critic: {push: {weight: big}}",
            "`objectives.one.critic.push.weight`: expected a number, got `big`\n  --> 5:33",
        ),
        (
            "critic: push",
            "critic: {push: {every: 0}}",
            "`objectives.one.critic.push.every`: expected a number > 0, got `0`\n  --> 5:32",
        ),
        (
            "critic: push",
            "critic: {push: {bind: {x: 3}}}",
            "`objectives.one.critic.push.bind.x`: expected a text, got `3`\n  --> 5:35",
        ),
        (
            "critic: push",
            "critic: {push: {weight: {linear: {from: 0, to: 1}}}}",
            "the key `steps` is missing in `objectives.one.critic.push.weight.linear`\n  --> 5:34",
        ),
        (
            "critic: push",
            "critic: {push: {weight: {cyclical: {from: 0, to: 1, steps: 2}}}}",
            "unknown key `steps` in `objectives.one.critic.push.weight.cyclical`\n  --> 5:61",
        ),
        (
            "critic: push",
            "critic: {push: {weight: {liner: {}}}}",
            "unknown key `liner` in `objectives.one.critic.push.weight`\n  --> 5:34",
        ),
        (
            "critic: push",
            "critic: {push: {weight: {linear: {from: 0, to: 1, steps: 2}, cosine: {from: 0, to: 1, "
            "steps: 2}}}}",
            "`objectives.one.critic.push.weight`: expected one form of a schedule, got "
            '`{"linear": {"from": 0, "to": 1, "steps": 2}, "cosine": {"fr…`\n  --> 5:33',
        ),
        # with
        (
            "critic: push",
            "critic: push, with: 3",
            "`objectives.one.with`: expected a mapping, got `3`\n  --> 5:29",
        ),
        (
            "critic: push",
            "critic: push, with: {training.stps: 3}",
            "unknown key `stps` in `training`\n  --> 5:30",
        ),
        (
            "critic: push",
            "critic: push, with: {training: {steps: no}}",
            "`training.steps`: expected an integer, got `no`\n  --> 5:48",
        ),
        (
            "critic: push",
            "critic: push, with: {seeds: 3}",
            "`with` sets `model.…` and `training.…` for this objective alone, not `seeds`\n  --> 5:30",
        ),
        # metrics
        (
            "seeds: 3",
            "seeds: 3\nevaluation: {every: 1, metrics: spread}",
            "`evaluation.metrics`: expected a list, got `spread`\n  --> 8:33",
        ),
        (
            "seeds: 3",
            "seeds: 3\nevaluation: {every: 1, metrics: [{a: , b: }]}",
            '`evaluation.metrics`: expected one name of a metric, got `{"a": null, "b": null}`\n  --> 8:34',
        ),
        # plugins
        ("name: small", "name: small\nplugins: [./mne.py]", "there is no plugin file `./mne.py`\n  --> 2:11"),
        (
            "name: small",
            "name: small\nplugins: ./mine.py",
            "`plugins`: expected a list, got `./mine.py`\n  --> 2:10",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(
    refused: Callable[..., str], old: str, new: str, message: str
) -> None:
    assert old in SMALL
    assert refused(SMALL.replace(old, new, 1)) == message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.stps=3", "unknown key `stps` in `training`"),
        ("trainin.steps=3", "unknown key `trainin`"),
        ("training.steps=x", "`training.steps`: expected an integer, got `x`"),
        ("seeds=[2, 2]", "the seed `2` is given twice"),
        (
            "objectives.one.critic.push.weight=x",
            "`objectives.one.critic.push.weight`: expected a number, got `x`",
        ),
        ("objectives.one.with.training.stps=1", "unknown key `stps` in `training`"),
        ("on_failure={}", "the key `retry` is missing in `on_failure`"),
    ],
)
def test_a_mistake_in_an_override_names_it(refused: Callable[..., str], override: str, message: str) -> None:
    assert refused(SMALL, override) == f"{message}\n  --> --set {override}"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (SMALL.replace("seeds", "seds"), "did you mean `seeds`?"),
        (
            SMALL.replace("seeds", "zzz"),
            "known here: `baseline`, `data`, `description`, `devices`, `evaluation`",
        ),
        (SMALL.replace("steps", "stps"), "did you mean `steps`?"),
        (
            SMALL.replace("seeds: 3", "seeds: 3\ndescription: 1e5"),
            'put it in quotes: `description: "100000.0"`',
        ),
        (SMALL.replace("steps: 10", 'steps: "30"'), "write it without quotes: `steps: 30`"),
        (SMALL.replace("steps: 10", "steps: 10, compile: yes"), "write `compile: true`"),
        (SMALL.replace("steps: 10", "steps: 10, compile: Off"), "write `compile: false`"),
        (
            SMALL.replace("steps: 10", 'steps: 10, compile: "true"'),
            "write it without quotes: `compile: true`",
        ),
        (SMALL.replace("steps: 10", "steps: 10, ema: -1"), "as in `ema: 0.999`"),
        (SMALL.replace("small", "a/../b c"), "it names a folder, so it is not a path; `a-..-b-c` would do"),
        (SMALL.replace("push", "{push: , every: 3}"), "options stand under the name: `push: {every: …}`"),
        (
            SMALL.replace("push", "{push: , pull: }"),
            "options stand under the name: `push: {pull: …}`; several make a list: `[push, pull]`",
        ),
    ],
)
def test_hints_say_what_to_do(draft: Callable[..., Draft], text: str, hint: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        draft(text)
    assert str(caught.value.hint).startswith(hint)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.steps='30'", '`training.steps`: expected an integer, got `"30"`'),
        ("training.compile=yes", "`training.compile`: expected `true` or `false`, got `yes`"),
        ("training.ema='0.9'", '`training.ema`: expected a number, got `"0.9"`'),
        ("seeds='3'", '`seeds`: expected a list of seeds, or their number (1 to 1000), got `"3"`'),
    ],
)
def test_a_text_that_looks_like_something_else_is_shown_in_its_quotes(
    refused: Callable[..., str], override: str, message: str
) -> None:
    assert refused(SMALL, override).startswith(message)


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ("steps: 10", Choice(name="adam", options={"lr": 0.1})),
        ("steps: 10, optimizer: sgd", Choice(name="sgd", options={"lr": 0.1})),
        (
            "steps: 10, optimizer: {name: adam, lr: 1.0, betas: [0.5, 0.9]}",
            Choice(name="adam", options={"lr": 0.1, "betas": [0.5, 0.9]}),
        ),
    ],
)
def test_a_player_s_optimizer_without_a_name_is_that_of_all(
    draft: Callable[..., Draft], training: str, expected: Choice
) -> None:
    (objective,) = draft(
        SMALL.replace("steps: 10", training), "training.players.critic.optimizer.lr=0.1"
    ).experiment.objectives
    assert objective.training.players["critic"].optimizer == expected


def test_a_path_may_begin_at_home_or_in_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.npy").touch()
    (tmp_path / "~").mkdir()
    (tmp_path / "~" / "x.npy").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA", str(tmp_path))
    where = Location("x")
    for name in ("~/data.npy", "$DATA/data.npy", "${DATA}/data.npy"):
        assert existing(name, Path("/"), where=where) == str(tmp_path / "data.npy")
    assert existing("~/x.npy", tmp_path, where=where) == str(tmp_path / "~" / "x.npy")
    with pytest.raises(ExperimentError, match="there is no file `~nobody-here/x`"):
        existing("~nobody-here/x", tmp_path, where=where)


def test_many_seeds_that_may_have_been_one_are_remarked(draft: Callable[..., Draft]) -> None:
    def remarks(seeds: str) -> list[str]:
        return list(map(str, seeds_remark(draft(SMALL.replace("seeds: 3", f"seeds: {seeds}")).source.root)))

    assert remarks("20") == remarks("[42]") == []
    (said,) = remarks("42")
    assert said.startswith("`seeds: 42` trains 42 seeds, 0 to 41\n")
    assert said.endswith("\nhint: write `seeds: [42]` if that one seed was meant")


def test_a_long_name_of_an_objective_is_read(draft: Callable[..., Draft]) -> None:
    name = "o" * 100
    assert draft(SMALL.replace("one", name)).experiment.objectives[0].name == name
    with pytest.raises(ExperimentError, match="at most 100 letters"):
        draft(SMALL.replace("one", name + "o"))


def test_nothing_heavy_is_imported() -> None:
    import subprocess

    code = (
        "import sys, pkgutil, importlib, genloss.experiment as package\n"
        "for module in pkgutil.iter_modules(package.__path__, 'genloss.experiment.'):\n"
        "    importlib.import_module(module.name)\n"
        "print([name for name in ('torch', 'mlflow', 'numpy') if name in sys.modules])"
    )
    done: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
