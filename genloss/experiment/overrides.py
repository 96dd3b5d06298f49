"""Overrides of values: `--set key.path=VALUE`, and an objective's `with`.

What is laid over keeps its own place, so that a mistake in it names the `--set` or the `with`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from genloss.errors import ExperimentError, Location, did_you_mean
from genloss.experiment.nodes import MAX_DEPTH, Node, show, too_deep
from genloss.experiment.yaml_reader import parse
from genloss.text import one_line

Path = tuple[str, ...]

CHOICES = ("data", "model", "optimizer")
"""Keys whose value is a name, or a mapping with `name`."""

MAX_DOTS = 100
"""In a name, which has no more characters."""

PATHS = (("sweep",), ("search", "space"))
"""Where the keys are dotted paths themselves."""

REPLACED = ("model", "training")
"""What `with` may set."""


def set_value(root: Node, override: str) -> Node:
    """The experiment with one `--set`, whose right side is YAML.

    A dotted path leads through mappings; in a list, a step is the name of a term or metric, or an index.

    Raises:
        ExperimentError: it is no `key.path=VALUE`, or leads nowhere.
    """
    where = Location(f"--set {one_line(override, 200)}")
    path, equals, text = override.partition("=")
    steps = path.strip().split(".")
    if not equals or not all(steps):
        raise ExperimentError(
            f"expected `key.path=VALUE`, got {show(override)}",
            where=where,
            hint="as in `--set training.steps=50`",
        )
    value = parse(text, lambda *_: where)
    return _put(root, steps, replace(value, key=where), (), merge=False)


def put(root: Node, path: str, value: Node) -> Node:
    """The experiment with another value at a dotted path.

    Raises:
        ExperimentError: the path leads nowhere; with the place of the value's key.
    """
    return _put(root, path.split("."), value, (), merge=False)


def lay_over(base: Mapping[str, Node], overlay: Node) -> dict[str, Node]:
    """Copies of `model` and `training` with the values of an objective's `with`.

    Its keys are dotted paths; a mapping is laid over key by key, but for one with a `name`, which replaces
    what was there.

    Raises:
        ExperimentError: it sets something else.
    """
    result = dict(base)
    for path, value in overlay.items.items():
        root, *steps = path.split(".")
        if root not in REPLACED:
            raise ExperimentError(
                f"`with` sets `model.…` and `training.…` for this objective alone, not {show(path)}",
                where=value.label,
                hint=did_you_mean(root, REPLACED),
            )
        result[root] = _put(result[root], steps, value, (root,), merge=True)
    return result


def item_name(item: Node) -> str | None:
    """The name of a term, or of a metric: the loss's own, unless `as` gives another."""
    if isinstance(item.value, str):
        return item.value.rpartition(":")[2]
    if len(item.items) != 1:
        return None
    name, options = next(iter(item.items.items()))
    given = options.items.get("as")
    return given.value if given is not None and isinstance(given.value, str) else name.rpartition(":")[2]


def _put(node: Node, steps: Sequence[str], value: Node, at: Path, *, merge: bool) -> Node:
    """The node with the value at the end of the steps; `at` is where in the experiment the node stands."""
    if len(at) > MAX_DEPTH:
        raise too_deep(value.label)
    if not steps:
        if not merge or not isinstance(value.value, Mapping) or "name" in value.items:
            return value
        for path, inner in value.items.items():
            node = _put(node, path.split("."), inner, at, merge=True)
        return node
    if isinstance(node.value, tuple) or (node.value is not None and _is_player(at)):
        return _put_item(node, steps, value, at, merge=merge)
    items = dict(node.items)
    if isinstance(node.value, str) and at and at[-1].rpartition(".")[2] in CHOICES:
        items["name"] = node
    key, rest = next_key(items, steps)
    if at in PATHS and (key not in items or (isinstance(items[key].value, tuple) and not _is_index(rest))):
        key, rest = ".".join(steps), []
    if key not in items and rest and at[:1] == ("objectives",) and len(at) < 3 and key != "with":
        what = f"player {show(key)} in objective {show(at[1])}" if len(at) == 2 else f"objective {show(key)}"
        raise ExperimentError(f"there is no {what}", where=value.label, hint=did_you_mean(key, items))
    new = Node({}, value.where, value.label)
    items[key] = _put(items.get(key, new), rest, value, (*at, key), merge=merge)
    return Node(items, node.where if node.items else value.where, node.key or value.key)


def next_key(items: Mapping[str, Node], steps: Sequence[str]) -> tuple[str, list[str]]:
    """The first key of the path, and what is left: names may hold dots, so the longest known one is taken."""
    for length in range(min(len(steps), MAX_DOTS), 0, -1):
        key = ".".join(steps[:length])
        if key in items:
            return key, list(steps[length:])
    return steps[0], list(steps[1:])


def _is_index(steps: Sequence[str]) -> bool:
    return all(step.isdecimal() for step in steps[:1])


def _is_player(at: Path) -> bool:
    return len(at) == 3 and at[0] == "objectives" and at[2] != "with"


def _put_item(node: Node, steps: Sequence[str], value: Node, at: Path, *, merge: bool) -> Node:
    """The list of terms, or of metrics, with one item changed; a term alone is a list of one."""
    items = node.value if isinstance(node.value, tuple) else (node,)
    names = {name: index for index, item in reversed(list(enumerate(items))) if (name := item_name(item))}
    known = {name: items[index] for name, index in names.items()}
    name, rest = next_key(known, steps)
    if name in names:
        index = names[name]
        item = _with_options(items[index], rest, value, at, merge=merge)
    elif name.isdecimal() and name.isascii() and len(name) < 6 and int(name) < len(items):
        index = int(name)
        item = _put(items[index], rest, value, (*at, name), merge=merge)
    else:
        raise ExperimentError(
            f"there is no {show(name)} in `{'.'.join(at)}`", where=value.label, hint=did_you_mean(name, known)
        )
    if not isinstance(node.value, tuple):
        return item
    return replace(node, value=(*items[:index], item, *items[index + 1 :]))


def _with_options(item: Node, steps: Sequence[str], value: Node, at: Path, *, merge: bool) -> Node:
    """A term with an option set; a term that is a name becomes a mapping."""
    if isinstance(item.value, str):
        name, options = item.value, Node({}, item.where, item.where)
    else:
        name, options = next(iter(item.items.items()))
    options = replace(_put(options, steps, value, (*at, name), merge=merge), key=options.key)
    return Node({name: options}, item.where, item.key)
