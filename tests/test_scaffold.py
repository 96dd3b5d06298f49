"""A package that `genloss new` writes works at once, whatever its kind and name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import genloss
from genloss import scaffold
from genloss.conformance.plugins import checks_of_plugin
from genloss.experiment.source import from_file
from genloss.planning.json_schema import experiment_schema
from genloss.planning.plan import plan, runs
from genloss.registry.discovery import collect, installed_plugins
from genloss.registry.kinds import KINDS, singular
from genloss.registry.plugin import Plugin

ROOT = Path(__file__).parents[1]
ONES = [singular(kind) for kind in KINDS]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A new package of each kind, called `new_loss` and so on."""
    root = tmp_path_factory.mktemp("packages")
    for kind in ONES:
        scaffold.write(kind, f"new_{kind}", root / f"new-{kind}")
    return {kind: root / f"new-{kind}" for kind in ONES}


@pytest.fixture
def installed(
    packages: dict[str, Path], afresh: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Plugin]]:
    """The packages, found as pip's editable installation lets them be found."""
    for folder in packages.values():
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        info = folder / "src" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir(exist_ok=True)
        metadata = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {project['version']}"]
        metadata += [f"Requires-Dist: {requirement}" for requirement in project["dependencies"]]
        (info / "METADATA").write_text("\n".join(metadata) + "\n")
        entries = [f"{name} = {value}" for name, value in project["entry-points"]["genloss"].items()]
        (info / "entry_points.txt").write_text("\n".join(["[genloss]", *entries]) + "\n")
        monkeypatch.syspath_prepend(folder / "src")
    found = {plugin.name: plugin for plugin in installed_plugins()}
    collect(found.values())
    yield {kind: found[folder.name] for kind, folder in packages.items()}
    for name in [name for name in sys.modules if name.split(".")[0] in {f"new_{kind}" for kind in ONES}]:
        del sys.modules[name]


class TestWritten:
    @pytest.mark.parametrize("kind", ONES)
    def test_the_package_is_found_and_does_what_a_plugin_must(
        self, installed: dict[str, Plugin], kind: str
    ) -> None:
        plugin = installed[kind]
        assert (plugin.error, plugin.notes, plugin.version) == (None, [], "0.1.0")
        (definition,) = [each for kind in KINDS for each in plugin.offers[kind]]
        assert (definition.kind, definition.name) == (kind, f"new_{kind}")
        checks = list(checks_of_plugin(plugin))
        assert len(checks) == 3
        for check in checks:
            check.run()

    @pytest.mark.usefixtures("installed")
    @pytest.mark.parametrize("kind", ONES)
    def test_its_experiment_compares_what_is_right(self, packages: dict[str, Path], kind: str) -> None:
        file = packages[kind] / "experiment.yaml"
        assert len(runs(plan(file), "study")) == 4
        assert f"new_{kind}" in file.read_text()
        schema = Draft202012Validator(experiment_schema(genloss.catalogue()))
        assert schema.is_valid(from_file(file).root.plain)

    def test_its_tests_pass(self, packages: dict[str, Path]) -> None:
        """The tests of all four in one process, since each would import torch again."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                [*(str(folder / "src") for folder in packages.values()), *filter(None, sys.path)]
            ),
        }
        folders = [folder / "tests" for folder in packages.values()]
        root = folders[0].parents[1]
        options = ["-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", root]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *folders],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        assert " passed" in done.stdout
        assert "skipped" not in done.stdout

    @pytest.mark.parametrize("name", ["q", "a2_" + 36 * "m" + "n"], ids=["shortest", "longest"])
    @pytest.mark.parametrize("kind", ONES)
    def test_ruff_has_nothing_to_say_however_long_the_name(
        self, tmp_path: Path, kind: str, name: str
    ) -> None:
        ruff = Path(sys.executable).with_name("ruff")
        assert len(name) in (1, scaffold.LONGEST)
        scaffold.write(kind, name, tmp_path / "package")
        for arguments in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
            done = subprocess.run(
                [ruff, *arguments], cwd=tmp_path / "package", capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ONES)
    def test_mypy_has_nothing_to_say(
        self, packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, kind: str
    ) -> None:
        mypy = shutil.which("mypy", path=Path(sys.executable).parent)
        assert mypy is not None, "mypy is not installed; the slow tests run where `genloss[dev]` is"
        cache = tmp_path_factory.getbasetemp() / "mypy"
        done = subprocess.run(
            [mypy, "--cache-dir", cache],
            cwd=packages[kind],
            # mypy does not find what is installed in editable mode.
            env={**os.environ, "MYPYPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
