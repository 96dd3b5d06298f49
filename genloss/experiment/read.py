"""From what was written to an Experiment: keys, types, bounds and names.

What depends on the catalogue, on the data or on this machine is looked at by check.py. The first mistake in
the order of the document is the one that is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveInt

from genloss.contracts.definition import RESERVED_NAMES
from genloss.errors import ExperimentError
from genloss.experiment.fields import (
    Reader,
    join,
    read_list,
    read_mapping,
    read_number,
    section,
    suggestion,
    typed,
    unexpected,
)
from genloss.experiment.files import existing
from genloss.experiment.nodes import Node, show
from genloss.experiment.overlays import lay_over
from genloss.experiment.schema import (
    Choice,
    Evaluation,
    Experiment,
    Name,
    Objective,
    Player,
    Retry,
    Term,
    Tracking,
    Training,
    flattened,
)
from genloss.experiment.source import Source

REQUIRED = ("name", "data", "model", "objectives", "training", "seeds")
MAX_SEEDS = 1000
SEED_LIMIT = 2**32
TERM_KEYS = ("weight", "as", "bind", "every")


@dataclass(frozen=True)
class Draft:
    """An experiment that has been read, with the nodes that its parts were read from.

    Attributes:
        models: each objective's model, its `with` laid over.
        trainings: each objective's training, its `with` laid over.
        terms: by objective, player and term name.
    """

    experiment: Experiment
    source: Source
    models: Mapping[str, Node]
    trainings: Mapping[str, Node]
    terms: Mapping[tuple[str, str, str], Node]


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
            "seeds": _seeds,
            "devices": _devices,
            "workers": typed(PositiveInt | None),
            "on_failure": _on_failure,
            "evaluation": _evaluation,
            "tracking": partial(section, Tracking),
        },
        required=REQUIRED,
    )
    base = {"model": values.pop("model"), "training": values.pop("training")}
    objectives = []
    models: dict[str, Node] = {}
    trainings: dict[str, Node] = {}
    places: dict[tuple[str, str, str], Node] = {}
    for name, players in values.pop("objectives").items():
        nodes = {"model": root.items["model"], "training": root.items["training"]}
        parts = base
        sets: dict[str, Any] = {}
        overlay = root.at("objectives", name).items.get("with")
        if overlay is not None and overlay.value is not None:
            nodes = lay_over(nodes, overlay)
            sets = flattened(overlay.plain)
            parts = {
                "model": read_choice(nodes["model"], "model"),
                "training": read_training(nodes["training"], "training"),
            }
        models[name], trainings[name] = nodes["model"], nodes["training"]
        own = {}
        for player, terms in players.items():
            own[player] = tuple(term for term, _ in terms)
            places |= {(name, player, term.name): item for term, item in terms}
        objectives.append(Objective(name=name, players=own, sets=sets, **parts))
    names = [objective.name for objective in objectives]
    baseline = values.setdefault("baseline", names[0])
    if baseline not in names:
        raise ExperimentError(
            f"there is no objective {show(baseline)} to be the baseline",
            where=root.items["baseline"].where,
            hint=suggestion(baseline, names),
        )
    experiment = Experiment(
        source=source.name,
        text=source.text,
        overrides=source.overrides,
        objectives=tuple(objectives),
        **values,
    )
    return Draft(experiment, source, models, trainings, places)


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
    return section(Training, node, path, {"optimizer": read_choice, "players": _players})


def _players(node: Node, path: str) -> dict[str, Player]:
    player = partial(section, Player, readers={"optimizer": read_choice})
    return read_mapping(node, path, dict.fromkeys(node.items, player))


Terms = list[tuple[Term, Node]]


def _objectives(node: Node, path: str) -> dict[str, dict[str, Terms]]:
    if not node.items:
        raise unexpected(node, path, "at least one objective", "as in `objectives: {mine: {generator: …}}`")
    objectives: dict[str, dict[str, Terms]] = {}
    for name, child in node.items.items():
        typed(Name)(Node(name, child.label), path)
        same = next((other for other in objectives if other.casefold() == name.casefold()), None)
        if same is not None:
            raise ExperimentError(
                f"the objectives `{same}` and `{name}` differ only in upper and lower case",
                where=child.label,
                hint="each has a folder, and some file systems do not tell them apart: rename one",
            )
        readers: dict[str, Reader] = dict.fromkeys(child.items, _terms)
        players = read_mapping(child, join(path, name), readers | {"with": _with})
        objectives[name] = {player: terms for player, terms in players.items() if player != "with"}
    return objectives


def _with(node: Node, path: str) -> None:
    """Its values are read once they are laid over what they replace."""
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
    loss, options = _named(node, path, "a loss")
    path = join(path, loss)
    readers: dict[str, Reader] = {
        "weight": read_number,
        "as": typed(Name),
        "bind": _bind,
        "every": typed(PositiveInt),
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


def _named(node: Node, path: str, what: str) -> tuple[str, Mapping[str, Node]]:
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


def _metrics(node: Node, path: str) -> tuple[Choice, ...]:
    choices = []
    for item in read_list(node, path):
        name, options = _named(item, path, "a metric")
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
