"""Names from outside, wherever a name can be given: refused in a message, no file made, nothing sent to a
terminal that would command it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Said
from tests.faults import support
from tests.faults.support import experiment, objective

NAMES = {
    "a way out": "../../x",
    "an absolute path": "/etc/passwd",
    "this folder": ".",
    "nothing": "",
    "a pipe": "a|b",
    "a command": "$(touch x)",
    "an option": "--yes",
    "300 characters": "x" * 300,
    "5000 characters": "x" * 5000,
    "a line break": "a\nb",
    "an escape sequence": "\x1b]0;title\x07\x1b[31mred",
    "a character that turns the line round": "x\u202egnp.txt",
    "a NUL": "a\x00b",
}
every_name = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
ARGUMENTS = {key: name for key, name in NAMES.items() if "\0" not in name}
"""No argument of a process holds a NUL."""

every_argument = pytest.mark.parametrize("name", ARGUMENTS.values(), ids=ARGUMENTS)


def term_as(name: str) -> dict[str, Any]:
    return experiment({"mine": {"network": {"planted": {"as": name}}}})


PLACES: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "name": lambda name: experiment({"mine": objective()}, name=name),
    "an objective": lambda name: experiment({name: objective()}),
    "a player": lambda name: experiment({"mine": {name: "planted"}}),
    "a term's `as`": term_as,
    "a loss": lambda name: experiment({"mine": {"network": name}}),
    "a quantity": lambda name: experiment({"mine": {"network": {"planted": {"bind": {"x": name}}}}}),
    "an option": lambda name: experiment({"mine": {"network": {"planted": {name: 1}}}}),
    "a model": lambda name: experiment({"mine": objective()}, model=name),
    "a dataset": lambda name: experiment({"mine": objective()}, data=name),
    "a dataset's option": lambda name: experiment({"mine": objective()}, data={"name": "two_moons", name: 1}),
    "a dataset's file": lambda name: experiment(
        {"mine": objective()}, data={"name": "arrays", "path": f"{name}.npy"}
    ),
    "a dataset's text": lambda name: experiment(
        {"mine": objective()}, data={"name": "huggingface", "path": name}
    ),
    "a metric": lambda name: experiment({"mine": objective()}, evaluation={"metrics": [name]}),
    "a plugin": lambda name: experiment({"mine": objective()}, plugins=[f"{name}.py"]),
    "a device": lambda name: experiment({"mine": objective()}, devices=[name]),
    "the baseline": lambda name: experiment({"mine": objective()}, baseline=name),
    "an optimizer": lambda name: experiment({"mine": objective()}, training={"optimizer": name}),
    "a store": lambda name: experiment({"mine": objective()}, tracking={"uri": f"no-{name}"}),
}


def refused(said: Said) -> None:
    """That it is a mistake of the user's, in words, and that nothing was made of it."""
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
    assert all(character.isprintable() or character == "\n" for character in said.out + said.err)


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


@every_name
@pytest.mark.parametrize("place", PLACES)
def test_a_name_in_an_experiment_is_refused(
    genloss: Callable[..., Said], here: Path, place: str, name: str
) -> None:
    inner = here / "a" / "b"
    inner.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(inner)
        file = support.write(PLACES[place](name))
        refused(genloss("run", file))
    assert files(here) == {inner / file}


@every_argument
@pytest.mark.parametrize("option", ["", "--set", "--objective", "--plugin"])
def test_a_name_beside_an_experiment_is_refused(
    genloss: Callable[..., Said], here: Path, option: str, name: str
) -> None:
    if not option:
        refused(genloss("run", "--", name))
        return
    file = support.write(experiment({"mine": objective()}))
    refused(genloss("run", file, f"{option}={name}"))
    assert files(here) == {here / file}


STUDY_COMMANDS = {"ui": ["--no-open"], "resume": [], "sync": [], "clean": ["--yes"]}


@pytest.fixture
def beside(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder two below, with a study, and a folder above it, which `../../x` names, with files."""
    folder = here / "a" / "b"
    study = folder / ".genloss" / "mine"
    study.mkdir(parents=True)
    (study / "study.json").write_text("{}")
    (here / "x").mkdir()
    (here / "x" / "precious").touch()
    monkeypatch.chdir(folder)
    return folder


@every_argument
@pytest.mark.parametrize("command", STUDY_COMMANDS)
def test_a_study_that_is_none_is_refused(
    genloss: Callable[..., Said], beside: Path, here: Path, command: str, name: str
) -> None:
    before = files(here)
    refused(genloss(command, *STUDY_COMMANDS[command], "--", name))
    assert files(here) == before


def test_a_name_that_mlflow_would_refuse_is_refused_before_training(
    genloss: Callable[..., Said], here: Path
) -> None:
    for name in ("", "x" * 501):
        content = experiment({"mine": objective()}, tracking={"experiment": name})
        refused(genloss("run", support.write(content)))
    assert not Path(".genloss").exists()
