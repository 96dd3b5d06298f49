"""What the documents say is run here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genloss.commands import NAMES
from genloss.experiment import schema
from genloss.planning.plan import plan, runs
from genloss.registry import hookspecs
from genloss.registry.catalogue import KINDS

ROOT = Path(__file__).parents[1]
README, PLUGINS, EXPERIMENTS = (
    ROOT / "README.md",
    ROOT / "plugins" / "README.md",
    ROOT / "experiments" / "README.md",
)


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def test_every_command_is_in_the_readme() -> None:
    for name in NAMES:
        assert f"`genloss {name}" in README.read_text()


def test_every_hook_is_in_the_plugin_guide_and_has_an_example() -> None:
    for kind in KINDS:
        assert f"`genloss_{kind}`" in PLUGINS.read_text()
        assert "Example:" in (getattr(hookspecs, f"genloss_{kind}").__doc__ or "")


def test_every_key_is_in_the_experiments_guide() -> None:
    text = EXPERIMENTS.read_text()
    for model in (
        schema.Training,
        schema.Player,
        schema.Evaluation,
        schema.Tracking,
        schema.Ramp,
        schema.Cycle,
    ):
        for name, field in model.model_fields.items():
            assert re.search(rf"\b{field.alias or name}\b", text), name
    for name in set(schema.Experiment.model_fields) - {"source", "text", "overrides", "chosen"}:
        assert re.search(rf"^{name}:", text, re.MULTILINE), name


def test_every_experiment_is_in_the_guide() -> None:
    for path in (ROOT / "experiments").glob("*.yaml"):
        assert f"({path.name})" in EXPERIMENTS.read_text()


@pytest.mark.parametrize("document", [README, EXPERIMENTS], ids=["README", "experiments"])
def test_the_experiments_in_documents_are_right(document: Path, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(document, "yaml")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        assert runs(plan(path), "study")


def test_links_lead_somewhere() -> None:
    for document in (README, PLUGINS, EXPERIMENTS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_readme_s_python_runs(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    plugin, library = blocks(README, "python")
    assert len(plugin.splitlines()) <= 20
    (tmp_path / "library.py").write_text(library + "\nassert samples.shape == (16, 2)\n")
    subprocess.run([sys.executable, "library.py"], cwd=tmp_path, check=True, timeout=300)


def test_a_plugin_of_twenty_lines_is_trained_and_compared_like_a_built_in(tmp_path: Path) -> None:
    """The plugin guide, from its files to the comparison, as a reader would type it."""
    source = blocks(PLUGINS, "python")[0]
    assert source == blocks(README, "python")[0].replace("# quartic.py: a whole plugin", "# quartic.py")
    (tmp_path / "quartic.py").write_text(source)
    (tmp_path / "quartic.yaml").write_text(blocks(PLUGINS, "yaml")[0])
    commands = [line.removeprefix("$ ") for line in blocks(PLUGINS, "console")[0].splitlines()]
    assert commands == [
        "genloss show quartic_error --plugin quartic.py",
        "genloss run quartic.yaml",
        "genloss ui",
    ]
    said = ""
    for command in commands[:2]:
        done = subprocess.run(
            [sys.executable, "-m", *command.split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said += done.stdout
    assert "asks for" in said
    assert re.search(r"^squared +2 +[\d.]+ ± [\d.]+", said, re.MULTILINE)
    assert re.search(r"^quartic +2 +[\d.]+ ± [\d.]+", said, re.MULTILINE)
    assert "genloss ui quartic-" in said
