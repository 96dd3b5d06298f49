"""A script that names itself as its plugin, with and without a main guard."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from genloss.registry.discovery import collect, file_plugin

PLUGIN = '''
import genloss
from jaxtyping import Float
from torch import Tensor

@genloss.loss(family="test", unit="data", source="this script")
def quartic(
    x: Float[Tensor, "batch *event"], x_hat: Float[Tensor, "batch *event"]
) -> Float[Tensor, "batch"]:
    """Fourth power of the error."""
    return (x - x_hat).pow(4).flatten(1).sum(1)

@genloss.hookimpl
def genloss_losses():
    yield quartic
'''

RUN = """
result = genloss.run(
    {
        "name": "script",
        "data": {"name": "two_moons", "size": 100},
        "model": {"name": "autoencoder", "latent_dim": 1, "hidden": [4]},
        "objectives": {"quartic": {"network": "quartic"}},
        "training": {"steps": 3, "batch_size": 8},
        "seeds": 1,
        "devices": "cpu",
    },
    plugins=[__file__],
)
print("trained", [run.status for run in result.runs])
print("resumed", [run.status for run in genloss.resume().runs])
"""


def test_a_script_without_a_main_guard_trains_its_own_loss_and_resumes(here: Path) -> None:
    (here / "script.py").write_text(PLUGIN + RUN)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "trained ['FINISHED']\nresumed ['FINISHED']\n"
    assert done.stderr == ""
    assert len(list(here.glob(".genloss/*/study.json"))) == 1


@pytest.mark.parametrize("call", ["run({})", "resume()", "catalogue()"])
@pytest.mark.parametrize("guard", ["", "try:\n    {}\nexcept Exception:\n    pass\n"], ids=["bare", "caught"])
def test_what_loads_plugins_is_refused_to_a_plugin_that_is_loaded(
    tmp_path: Path, call: str, guard: str
) -> None:
    path = tmp_path / "script.py"
    path.write_text(f"import genloss\n{(guard or '{}').format(f'genloss.{call}')}\n{PLUGIN}")
    plugin = file_plugin(path)
    collect([plugin])
    assert plugin.error is not None
    assert plugin.error.startswith("it calls `genloss.")
    assert plugin.hint == 'put the call behind `if __name__ == "__main__":`'


def test_in_a_hook_it_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(PLUGIN + "    genloss.run({})\n")
    plugin = file_plugin(path)
    collect([plugin])
    assert plugin.error == "it calls `genloss.run` while it is loaded"
