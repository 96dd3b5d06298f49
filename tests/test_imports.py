"""What is imported when: torch and MLflow take seconds, and only those who need them shall wait."""

import importlib
import json
import pkgutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

import genloss

EXPERIMENTS = Path(__file__).parents[1] / "experiments"

HEAVY = ("torch", "mlflow", "matplotlib", "numpy", "scipy", "sklearn", "torchmetrics", "pandas")

CLICK_ALONE = """
import click

@click.command()
def main():
    '''Nothing.'''

main(['--help'])
"""


def loaded_by(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter has after running the code."""
    tail = f"\nimport json, sys\nprint('\\n' + json.dumps([n for n in {HEAVY} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def submodules(package: str) -> list[str]:
    """All modules of a package, itself among them."""
    path = importlib.import_module(package).__path__
    return [package, *(module.name for module in pkgutil.walk_packages(path, f"{package}."))]


def command(*arguments: str) -> str:
    """Code that runs `genloss` with these arguments, as its entry point does."""
    return f"""
import sys
from genloss.commands import main
sys.argv = ["genloss", *{arguments}]
try:
    main()
except SystemExit as ending:
    assert ending.code == 0, ending.code
"""


def test_the_check_finds_what_is_loaded():
    assert loaded_by("import torch") >= {"torch"}


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import genloss, genloss.errors", id="genloss"),
        pytest.param("import genloss; genloss.hookimpl; genloss.GenlossError; genloss.catalogue", id="names"),
        pytest.param("import genloss.registry.catalogue, genloss.registry.hookspecs", id="registry"),
        pytest.param("import " + ", ".join(submodules("genloss.commands")), id="commands"),
        pytest.param("import " + ", ".join(submodules("genloss.experiment")), id="experiment"),
        pytest.param("import genloss.training.devices, genloss.launch.subprocesses", id="devices"),
        pytest.param(
            "from genloss.experiment import read, source\n"
            f"read.read(source.from_file({str(EXPERIMENTS / 'gan.yaml')!r}))",
            id="reading",
        ),
        pytest.param("import genloss_builtin", id="builtin"),
        pytest.param(
            "from genloss.registry.catalogue import installed_plugins\n"
            "for plugin in installed_plugins():\n    plugin.register()\n    assert plugin.error is None",
            id="registering",
        ),
    ],
)
def test_no_torch_and_no_mlflow(code):
    assert not loaded_by(code) & {"torch", "mlflow"}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["run", "--help"], ["plugins"], ["plugins", "--json"]],
    ids=" ".join,
)
def test_quick_commands_load_nothing_heavy(arguments):
    assert loaded_by(command(*arguments)) == set()


def test_the_journal_is_read_and_shipped_without_torch():
    """The tracker is a process of its own, beside the training."""
    loaded = loaded_by(
        "import genloss.record.folder, genloss.record.journal, genloss.comparison.from_records"
    )
    assert not loaded & {"torch", "mlflow"}


def test_a_plan_does_without_torchs_compiler():
    """Torch imports it for an optimizer's sake: a second, and 70 MB."""
    code = f"from genloss.planning.plan import plan\nplan({str(EXPERIMENTS / 'ring.yaml')!r})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nassert 'torch._dynamo' not in sys.modules"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_losses_do_without_mlflow():
    code = (
        "import genloss\nassert len(genloss.catalogue().losses) > 20\nassert genloss.Loss and genloss.Model"
    )
    loaded = loaded_by(code)
    assert "torch" in loaded
    assert not loaded & {"mlflow", "matplotlib", "pandas"}


def test_training_and_the_record_do_without_mlflow():
    modules = submodules("genloss.training") + submodules("genloss.record") + submodules("genloss.contracts")
    assert "mlflow" not in loaded_by("import " + ", ".join(modules))


def test_every_exported_name_is_there_and_is_no_module():
    names = set(genloss.__all__)
    assert {"loss", "Loss", "Model", "Turn", "dataset", "Data", "DataSpec", "metric", "hookimpl"} <= names
    assert {"run", "load", "catalogue", "GenlossError"} <= names
    for name in names:
        assert not isinstance(getattr(genloss, name), type(sys)), name
    assert dir(genloss) == sorted(names)


def test_no_submodule_bears_an_exported_name():
    assert not set(genloss.__all__) & {module.name for module in pkgutil.iter_modules(genloss.__path__)}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"^module `genloss` has no attribute `gaussian_kl`$"):
        genloss.gaussian_kl  # noqa: B018


def test_a_star_import_gives_all_names():
    scope: dict[str, object] = {}
    exec("from genloss import *", scope)
    assert set(genloss.__all__) <= set(scope)
    assert scope["loss"] is genloss.loss


def seconds(*arguments: str) -> float:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    took = time.perf_counter() - began
    assert done.returncode == 0, done.stderr
    return took


def test_help_takes_no_longer_than_twice_a_program_that_imports_click():
    ratios = []
    for _ in range(2):  # a second chance, since others use this machine too
        pairs = [(seconds("-m", "genloss", "--help"), seconds("-c", CLICK_ALONE)) for _ in range(7)]
        ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratios.append(ours / theirs)
        if ratios[-1] <= 2:
            return
    pytest.fail(f"`genloss --help` takes {ratios} times as long")
