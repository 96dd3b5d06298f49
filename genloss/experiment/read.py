"""From what was written to an Experiment: keys, types, bounds and names.

What depends on the catalogue, on the data or on this machine is looked at by check.py. The first mistake in
the order of the document is the one that is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from genloss.errors import ExperimentError
from genloss.experiment.files import existing
from genloss.experiment.nodes import Node, show
from genloss.experiment.objectives import (
    Drafted,
    read_choice,
    read_named,
    read_objective,
    read_players,
    read_training,
)
from genloss.experiment.readers import join, read_list, read_mapping, section, suggestion, typed, unexpected
from genloss.experiment.schema import Choice, Evaluation, Experiment, Name, Processes, Retry, Tracking
from genloss.experiment.search import complete, read_search
from genloss.experiment.source import Source
from genloss.experiment.sweep import expand, read_sweep

REQUIRED = ("name", "data", "model", "objectives", "training", "seeds")
MAX_SEEDS = 1000
SEED_LIMIT = 2**32


@dataclass(frozen=True)
class Draft:
    """An experiment that has been read, with the nodes that its parts were read from.

    Attributes:
        objectives: by name.
    """

    experiment: Experiment
    source: Source
    objectives: Mapping[str, Drafted]


def read(source: Source) -> Draft:
    """The experiment that was written.

    Raises:
        ExperimentError: it says what no experiment can say.
    """
    root = source.root
    values = read_mapping(
        root,
        "",
        {
            "name": typed(Name),
            "description": typed(str),
            "plugins": partial(_plugins, source.folder),
            "data": read_choice,
            "model": read_choice,
            "objectives": _objectives,
            "baseline": typed(str),
            "training": read_training,
            "sweep": read_sweep,
            "search": read_search,
            "seeds": _seeds,
            "devices": _devices,
            "workers": typed(Processes | None),
            "threads": typed(Processes | None),
            "on_failure": _on_failure,
            "evaluation": _evaluation,
            "tracking": partial(section, Tracking),
        },
        required=REQUIRED,
    )
    del values["model"], values["training"]
    bases = values.pop("objectives")
    grid = values.pop("sweep", {})
    if grid:
        drafted = expand(root, grid, seeds=len(values["seeds"]))
    else:
        drafted = [read_objective(root, name) for name in bases]
    values["baseline"] = _baseline(values.get("baseline"), drafted, root)
    if values.get("search") is not None:
        counts = {"objectives": len(bases), "seeds": len(values["seeds"])}
        values["search"] = complete(values["search"], root, evaluation=values.get("evaluation"), **counts)
    experiment = Experiment(
        source=source.name,
        text=source.text,
        overrides=source.overrides,
        objectives=tuple(each.objective for each in drafted),
        **values,
    )
    return Draft(experiment, source, {each.objective.name: each for each in drafted})


def _baseline(name: str | None, drafted: Sequence[Drafted], root: Node) -> str:
    """The objective that others are compared with: where the name is that of one with points, its first."""
    objectives = [each.objective for each in drafted]
    for objective in objectives:
        if name is None or name in (objective.name, objective.base or objective.name):
            return objective.name
    known = dict.fromkeys(
        part for objective in objectives for part in (objective.base, objective.name) if part
    )
    raise ExperimentError(
        f"there is no objective {show(name)} to be the baseline",
        where=root.items["baseline"].where,
        hint=suggestion(str(name), known),
    )


def _objectives(node: Node, path: str) -> list[str]:
    """The objectives' names; each is read again with the model and the training that hold for it."""
    if not node.items:
        raise unexpected(node, path, "at least one objective", "as in `objectives: {mine: {generator: …}}`")
    names: list[str] = []
    for name, child in node.items.items():
        typed(Name)(Node(name, child.label), path)
        same = next((other for other in names if other.casefold() == name.casefold()), None)
        if same is not None:
            raise ExperimentError(
                f"the objectives `{same}` and `{name}` differ only in upper and lower case",
                where=child.label,
                hint="each has a folder, and some file systems do not tell them apart: rename one",
            )
        read_players(child, join(path, name))
        names.append(name)
    return names


def _metrics(node: Node, path: str) -> tuple[Choice, ...]:
    choices = []
    for item in read_list(node, path):
        name, options = read_named(item, path, "a metric")
        choices.append(Choice(name=name, options={key: child.plain for key, child in options.items()}))
    return tuple(choices)


def _evaluation(node: Node, path: str) -> Evaluation | None:
    return None if node.value is None else section(Evaluation, node, path, {"metrics": _metrics})


def _seeds(node: Node, path: str) -> tuple[int, ...]:
    if isinstance(node.value, int) and not isinstance(node.value, bool) and 1 <= node.value <= MAX_SEEDS:
        return tuple(range(node.value))
    if not isinstance(node.value, tuple) or not 1 <= len(node.value) <= MAX_SEEDS:
        expected = f"a list of seeds, or their number (1 to {MAX_SEEDS})"
        raise unexpected(node, path, expected, "as in `seeds: [0, 1, 2]`, or `seeds: 3`")
    seeds: list[int] = []
    for item in node.value:
        seed = item.value
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < SEED_LIMIT:
            raise unexpected(item, path, f"an integer from 0 to {SEED_LIMIT - 1}", "as in `seeds: [0, 1, 2]`")
        if seed in seeds:
            raise ExperimentError(
                f"the seed `{seed}` is given twice",
                where=item.where,
                hint="delete one of them: both runs would be the same",
            )
        seeds.append(seed)
    return tuple(seeds)


def _devices(node: Node, path: str) -> tuple[str, ...]:
    if isinstance(node.value, str):
        return (node.value,)
    devices = tuple(typed(str)(item, path) for item in read_list(node, path))
    if not devices:
        raise unexpected(node, path, "at least one device", "`auto` takes what there is")
    return devices


def _on_failure(node: Node, path: str) -> Literal["continue", "stop"] | Retry:
    if isinstance(node.value, Mapping):
        return section(Retry, node, path)
    if node.value == "continue":
        return "continue"
    if node.value == "stop":
        return "stop"
    raise unexpected(node, path, "`continue`, `stop` or `{retry: n}`", "`continue` trains the other runs on")


def _plugins(folder: Path, node: Node, path: str) -> tuple[str, ...]:
    return tuple(
        existing(typed(str)(item, path), folder, where=item.where, what="plugin file", pattern="*.py")
        for item in read_list(node, path)
    )
