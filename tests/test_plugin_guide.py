"""What plugins/README.md says is done here: its examples, and the way from an empty folder to MLflow."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import genloss
from genloss import scaffold
from genloss.conformance import checks
from genloss.contracts.metric import OFFERED
from genloss.experiment.source import from_file
from genloss.planning.json_schema import experiment_schema
from genloss.planning.plan import plan, runs
from genloss.registry.catalogue import Catalogue
from genloss.registry.kinds import KINDS
from tests.test_documented import PLUGINS, ROOT, blocks

FILES = {
    match[1]: source
    for language in ("python", "yaml")
    for source in blocks(PLUGINS, language)
    if (match := re.match(r"# (\w+\.\w+)\n", source))
}
"""The guide's files, by the names in their first lines."""

RECORDED = (
    "import mlflow; runs = mlflow.search_runs(search_all_experiments=True); "
    "print(*runs['params.objective'].dropna())"
)

NAMES = {"spiral.py": "spiral", "linear.py": "linear_autoencoder", "gap.py": "mean_gap"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files of the guide."""
    folder = tmp_path_factory.mktemp("guide")
    for name, source in FILES.items():
        (folder / name).write_text(source)
    return folder


@pytest.fixture(scope="module")
def catalogue(folder: Path) -> Catalogue:
    """What they offer."""
    return genloss.catalogue(*sorted(folder.glob("*.py")))


def test_all_its_files_are_here() -> None:
    assert set(FILES) == {"quartic.py", "quartic.yaml", "spiral.yaml", *NAMES}


@pytest.mark.parametrize("name", NAMES.values())
def test_its_dataset_its_model_and_its_metric_pass_the_conformance_suite(
    catalogue: Catalogue, name: str
) -> None:
    (definition,) = catalogue.named(name)
    found = checks(definition)
    assert len(found) > 5
    for check in found:
        check.run()


@pytest.mark.parametrize("name", ["quartic.yaml", "spiral.yaml"])
def test_its_experiments_are_right(folder: Path, catalogue: Catalogue, name: str) -> None:
    assert len(runs(plan(folder / name), "study")) == 4
    schema = Draft202012Validator(experiment_schema(catalogue))
    assert schema.is_valid(from_file(folder / name).root.plain)


def test_its_pieces_of_a_package_are_those_that_are_written(tmp_path: Path) -> None:
    scaffold.write("loss", "cauchy_nll", tmp_path)
    (test,) = [source for source in blocks(PLUGINS, "python") if "test_conformance" in source]
    written = (tmp_path / "tests" / "test_cauchy_nll.py").read_text()
    for part in test.split("\n\n"):
        for line in part.splitlines():
            assert line in written.splitlines()
    (toml,) = blocks(PLUGINS, "toml")
    assert toml in (tmp_path / "pyproject.toml").read_text()


def test_it_names_all_that_data_have_and_metrics_may_ask_for() -> None:
    text = PLUGINS.read_text()
    for field in dataclasses.fields(genloss.DataSpec):
        assert f"| `{field.name}` | " in text
    for field in dataclasses.fields(genloss.Data):
        assert f"`{field.name}`" in text or field.name == "spec"
    for name in OFFERED:
        assert f"`{name}`" in text
    for kind in KINDS:
        assert f"`genloss_{kind}`" in text


def test_its_example_of_an_exemption_names_a_check() -> None:
    (name,) = re.findall(r'exempt=\{"(\w+)": "', PLUGINS.read_text())
    assert name in {check.name for check in checks(genloss.catalogue().losses["squared_error"])}


class Shell:
    """Commands in a fresh virtual environment, as a reader types them.

    Args:
        environment: the virtual environment's folder.
        folder: where the first command is run.
    """

    def __init__(self, environment: Path, folder: Path) -> None:
        self.folder = folder
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MLFLOW"))
        }
        self.variables = {
            **kept,
            "VIRTUAL_ENV": str(environment),
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }

    def __call__(self, command: str, *, fails: bool = False) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        if command.startswith("cd "):
            self.folder /= command.removeprefix("cd ")
        return done

    def served(self, command: str) -> int:
        """The status of the page that a command prints the address of, until Ctrl-C."""
        process = subprocess.Popen(
            [*command.split(), "--no-open"],
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            with urllib.request.urlopen(process.stdout.readline().strip(), timeout=300) as page:
                return int(page.status)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=300)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Shell]:
    """A fresh virtual environment in which genloss has been installed, as a user would."""
    environment = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", ROOT]
    subprocess.run(install, check=True, timeout=1200)
    return lambda folder: Shell(environment, folder)


@pytest.mark.slow
class TestFreshEnvironment:
    def test_from_an_empty_folder_to_the_comparison_and_back(
        self, shell: Callable[[Path], Shell], tmp_path: Path
    ) -> None:
        run = shell(tmp_path)
        lines = "".join(blocks(PLUGINS, "console")[1:]).splitlines()
        commands = [line.removeprefix("$ ") for line in lines]
        assert commands[0] == "genloss new loss cauchy_nll"
        assert commands[-1] == "genloss ui"
        said = {command: run(command).stdout for command in commands[:-1]}

        assert re.search(r"cauchy-nll offers 1 loss: cauchy_nll$", said["genloss plugins --offers"], re.M)
        assert "asks for" in said["genloss show cauchy_nll"]
        assert re.search(
            r"checks of 1 definition and 1 plugin passed$", said["genloss check cauchy-nll"], re.M
        )
        table = said["genloss run experiment.yaml"]
        assert re.search(r"^squared_error +2 +[\d.]+ ± [\d.]+", table, re.M)
        assert re.search(r"^cauchy_nll +2 +[\d.]+ ± [\d.]+", table, re.M)
        assert "cauchy_nll" in run("genloss list losses").stdout
        assert run.served(commands[-1]) == 200
        objectives = run(f'python -W ignore -c "{RECORDED}"').stdout.split()
        assert sorted(objectives) == ["cauchy_nll"] * 2 + ["squared_error"] * 2

        (removal,) = re.findall(r"`(python -m pip uninstall \S+)`", PLUGINS.read_text())
        run(f"{removal} -y")
        listed = run("genloss list losses")
        assert "squared_error" in listed.stdout
        assert "cauchy_nll" not in listed.stdout
        assert listed.stderr == ""
        refused = run("genloss plan experiment.yaml", fails=True)
        assert "no plugin offers a loss named `cauchy_nll`" in refused.stderr
        run("genloss run experiment.yaml --objective squared_error --set training.steps=5 --set seeds=1")

    @pytest.mark.parametrize("kind", ["model", "dataset", "metric"])
    def test_the_other_kinds_are_trained_and_compared_too(
        self, shell: Callable[[Path], Shell], tmp_path: Path, kind: str
    ) -> None:
        run = shell(tmp_path)
        run(f"genloss new {kind} new_{kind}")
        run(f"cd new-{kind}")
        run("python -m pip install -q --no-deps -e .")
        assert "checks of 1 definition and 1 plugin passed\n" in run(f"genloss check new-{kind}").stdout
        table = run("genloss run experiment.yaml --set training.steps=20 --set seeds=1").stdout
        assert "genloss ui new-" in table
        run(f"python -m pip uninstall -q -y new-{kind}")
        assert f"new_{kind}" not in run(f"genloss list {kind}s").stdout

    def test_the_files_of_the_guide_are_trained(
        self, shell: Callable[[Path], Shell], folder: Path, tmp_path: Path
    ) -> None:
        run = shell(tmp_path)
        table = run(f"genloss run {folder / 'spiral.yaml'}").stdout
        assert "mean_gap, data" in table
        assert re.search(r"^squared +2 ", table, re.M)
