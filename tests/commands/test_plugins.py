"""`genloss plugins`, and what a broken plugin changes for the other commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Said
from tests.fake_plugins import BROKEN, GOOD

Genloss = Callable[..., Said]
Install = Callable[..., None]

pytestmark = pytest.mark.filterwarnings("always::genloss.registry.catalogue.PluginWarning")

EXPERIMENT = """\
name: small
data: {name: two_moons, size: 300}
model: {name: autoencoder, latent_dim: 1, hidden: [4]}
objectives:
  squared: {network: squared_error}
training: {steps: 10, batch_size: 16}
seeds: 1
devices: cpu
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(EXPERIMENT)
    return path


def rows(said: Said) -> dict[str, list[str]]:
    """The cells of each line of the table, by the first."""
    return {line.split()[0]: line.split()[1:] for line in said.out.split("\n\n")[0].splitlines()[1:]}


def test_it_lists_the_built_in_one(genloss: Genloss) -> None:
    (plugin,) = [p for p in json.loads(genloss("plugins", "--json").out) if p["name"] == "genloss"]
    assert plugin["source"] == "genloss_builtin"
    assert plugin["hooks"] == ["genloss_datasets", "genloss_losses", "genloss_metrics", "genloss_models"]
    assert plugin["import_seconds"] >= 0
    assert (plugin["error"], plugin["hint"], plugin["notes"]) == (None, None, [])
    assert "offers" not in plugin


def test_offers_are_named(genloss: Genloss) -> None:
    out = genloss("plugins", "--offers").out
    assert "genloss offers " in out
    assert "gaussian_kl" in out
    (plugin,) = [
        p for p in json.loads(genloss("plugins", "--offers", "--json").out) if p["name"] == "genloss"
    ]
    assert "gaussian_kl" in plugin["offers"]["losses"]


def test_each_is_listed_with_version_hooks_and_state(genloss: Genloss, install: Install) -> None:
    install("acme-losses", BROKEN["misspelt hook"][0], version="2.3")
    install("loud-losses", "print('hello')\n" + GOOD)
    install("newer-losses", GOOD, requires=("genloss>=99",))
    said = genloss("plugins")
    assert said.code == 0
    table = rows(said)
    assert table["acme-losses"][:2] == ["2.3", "broken"]
    assert table["acme-losses"][-1] == "acme_losses"
    assert table["loud-losses"][:2] == ["1.0", "noisy"]
    assert table["loud-losses"][-1] == "losses"
    assert table["newer-losses"] == ["1.0", "broken", "newer_losses"]
    assert table["genloss"][1] == "works"
    assert table["genloss"][3] == "ms"
    assert (
        "\nacme-losses is broken: `genloss_loses` is not a hook of genloss\n"
        "  hint: did you mean `genloss_losses`?\n"
    ) in said.out
    assert "\nloud-losses printed `hello` while it was loaded\n" in said.out
    assert "\nnewer-losses is broken: it needs genloss >=99, and this is genloss " in said.out


def test_what_a_plugin_prints_is_a_note_in_the_json(genloss: Genloss, install: Install) -> None:
    install("loud-losses", "print('[')\n" + GOOD)
    said = genloss("plugins", "--json")
    (plugin,) = [plugin for plugin in json.loads(said.out) if plugin["name"] == "loud-losses"]
    assert plugin["notes"] == ["printed `[`"]


def test_offers_cost_no_second_import(genloss: Genloss, install: Install) -> None:
    install("loud-losses", "import time\ntime.sleep(0.2)\nprint('[')\n" + GOOD)
    said = genloss("plugins", "--offers", "--json")
    (plugin,) = [plugin for plugin in json.loads(said.out) if plugin["name"] == "loud-losses"]
    assert plugin["notes"] == ["printed `[`"]
    assert plugin["import_seconds"] >= 0.2


@pytest.mark.parametrize("command", [["list", "losses"], ["show", "doubled"]], ids=" ".join)
def test_what_a_plugin_prints_becomes_a_warning(
    genloss: Genloss, install: Install, command: list[str]
) -> None:
    install("loud-losses", "print('[')\n" + GOOD)
    said = genloss(*command, "--json")
    assert "doubled" in json.dumps(json.loads(said.out))
    assert said.err == "warning: plugin `loud-losses 1.0` (loud_losses) printed `[` while it was loaded\n"


def test_a_hook_is_called_only_for_what_it_offers(genloss: Genloss, install: Install) -> None:
    install("acme-losses", BROKEN["exception in a hook"][0])
    assert rows(genloss("plugins"))["acme-losses"][1] == "works"
    assert rows(genloss("plugins", "--offers"))["acme-losses"][1] == "broken"


def test_a_broken_file_is_listed_with_its_cause(genloss: Genloss, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import genloss\nraise ValueError('planted')\n")
    said = genloss("plugins", "--plugin", tmp_path / "broken.py")
    assert said.code == 0
    assert "broken.py is broken: ValueError: planted (broken.py, line 2)\n" in said.out
    said = genloss("list", "--plugin", tmp_path / "broken.py")
    assert said.code == 2
    assert "ValueError: planted (broken.py, line 2)" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("case", ["exit at import", "hook that returns nothing", "misspelt hook"])
def test_an_experiment_that_does_not_need_it_gets_one_line(
    genloss: Genloss, install: Install, experiment: Path, case: str
) -> None:
    source, cause = BROKEN[case]
    install("acme-losses", source)
    said = genloss("plan", experiment)
    assert said.code == 0
    (line,) = said.err.splitlines()
    assert line.startswith(f"warning: plugin `acme-losses 1.0` (acme_losses) could not be loaded: {cause}")


@pytest.mark.parametrize("loss", ["negated", "acme-losses:negated"])
def test_an_experiment_that_needs_it_gets_an_error_that_names_it(
    genloss: Genloss, install: Install, experiment: Path, loss: str
) -> None:
    source, cause = BROKEN["exit at import"]
    install("acme-losses", source, version="2.3")
    experiment.write_text(EXPERIMENT.replace("squared_error", f'"{loss}"'))
    said = genloss("plan", experiment)
    assert said.code == 2
    _, error = said.err.split("error: ")
    assert f"`{loss}`" in error.splitlines()[0]
    assert f"{experiment}:5:" in error
    assert "plugin `acme-losses 2.3`" in error
    assert cause in error


@pytest.mark.slow
def test_a_study_is_trained_beside_broken_and_noisy_plugins(
    install: Install, experiment: Path, tmp_path: Path
) -> None:
    install("acme-losses", BROKEN["exit at import"][0])
    install("loud-losses", "print('hello')\n" + GOOD)
    sites = [str(tmp_path / f"{name}-site") for name in ("acme-losses", "loud-losses")]
    done = subprocess.run(
        [sys.executable, "-m", "genloss", "run", experiment],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sites)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "hello" not in done.stdout
    assert done.stdout.splitlines()[-1].startswith("genloss ui small-")
    said = [line for line in done.stderr.splitlines() if line.startswith("warning:")]
    assert [line.split("`")[1] for line in said] == ["acme-losses 1.0", "loud-losses 1.0"]
