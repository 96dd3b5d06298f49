"""Sweeps: a grid over values of an experiment. Each of its points is an objective of its own.

    sweep:
      objectives.beta.network.gaussian_kl.weight: [0.5, 1, 4]   # of that objective alone
      training.optimizer.lr: [1e-4, 1e-3]                       # of every objective, whatever its `with` says

A search takes its points from elsewhere, and makes objectives of them in the same way.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from genloss.errors import ExperimentError, Location, did_you_mean
from genloss.experiment.nodes import Node, show
from genloss.experiment.objectives import Drafted, read_objective
from genloss.experiment.overrides import next_key
from genloss.experiment.readers import read_list, unexpected

Grid = Mapping[str, Sequence[Node]]
"""The values that are swept, by dotted path."""

ROOTS = ("objectives", "model", "training")
"""What the paths of a sweep begin with."""

THE_SAME = (
    *("name", "description", "plugins", "data", "baseline", "seeds", "devices", "workers"),
    *("threads", "on_failure", "evaluation", "tracking", "sweep", "search"),
)
"""What all objectives of an experiment share."""

MAX_RUNS = 1000
LONGEST_VALUE, LONGEST_POINT = 32, 80
"""Characters of a value, and of all values, in a point's name; longer ones are cut, and get a digest."""


def at_point(root: Node, name: str, point: Mapping[str, Node], called: str = "") -> Drafted:
    """An objective of the experiment with other values: an objective of its own.

    It has been read, with its `base` and `point` set, but not checked against the catalogue.

    Args:
        root: the experiment (`Source.root`).
        name: the objective's, as the experiment has it.
        point: its values by dotted path, each of which `target` has accepted for this objective. A value is a
            `Node`, whose `where` is the place that mistakes in the value are told with, and whose `key` that
            of mistakes in the path.
        called: the point's name; made of the values where it is empty: `beta,weight=0.5`.

    Raises:
        ExperimentError: a path that leads nowhere, or a value that cannot stand there.
    """
    if not called:
        called = point_name(
            name, (f"{label}={text_of(point[path])}" for path, label in labels(point).items())
        )
    return read_objective(root, name, point, called)


def target(root: Node, path: str, where: Location, *, key: str = "sweep") -> str | None:
    """The objective that a path leads to a value of; None where it is one of every objective's.

    Args:
        root: the experiment.
        path: dotted.
        where: the path's place.
        key: what it stands under: `sweep` or `search`.

    Raises:
        ExperimentError: what stands there is not an objective's own.
    """
    first, *steps = path.split(".")
    if first not in ROOTS:
        hint = did_you_mean(first, ROOTS)
        if first in THE_SAME:
            hint = "objectives are compared on the same data, seeds, devices and evaluation"
        raise ExperimentError(
            f"`{key}` varies `objectives.…`, `model.…` and `training.…`, not {show(path)}",
            where=where,
            hint=hint,
        )
    if first != "objectives":
        return None
    names = root.at("objectives").items
    name, rest = next_key(names, steps or [""])
    if name not in names:
        raise ExperimentError(
            f"there is no objective {show(name)}", where=where, hint=did_you_mean(name, names)
        )
    if not rest:
        raise ExperimentError(
            f"{show(path)} is a whole objective, not a value of one",
            where=where,
            hint=f"name a value in it, as `{path}.PLAYER.LOSS.weight`; other objectives are written out",
        )
    return name


def read_sweep(node: Node, path: str) -> Grid:
    """The lists of values, by path; nothing where nothing is swept."""
    if node.value is None:
        return {}
    if not isinstance(node.value, Mapping):
        raise unexpected(
            node,
            path,
            "a mapping of paths to lists of values",
            "as in `sweep: {training.optimizer.lr: [1e-4, 1e-3]}`",
        )
    grid = {}
    for key, values in node.items.items():
        if isinstance(values.value, Mapping):
            raise ExperimentError(
                f"expected a list of the values of {show(key)}, got a mapping",
                where=values.where,
                hint="write the whole path, with dots: `training.optimizer.lr: [1e-4, 1e-3]`",
            )
        items = read_list(values, f"{path}.{key}")
        if not items:
            raise unexpected(values, f"{path}.{key}", "at least one value", "delete the key to sweep nothing")
        grid[key] = tuple(replace(item, key=values.label) for item in items)
    return grid


def expand(root: Node, grid: Grid, *, seeds: int) -> list[Drafted]:
    """The objectives of the experiment, with points in the place of those that have any.

    Args:
        root: the experiment.
        grid: what `read_sweep` has read.
        seeds: with how many each point is trained.

    Raises:
        ExperimentError: a path or a value is wrong, two points are the same, or there are too many.
    """
    names = list(root.items["objectives"].items)
    targets = {path: target(root, path, values[0].label) for path, values in grid.items()}
    grids = {
        name: {path: values for path, values in grid.items() if targets[path] in (None, name)}
        for name in names
    }
    count = seeds * sum(math.prod(map(len, own.values())) for own in grids.values())
    if count > MAX_RUNS:
        raise ExperimentError(
            f"with this sweep the experiment has {count} runs, more than {MAX_RUNS}",
            where=root.items["sweep"].label,
            hint="take fewer values, or fewer seeds",
        )
    drafted = []
    for name, own in grids.items():
        drafted += _points(root, name, own) if own else [read_objective(root, name)]
    return drafted


def labels(paths: Iterable[str]) -> dict[str, str]:
    """The shortest ends of dotted paths that tell them apart: `weight`, or `gaussian_kl.weight`."""
    steps = {path: path.split(".") for path in paths}
    result = {}
    for path, own in steps.items():
        others = [other for other in steps.values() if other is not own]
        length = next(
            (size for size in range(1, len(own)) if all(other[-size:] != own[-size:] for other in others)),
            len(own),
        )
        result[path] = _safe(".".join(own[-length:]))
    return result


def point_name(base: str, words: Iterable[str]) -> str:
    """The name of a point, of words like `weight=0.5`, that folders, MLflow and shells take as it is."""
    point = ",".join(words)
    if len(point) > LONGEST_POINT:
        point = f"{point[: LONGEST_POINT - 9]}-{_digest(point)}"
    return f"{base},{point}"


def text_of(value: Node) -> str:
    """A value as it stands in a point's name: as it was written, where its characters allow that."""
    text = _safe(_plain_text(value))
    if text and len(text) <= LONGEST_VALUE:
        return text
    return _with_digest(text[: LONGEST_VALUE - 9], value)


def _points(root: Node, name: str, grid: Grid) -> list[Drafted]:
    label = labels(grid)
    words = {path: [f"{label[path]}={text}" for text in _texts(values)] for path, values in grid.items()}
    drafted: list[Drafted] = []
    seen: dict[str, Mapping[str, Node]] = {}
    for indices in product(*(range(len(values)) for values in grid.values())):
        place = dict(zip(grid, indices, strict=True))
        point = {path: grid[path][index] for path, index in place.items()}
        called = point_name(name, (words[path][index] for path, index in place.items()))
        each = at_point(root, name, point, called)
        objective = each.objective
        same = seen.setdefault(
            _canonical(objective.model_dump(mode="json", include={"players", "model", "training"})), point
        )
        if same is not point:
            differing = next(path for path in reversed(list(grid)) if same[path] is not point[path])
            value, other = (show(which[differing].plain) for which in (point, same))
            raise ExperimentError(
                f"{value} for {show(differing)} makes the same point of `{name}` as {other}",
                where=point[differing].where,
                hint="delete one of the two: a value that is there already, or that another key replaces, "
                "changes nothing",
            )
        drafted.append(each)
    return drafted


def _texts(values: Sequence[Node]) -> list[str]:
    """The texts of values, made different where they are not."""
    texts = [text_of(value) for value in values]
    count = Counter(text.casefold() for text in texts)
    return [
        _with_digest(text, value) if count[text.casefold()] > 1 else text
        for text, value in zip(texts, values, strict=True)
    ]


def _plain_text(node: Node) -> str:
    if isinstance(node.value, Mapping):
        pairs = ((key, _plain_text(child)) for key, child in node.items.items())
        return " ".join(text if key == "name" else f"{key} {text}" for key, text in pairs)
    if isinstance(node.value, tuple):
        return " ".join(map(_plain_text, node.value))
    return node.value if isinstance(node.value, str) else node.text or json.dumps(node.value)


def _safe(text: str) -> str:
    """The text with a `-` for what is not a letter, digit, `.`, `_`, `+` or `-`."""
    if re.fullmatch(r"[A-Za-z0-9._+-]+", text):
        return text
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-")


def _with_digest(text: str, value: Node) -> str:
    return f"{text}-{_digest(_canonical(value.plain))}".lstrip("-")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _canonical(value: Any) -> str:
    """A text that equal values share: 1 and 1.0 are equal, 1 and true are not."""
    return json.dumps(_normal(value), sort_keys=True)


def _normal(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _normal(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_normal(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
