"""The commands that train nothing: what they print, and how they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genloss.commands import NAMES
from tests.commands.conftest import Said

Genloss = Callable[..., Said]
EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def test_help_names_every_command(genloss: Genloss) -> None:
    said = genloss("--help")
    assert said.code == 0
    for name in NAMES:
        assert f"\n  {name} " in said.out


@pytest.mark.parametrize("name", NAMES)
def test_each_command_shows_examples(genloss: Genloss, name: str) -> None:
    said = genloss(name, "--help")
    assert said.code == 0
    assert "Examples:" in said.out
    assert f"  genloss {name}" in said.out


def test_a_misspelt_command_is_one_message(genloss: Genloss) -> None:
    said = genloss("rum")
    assert (said.code, said.out) == (2, "")
    assert said.err == "error: there is no command `rum`\nhint: did you mean `run` or `resume`?\n"


def test_a_kind_in_the_singular_is_answered_with_the_plural(genloss: Genloss) -> None:
    said = genloss("list", "loss")
    assert (said.code, said.out) == (2, "")
    assert said.err == "error: there is no kind `loss`\nhint: did you mean `losses`?\n"


def test_a_kind_that_is_like_none_is_answered_with_all(genloss: Genloss) -> None:
    hint = "hint: known here: `datasets`, `losses`, `metrics`, `models`\n"
    assert genloss("list", "optimizers").err == f"error: there is no kind `optimizers`\n{hint}"


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_here_is_right(genloss: Genloss, path: Path) -> None:
    said = genloss("plan", path)
    assert said.code == 0, said.err
    assert "nothing was trained" in said.out
    assert path.read_text().startswith("# Question: ")


def test_plan_gives_the_runs_as_json(genloss: Genloss) -> None:
    said = genloss("plan", EXPERIMENTS / "gan.yaml", "--json", "--set", "seeds=[4]", "--objective", "hinge")
    runs = json.loads(said.out)["runs"]
    assert [(run["name"], run["objective"], run["seed"]) for run in runs] == [("hinge-4", "hinge", 4)]


def test_an_objective_that_is_not_there(genloss: Genloss) -> None:
    said = genloss("plan", EXPERIMENTS / "gan.yaml", "--objective", "hinges")
    assert said.code == 2
    assert "did you mean `hinge`?" in said.err


@pytest.mark.parametrize(
    ("kind", "name"),
    [("losses", "gaussian_kl"), ("models", "gan"), ("datasets", "digits"), ("metrics", "frechet_distance")],
)
def test_list_names_what_there_is(genloss: Genloss, kind: str, name: str) -> None:
    assert name in genloss("list", kind).out
    listed = json.loads(genloss("list", kind, "--json").out)
    assert list(listed) == [kind]
    assert name in [definition["name"] for definition in listed[kind]]
    assert name in genloss("list").out


def test_show_a_loss(genloss: Genloss) -> None:
    said = genloss("show", "gaussian_kl")
    for word in ("loss", "family: divergence", "unit: nats", "prior_mu", "optional", "free_bits", "Formula:"):
        assert word in said.out
    (facts,) = json.loads(genloss("show", "gaussian_kl", "--json").out)
    assert facts["asks for"]["mu"] == "[batch *latent]"


def test_show_a_model_lists_what_it_offers_to_whom(genloss: Genloss) -> None:
    said = genloss("show", "gan")
    assert "offers to discriminator:" in said.out
    assert "interpolated_gradient" in said.out


def test_show_what_is_not_there(genloss: Genloss) -> None:
    said = genloss("show", "gausian_kl")
    assert said.code == 2
    assert said.err == (
        "error: no plugin offers a loss, model, dataset or metric named `gausian_kl`\n"
        "hint: did you mean `gaussian_kl` or `gaussian_nll`?\n"
    )


def test_no_colour_where_none_is_wanted(genloss: Genloss, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in genloss("show", "nothing_of_that_name").err
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in genloss("show", "nothing_of_that_name").err


CLOSED = """
import os, sys
os.closerange(0, 3)
sys.argv = ["genloss", "schema"]
from genloss.commands import main
try:
    main()
finally:
    null = os.stat(os.devnull)
    with open("streams", "w") as file:
        print([os.path.samestat(os.fstat(number), null) for number in range(3)], file=file)
"""


def test_closed_streams_are_opened_before_anything_else_gets_their_numbers(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", CLOSED], cwd=tmp_path, check=True, timeout=300)
    assert (tmp_path / "streams").read_text() == "[True, True, True]\n"


def test_without_a_command_it_shows_its_help(genloss: Genloss) -> None:
    said = genloss()
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Usage: genloss ")
    assert "genloss new experiment" in said.out


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_value_without_its_option(genloss: Genloss, command: str) -> None:
    said = genloss(command, "some.yaml", "training.steps=50")
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        "error: unexpected argument `training.steps=50`\nhint: a value is set by `--set training.steps=50`\n"
    )


def test_an_output_that_is_not_utf_8_gets_plain_characters() -> None:
    script = (
        "from genloss import commands; commands._print_plainly(); "
        "print('▲ 2.3 ± 1.1 → ≤ 日'); import sys; print('…', file=sys.stderr)"
    )
    variables = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env=variables, check=True, text=True
    )
    assert (done.stdout, done.stderr) == ("^ 2.3 +- 1.1 -> <= ?\n", "...\n")
