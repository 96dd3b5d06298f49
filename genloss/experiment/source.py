"""An experiment as written, in a YAML file or in a mapping."""

from __future__ import annotations

import codecs
import difflib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genloss.errors import ExperimentError, Location
from genloss.experiment import yaml_reader
from genloss.experiment.nodes import Node, from_python, show
from genloss.experiment.overrides import set_value
from genloss.experiment.schema import Experiment

MAX_BYTES = 2**20
MAPPING = "a Python mapping"
"""The name of a source that is not a file."""


@dataclass(frozen=True)
class Source:
    """An experiment as it was written, overrides included.

    Attributes:
        name: the file as the user named it.
        text: what it says.
        folder: what relative paths in it are relative to.
        root: its content.
        overrides: the `--set`s that are in `root`, as they were given.
    """

    name: str
    text: str
    folder: Path
    root: Node
    overrides: tuple[str, ...] = ()

    def where(self, *path: str | int) -> Location:
        """The place of the value at that path, or of the deepest one on the way to it."""
        return self.root.at(*path).where

    def overridden(self, overrides: Sequence[str]) -> Source:
        """The experiment with these `--set`s, such as `training.steps=50`, one after the other.

        Raises:
            ExperimentError: one that is no `key.path=VALUE`, or leads nowhere.
        """
        root = self.root
        for override in overrides:
            root = set_value(root, override)
        return replace(self, root=root, overrides=(*self.overrides, *overrides))


def from_file(path: Path | str) -> Source:
    """The experiment in a YAML file.

    Raises:
        ExperimentError: there is no such file, or it is not YAML that genloss reads.
    """
    return _parsed(str(path), _read(Path(path)))


def from_mapping(mapping: Mapping[str, Any]) -> Source:
    """The experiment in a mapping; places are paths in it, as `experiment: objectives.wgan_gp.generator`.

    Raises:
        ExperimentError: it holds what YAML could not say.
    """
    root = from_python(mapping)
    text = json.dumps(root.plain, indent=2, ensure_ascii=False) + "\n"
    return Source(MAPPING, text, Path.cwd(), _top(root, root.where))


def again(experiment: Experiment) -> Source:
    """The source of an experiment that was read before, whatever its file says now."""
    if experiment.source == MAPPING:
        source = from_mapping(json.loads(experiment.text))
    else:
        source = _parsed(experiment.source, experiment.text)
    return source.overridden(experiment.overrides)


def command(experiment: Mapping[str, Any], copy: str) -> str:
    """The shell's line that runs an experiment again.

    Args:
        experiment: as study.json has it.
        copy: the path of the copy among the records, which stands for what was no file.
    """
    words = ["genloss", "run", experiment["source"] if experiment["source"] != MAPPING else copy]
    for objective in experiment.get("chosen", []):
        words += ["--objective", objective]
    for override in experiment.get("overrides", []):
        words += ["--set", override]
    for plugin in experiment.get("plugins", []):
        words += ["--plugin", plugin]
    return shlex.join(words)


def _parsed(name: str, text: str) -> Source:
    root = yaml_reader.parse(text, lambda line, column: Location(name, line + 1, column + 1))
    return Source(name, text, Path(name).absolute().parent, _top(root, Location(name, 1, 1)))


def _top(root: Node, start: Location) -> Node:
    if root.value in (None, {}, ()):
        raise ExperimentError(
            "the experiment is empty",
            where=start,
            hint="it needs at least `name`, `data`, `model`, `objectives`, `training` and `seeds`",
        )
    if not isinstance(root.value, Mapping):
        raise ExperimentError(
            f"expected a mapping of keys to values, got {show(root.plain)}",
            where=root.where,
            hint="an experiment begins like `name: my-experiment`",
        )
    return root


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            problem = "is not a file" if path.exists() else "does not exist"
            raise ExperimentError(f"{show(str(path))} {problem}", hint=_nearest(path))
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1).removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise ExperimentError(
            f"{show(str(path))} cannot be read: {error.strerror}", hint="look at its name and its permissions"
        ) from error
    if len(content) > MAX_BYTES:
        raise ExperimentError(
            "the file is larger than 1 MiB",
            where=Location(str(path), 1, 1),
            hint="an experiment is a short text; data belong in files of their own",
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        lines = content[: error.start].decode().split("\n")
        raise ExperimentError(
            "the file is not encoded in UTF-8",
            where=Location(str(path), len(lines), len(lines[-1]) + 1),
            hint="save it as UTF-8 in your editor",
        ) from None


def _nearest(path: Path) -> str:
    """YAML files that may have been meant."""
    folders = dict.fromkeys([path if path.is_dir() else path.parent, Path(), Path("experiments")])
    files = [file for folder in folders if folder.is_dir() for file in sorted(folder.glob("*.y*ml"))]
    names = {file.name: str(file) for file in reversed(files)}
    near = [names[name] for name in difflib.get_close_matches(path.name, names, n=2)]
    if near:
        return "did you mean " + " or ".join(map(show, near)) + "?"
    if files:
        return "there is " + ", ".join(show(str(file)) for file in files[:6])
    return "write the path of a YAML file, relative to the folder you are in"
