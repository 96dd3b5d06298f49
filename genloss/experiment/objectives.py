"""One objective from what was written: its terms, with the model and the training that hold for it.

A point of a sweep or of a search is one, too: the same objective with some values replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from genloss.contracts.definition import RESERVED_NAMES
from genloss.errors import ExperimentError
from genloss.experiment.nodes import Node
from genloss.experiment.overrides import lay_over, put
from genloss.experiment.readers import Reader, join, read_mapping, read_number, section, typed, unexpected
from genloss.experiment.schema import Choice, Count, Name, Objective, Player, Term, Training, flattened

TERM_KEYS = ("weight", "as", "bind", "every")


@dataclass(frozen=True)
class Drafted:
    """An objective that has been read, with the nodes that its parts were read from.

    Attributes:
        objective: what was read.
        node: its players' sums, and its `with`.
        model: its `with` and its point laid over.
        training: its `with` and its point laid over.
        terms: by player and term name.
    """

    objective: Objective
    node: Node
    model: Node
    training: Node
    terms: Mapping[tuple[str, str], Node]


def read_objective(
    root: Node, name: str, point: Mapping[str, Node] | None = None, called: str = ""
) -> Drafted:
    """An objective of the experiment, or a point of it.

    Args:
        root: the experiment.
        name: the objective's, as the experiment has it.
        point: values that replace the experiment's, by dotted path: `objectives.NAME.…`, `model.…` or
            `training.…`, the latter two laid over the objective's `with`.
        called: the point's name.

    Raises:
        ExperimentError: a path that leads nowhere, or a value that cannot stand there; with the
            value's place, or for a path that of the value's key.
    """
    over = {}
    for path, value in (point or {}).items():
        if path.startswith("objectives."):
            root = put(root, path, value)
        else:
            over[path] = value
    node = root.at("objectives", name)
    players = read_players(node, join("objectives", name))
    nodes: Mapping[str, Node] = {"model": root.items["model"], "training": root.items["training"]}
    sets: dict[str, Any] = {}
    overlay = node.items.get("with")
    if overlay is not None and overlay.value is not None:
        nodes = lay_over(nodes, overlay)
        sets = flattened(overlay.plain)
    nodes = lay_over(nodes, Node(over, node.where))
    objective = Objective(
        name=called or name,
        base=name if point else "",
        point={path: value.plain for path, value in (point or {}).items()},
        sets=sets,
        players={player: tuple(term for term, _ in terms) for player, terms in players.items()},
        model=read_choice(nodes["model"], "model"),
        training=read_training(nodes["training"], "training"),
    )
    places = {(player, term.name): item for player, terms in players.items() for term, item in terms}
    return Drafted(objective, node, nodes["model"], nodes["training"], places)


def read_choice(node: Node, path: str) -> Choice:
    """A definition by name, or a mapping of `name` and options."""
    if isinstance(node.value, str):
        return Choice(name=node.value)
    if not isinstance(node.value, Mapping):
        raise unexpected(
            node, path, "a name, or a mapping with `name` and options", f"as in `{path}: {{name: …}}`"
        )
    if "name" not in node.items:
        raise ExperimentError(
            f"the key `name` is missing in `{path}`", where=node.label, hint=f"write `{path}: {{name: …}}`"
        )
    name = typed(str)(node.items["name"], join(path, "name"))
    return Choice(name=name, options={key: child.plain for key, child in node.items.items() if key != "name"})


def read_training(node: Node, path: str) -> Training:
    """The section `training`."""
    players = partial(_players, node.items.get("optimizer"))
    return section(Training, node, path, {"optimizer": read_choice, "players": players})


def _players(shared: Node | None, node: Node, path: str) -> dict[str, Player]:
    player = partial(section, Player, readers={"optimizer": partial(_own_optimizer, shared)})
    return read_mapping(node, path, dict.fromkeys(node.items, player))


def _own_optimizer(shared: Node | None, node: Node, path: str) -> Choice:
    """A player's optimizer; without a name, it is `training.optimizer` with some arguments of its own."""
    if not isinstance(node.value, Mapping) or "name" in node.items:
        return read_choice(node, path)
    usual = Choice(**Training.model_fields["optimizer"].default.model_dump())
    if shared is not None:
        usual = read_choice(shared, "training.optimizer")
    own = {key: child.plain for key, child in node.items.items()}
    return Choice(name=usual.name, options=usual.options | own)


Terms = list[tuple[Term, Node]]


def read_players(node: Node, path: str) -> dict[str, Terms]:
    """The sum of each player; what stands under `with` is read once it is laid over what it replaces."""
    readers: dict[str, Reader] = dict.fromkeys(node.items, _terms)
    players = read_mapping(node, path, readers | {"with": _with})
    return {player: terms for player, terms in players.items() if player != "with"}


def _with(node: Node, path: str) -> None:
    if node.value is not None and not isinstance(node.value, Mapping):
        raise unexpected(node, path, "a mapping", "as in `with: {training.batch_size: 64}`")


def _terms(node: Node, path: str) -> Terms:
    items = node.value if isinstance(node.value, tuple) else (node,)
    if not items:
        raise unexpected(node, path, "at least one term", "write the name of a loss")
    terms: Terms = []
    for item in items:
        term = _term(item, path)
        if any(term.name == other.name for other, _ in terms):
            raise ExperimentError(
                f"two terms of `{path}` have the name `{term.name}`",
                where=item.where,
                hint=f"give this one another name: `{{{term.loss}: {{as: {term.name}_2}}}}`",
            )
        terms.append((term, item))
    return terms


def _term(node: Node, path: str) -> Term:
    loss, options = read_named(node, path, "a loss")
    path = join(path, loss)
    readers: dict[str, Reader] = {
        "weight": read_number,
        "as": typed(Name),
        "bind": _bind,
        "every": typed(Count),
    }
    own = {key: readers[key](child, join(path, key)) for key, child in options.items() if key in readers}
    given = own.pop("as", None)
    if given in RESERVED_NAMES:
        raise ExperimentError(
            f"a term cannot have the name `{given}`",
            where=options["as"].where,
            hint="it stands for something else in the record; choose another name",
        )
    return Term(
        loss=loss,
        name=given or loss.rpartition(":")[2],
        options={key: child.plain for key, child in options.items() if key not in TERM_KEYS},
        **own,
    )


def _bind(node: Node, path: str) -> dict[str, str | None]:
    return read_mapping(node, path, dict.fromkeys(node.items, typed(str | None)))


def read_named(node: Node, path: str, what: str) -> tuple[str, Mapping[str, Node]]:
    """A name, or a mapping of one name to its options: the name and the options."""
    if isinstance(node.value, str):
        return node.value, {}
    if not isinstance(node.value, Mapping) or not node.value:
        raise unexpected(
            node, path, f"the name of {what}, or `{{name: {{option: value}}}}`", "write its name"
        )
    if len(node.value) > 1:
        first, second = list(node.value)[:2]
        hint = f"options stand under the name: `{first}: {{{second}: …}}`"
        if second not in TERM_KEYS:
            hint += f"; several make a list: `[{first}, {second}]`"
        raise unexpected(node, path, f"one name of {what}", hint)
    name, options = next(iter(node.items.items()))
    if options.value is not None and not isinstance(options.value, Mapping):
        raise unexpected(
            options, join(path, name), "a mapping of options", f"as in `{name}: {{option: value}}`"
        )
    return name, options.items
