"""`genloss plan`: what it prints of an experiment, and of a plugin's bug."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genloss.commands.planned import print_plan
from genloss.planning.plan import plan
from tests.commands.conftest import Said

Genloss = Callable[..., Said]
BUGS = Path(__file__).parents[1] / "planning" / "bugs.py"
TWO_PLAYERS: dict[str, Any] = {
    "name": "everything",
    "description": "What is shown",
    "data": {"name": "gaussian_ring", "size": 400},
    "model": {"name": "gan", "latent_dim": 2, "hidden": [8]},
    "objectives": {
        "plain": {"discriminator": "minimax_discriminator", "generator": "non_saturating_generator"},
        "penalised": {
            "discriminator": [
                "wasserstein_discriminator",
                {"gradient_penalty": {"weight": 10, "target": 0, "every": 2, "one_sided": False}},
            ],
            "generator": {"wasserstein_generator": {"weight": {"linear": {"from": 0, "to": 1, "steps": 5}}}},
            "with": {"training.players.discriminator.updates_per_step": 2, "model.latent_dim": 3},
        },
    },
    "training": {
        "steps": 1000,
        "batch_size": 32,
        "optimizer": {"name": "sgd", "lr": 0.1},
        "players": {"generator": {"clip_gradients": 1, "optimizer": {"name": "adam", "lr": 0.01}}},
        "on_nonfinite": "skip",
    },
    "seeds": 2,
    "devices": "cpu",
    "workers": 1,
    "evaluation": {
        "every": 500,
        "samples": 300,
        "metrics": ["mixture_coverage", {"maximum_mean_discrepancy": {"bandwidth": 0.5}}],
    },
}


def test_it_shows_what_was_written_and_no_default(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(plan(TWO_PLAYERS))
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"size        up to [\d,]+ parameters; a step takes .* of memory beside data .*", lines.pop(5)
    )
    assert re.fullmatch(r"device      cpu \(as asked for\), 1 worker of \d+ threads?", lines.pop(5))
    assert lines == [
        "everything  What is shown",
        "data        gaussian_ring: size 400; 400 training examples, points of shape 2",
        "model       gan: latent_dim 2, hidden [8]",
        "training    1,000 steps, batches of 32, sgd: lr 0.1; generator: adam: lr 0.01, clip_gradients 1.0; "
        "on_nonfinite skip",
        "evaluation  each 500 steps and after the last, 300 samples: mixture_coverage, "
        "maximum_mean_discrepancy(bandwidth 0.5)",
        "",
        "plain",
        "  discriminator  minimax_discriminator",
        "  generator      non_saturating_generator",
        "penalised",
        "  discriminator  wasserstein_discriminator + 10·gradient_penalty(target 0, every 2)",
        "  generator      linear(0 → 1 in 5 steps)·wasserstein_generator",
        "  with           training.players.discriminator.updates_per_step 2, model.latent_dim 3",
        "",
        "4 runs: 2 objectives × 2 seeds (0, 1); nothing was trained",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    file = Terminal()
    monkeypatch.setattr("sys.stdout", file)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    print_plan(plan(TWO_PLAYERS))
    lines = re.sub(r"\x1b\[[\d;]*m", "", file.getvalue()).splitlines()
    assert max(map(len, lines)) <= 80
    assert "            clip_gradients 1.0; on_nonfinite skip" in lines
    assert "…" not in file.getvalue()


def test_with_one_player_an_objective_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    experiment = {
        "name": "small",
        "data": {"name": "two_moons", "size": 100},
        "model": {"name": "autoencoder", "latent_dim": 1, "hidden": [4]},
        "objectives": {
            "squared": {"network": "squared_error"},
            "mean": {"network": {"squared_error": {"reduce": "mean"}}, "with": {"training.batch_size": 8}},
        },
        "training": {"steps": 1, "batch_size": 16},
        "seeds": [7],
        "evaluation": {},
    }
    print_plan(plan(experiment, objectives=["mean"]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[4] == "evaluation  after the last, 1,000 samples: the losses on held-out data"
    assert lines[-4:] == [
        "mean  squared_error(reduce mean)",
        "      with training.batch_size 8",
        "",
        "1 run: 1 objective × 1 seed (7); nothing was trained",
    ]


SWEPT = {
    "name": "grid",
    "data": {"name": "two_moons", "size": 100},
    "model": {"name": "vae", "latent_dim": 1, "hidden": [4], "likelihood": "gaussian"},
    "objectives": {
        "plain": {"network": "gaussian_nll"},
        "beta": {"network": ["gaussian_nll", "gaussian_kl"], "with": {"training.batch_size": 8}},
    },
    "training": {"steps": 1, "batch_size": 16},
    "sweep": {
        "objectives.beta.network.gaussian_kl.weight": [0.5, 1, 4],
        "training.optimizer": ["adam", {"name": "sgd", "lr": 0.1}],
    },
    "seeds": 2,
    "workers": 1,
}


def test_a_sweep_s_points_stand_with_their_objective(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(plan(SWEPT))
    lines = capsys.readouterr().out.splitlines()
    assert lines[4:6] == [
        "sweep     objectives.beta.network.gaussian_kl.weight: 0.5, 1, 4",
        '          training.optimizer: adam, {"name": "sgd", "lr": 0.1}',
    ]
    assert lines[9:] == [
        "plain  gaussian_nll",
        "       plain,optimizer=adam        plain,optimizer=sgd-lr-0.1",
        "beta   gaussian_nll + 0.5·gaussian_kl",
        "       gaussian_nll + gaussian_kl",
        "       gaussian_nll + 4·gaussian_kl",
        "       with training.batch_size 8",
        "       beta,weight=0.5,optimizer=adam        beta,weight=0.5,optimizer=sgd-lr-0.1",
        "       beta,weight=1,optimizer=adam          beta,weight=1,optimizer=sgd-lr-0.1",
        "       beta,weight=4,optimizer=adam          beta,weight=4,optimizer=sgd-lr-0.1",
        "",
        "16 runs: 8 objectives × 2 seeds (0, 1); nothing was trained",
    ]
    print_plan(plan(SWEPT, objectives=["beta,weight=4,optimizer=adam"]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[4:6] == [
        "sweep     objectives.beta.network.gaussian_kl.weight: 4",
        "          training.optimizer: adam",
    ]
    assert lines[-3] == "      beta,weight=4,optimizer=adam"


def test_nine_points_of_two_players_fit_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    file = Terminal()
    monkeypatch.setattr("sys.stdout", file)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    sweep = {
        "model.latent_dim": [2, 4, 8],
        "objectives.penalised.discriminator.gradient_penalty.weight": [0.1, 1, 10],
    }
    objectives = {name: players for name, players in TWO_PLAYERS["objectives"].items() if name == "penalised"}
    print_plan(plan({**TWO_PLAYERS, "objectives": objectives, "sweep": sweep}))
    lines = re.sub(r"\x1b\[[\d;]*m", "", file.getvalue()).splitlines()
    assert max(map(len, lines)) <= 80
    said = lines[lines.index("penalised") :]
    assert [line[:17].strip() for line in said[1:-2] if line[:17].strip()] == [
        "discriminator",
        "generator",
        "with",
        "points",
    ]
    points = [name for line in said[1:] for name in line.split() if name.startswith("penalised,")]
    assert points == [
        f"penalised,latent_dim={size},weight={weight}" for size in (2, 4, 8) for weight in (0.1, 1, 10)
    ]
    begin = next(line.index("penalised,") for line in said[1:] if "points" in line)
    assert {line.index("penalised,") for line in said[1:] if "penalised," in line} == {begin}


def test_a_plugin_s_bug_is_told_with_its_place_and_its_own_traceback(
    genloss: Genloss, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bugs.yaml").write_text(
        f"name: bugs\nplugins: [{BUGS}]\ndata: {{name: points, bug: typo}}\nmodel: line\n"
        "objectives: {one: {network: cubed_error}}\ntraining: {steps: 1}\nseeds: 1\n"
    )
    for command in ("plan", "run"):
        said = genloss(command, "bugs.yaml")
        assert (said.code, said.out) == (2, "")
        error, place, head, *trace, last = said.err.splitlines()
        assert re.fullmatch(
            rf"error: dataset `points` \({BUGS}:\d+\) cannot be loaded: AttributeError: "
            "module 'torch' has no attribute 'zeroes'",
            error,
        )
        assert place == "  --> bugs.yaml:3:7"
        assert head == "Traceback (most recent call last):"
        assert trace[0].startswith(f'  File "{BUGS}", line ')  # none of genloss's own frames
        assert last == "AttributeError: module 'torch' has no attribute 'zeroes'"
