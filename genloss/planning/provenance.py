"""Which code a run uses, and what is in the files that its options name: by digests, to tell others apart.

model.@code                  net.py 3f1c…             a plugin file, with its neighbours
generator.hinge.@code        genloss 0.1.0 (77ab…)    an installed plugin: its version, and the module
training.@code               genloss 0.1.0 (90de…)    the trainer
model.weights.@content       5be0…                    the file that the option `weights` names
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloss.experiment.schema import CODE, CONTENT, Choice, Evaluation, Objective, Schedule
from genloss.registry import code
from genloss.version import __version__

if TYPE_CHECKING:
    from genloss.contracts.definition import Definition
    from genloss.registry.catalogue import Catalogue, Definitions
    from genloss.registry.plugin import Plugin

CORE = ("contracts", "training")
"""The folders of genloss that decide a run's numbers."""


def used(
    data: Choice, objective: Objective, evaluation: Evaluation | None, known: Catalogue, digest: str
) -> dict[str, str]:
    """The code and the files that a run uses.

    Args:
        data: the run's.
        objective: the run's.
        evaluation: the run's.
        known: the catalogue.
        digest: the data's, which stands for all files that it was read from.

    Raises:
        CatalogueError: something is offered no more.
    """
    found = {f"training.{CODE}": trainer()}
    found[f"data.{CODE}"] = described(known.datasets[data.name], known.datasets.provider(data.name))
    for option in _paths(known.datasets[data.name], data.options):
        found[f"data.{option}.{CONTENT}"] = digest[: code.SHOWN]
    for name, choice, definitions in _parts(objective, evaluation, known):
        found[f"{name}.{CODE}"] = described(definitions[choice.name], definitions.provider(choice.name))
    files = contents(objective, evaluation, known)
    return found | {f"{option}.{CONTENT}": content for option, content in files.items()}


def contents(objective: Objective, evaluation: Evaluation | None, known: Catalogue) -> dict[str, str]:
    """Of a run, the digests of the files and folders that options name, but for the data's."""
    return {
        f"{name}.{option}": _content(paths)
        for name, choice, definitions in _parts(objective, evaluation, known)
        for option, paths in _paths(definitions[choice.name], choice.options).items()
    }


def providers(
    data: Choice, objective: Objective, evaluation: Evaluation | None, known: Catalogue
) -> Iterator[Plugin]:
    """The plugins that offer what a run uses."""
    yield known.datasets.provider(data.name)
    for _, choice, definitions in _parts(objective, evaluation, known):
        yield definitions.provider(choice.name)


def _parts(
    objective: Objective, evaluation: Evaluation | None, known: Catalogue
) -> Iterator[tuple[str, Choice, Definitions[Any]]]:
    """What a run names, but for its data; each with where it is looked up."""
    yield "model", objective.model, known.models
    for player, terms in objective.players.items():
        for term in terms:
            yield f"{player}.{term.name}", Choice(name=term.loss, options=term.options), known.losses
    for metric in evaluation.metrics if evaluation is not None else ():
        yield f"evaluation.{metric.name}", metric, known.metrics


def described(definition: Definition, provider: Plugin) -> str:
    """The code of a definition: its plugin's name and version, and a digest of what it is written in."""
    if provider.code is not None:
        return str(provider)
    module = provider.source.partition(":")[0]
    return f"{provider} ({code.of_module(definition.implementation.__module__, listing=module)})"


def _paths(definition: Definition, options: Mapping[str, Any]) -> dict[str, tuple[Path, ...]]:
    """The options that name files or folders."""
    found = {}
    for name, value in options.items():
        if name in definition.options and (paths := tuple(_flat(definition, name, value))):
            found[name] = paths
    return found


def _flat(definition: Definition, name: str, value: Any) -> Iterator[Path]:
    values = [] if isinstance(value, Schedule) else [definition.options[name].validate(value)]
    while values:
        item = values.pop(0)
        if isinstance(item, Path):
            yield item
        elif isinstance(item, list | tuple):
            values += item


def _content(paths: tuple[Path, ...]) -> str:
    """The digest of files, and of all files in folders."""
    whole = hashlib.sha256()
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inside:
            if file.is_file():
                status = file.stat()
                name = file.relative_to(path).as_posix()
                whole.update(f"{name}\0{_digest(file, status.st_size, status.st_mtime_ns)}\n".encode())
            elif file == path:
                whole.update(b"missing\n")
    return whole.hexdigest()[: code.SHOWN]


@cache
def _digest(file: Path, size: int, changed: int) -> str:  # noqa: ARG001 - another file for the cache
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@cache
def trainer() -> str:
    """The code of the trainer."""
    root = Path(__file__).parents[1]
    digests = [code.of_package(root / folder) for folder in CORE]
    whole = hashlib.sha256(" ".join(digests).encode()).hexdigest()
    return f"genloss {__version__} ({whole[: code.SHOWN]})"
