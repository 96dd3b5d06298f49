"""Trials of a search: turning chosen values into objectives, and checking them beforehand."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genloss.errors import ExperimentError, Location, RequestError
from genloss.experiment.nodes import Node, from_python
from genloss.experiment.objectives import Drafted
from genloss.experiment.read import Draft
from genloss.experiment.readers import suggestion
from genloss.experiment.schema import Evaluation, Experiment, Objective, Search
from genloss.experiment.search import overrides, trial_name
from genloss.experiment.sweep import at_point
from genloss.planning import suggest
from genloss.planning.check import Checker
from genloss.planning.interfaces import ModelInterfaces

if TYPE_CHECKING:
    from genloss.contracts.dataset import Data
    from genloss.experiment.source import Source
    from genloss.registry.catalogue import Catalogue


class Trials:
    """Makes the objectives of trials, as the experiment's own are made: read and checked.

    Args:
        source: the experiment.
        catalogue: of what it names.
        data: the experiment's.
    """

    def __init__(self, source: Source, catalogue: Catalogue, data: Data) -> None:
        self._root = source.root
        self._checker = Checker(source.folder, catalogue, data, ModelInterfaces(catalogue, data.spec))

    def objective(self, base: str, number: int, point: Mapping[str, Any]) -> Objective:
        """An objective's trial with these values.

        The ends of each range were tried, one at a time. What cannot be trained all the same is left as it
        was read: it fails as a run, with a record of its own.
        """
        drafted = self._drafted(base, number, point)
        try:
            return self._checked(drafted, number)
        except RequestError:
            return drafted.objective.model_copy(update={"trial": number})

    def checked(self, base: str, number: int, point: Mapping[str, Any]) -> tuple[Drafted, Objective]:
        """The same, with the nodes that it was read from.

        Raises:
            RequestError: it cannot be trained with them.
        """
        drafted = self._drafted(base, number, point)
        return drafted, self._checked(drafted, number)

    def check_ends(self, base: str, search: Search) -> None:
        """Try the ends of an objective's ranges, and all of its choices, one at a time.

        Raises:
            RequestError: one cannot be trained; with its place.
        """
        space = self._root.items["search"].at("space")
        for path in search.space_of(base):
            written = space.items[path]
            (values,) = written.items.values()
            items = values.value if isinstance(values.value, tuple) else ()
            for item in items:
                point = {path: replace(item, key=written.label)}
                self._checked(at_point(self._root, base, point, trial_name(base, 0)), 0)

    def _drafted(self, base: str, number: int, point: Mapping[str, Any]) -> Drafted:
        space = self._root.items["search"].at("space")
        nodes = {path: _placed(from_python(value), space.items[path]) for path, value in point.items()}
        return at_point(self._root, base, nodes, trial_name(base, number))

    def _checked(self, drafted: Drafted, number: int) -> Objective:
        return self._checker.objective(drafted).model_copy(update={"trial": number})


def check_search(
    draft: Draft, experiment: Experiment, search: Search, catalogue: Catalogue, data: Data
) -> tuple[Draft, Experiment]:
    """Check what can be checked of trials whose values are not known yet.

    Returns:
        The experiment with each objective's first trial in its place, and what those were read from.

    Raises:
        RequestError: Optuna is missing, there is no such metric, or a value cannot be trained.
    """
    root = draft.source.root
    node = root.items["search"]
    try:
        suggest.require()
    except ExperimentError as error:
        error.where = node.label
        raise
    higher = direction(search, experiment.evaluation, catalogue, node.at("metric").where)
    trials = Trials(draft.source, catalogue, data)
    drafted, objectives = {}, []
    for objective in experiment.objectives:
        name = objective.name
        space = search.space_of(name)
        if not space:
            raise ExperimentError(
                f"objective `{name}` has nothing to search: `space` has only values of other objectives",
                where=root.at("objectives", name).label,
                hint="each objective has equally many trials, else a comparison of them is not fair: add a "
                "value of this one to `space`, or choose the others with `--objective`",
            )
        trials.check_ends(name, search)
        point = suggest.next_point(search, space, [], name, higher_is_better=higher)
        read, first = trials.checked(name, 0, point)
        drafted[first.name] = read
        objectives.append(first)
    return (
        replace(draft, objectives=drafted),
        experiment.model_copy(update={"objectives": tuple(objectives)}),
    )


def direction(
    search: Search, evaluation: Evaluation | None, catalogue: Catalogue, where: Location | None = None
) -> bool:
    """Return whether a search's metric is better where it is higher.

    Raises:
        ExperimentError: the evaluation has no such number.
    """
    numbers: dict[str, bool] = {}
    for choice in evaluation.metrics if evaluation else ():
        numbers |= catalogue.metrics[choice.name].higher_is_better
    if search.metric not in numbers:
        raise ExperimentError(
            f"`search` wants to better `{search.metric}`, which `evaluation` does not measure",
            where=where,
            hint=suggestion(search.metric, numbers),
        )
    return numbers[search.metric]


def command(reproduce: str, objective: Objective) -> str:
    """The shell's line of an open trial, with its values."""
    words = [word for each in overrides(objective.base, objective.point) for word in ("--set", each)]
    return f"{reproduce} {shlex.join(words)}"


def _placed(node: Node, written: Node) -> Node:
    """The node, as if it stood where a range is written."""
    value = node.value
    if isinstance(value, Mapping):
        value = {key: _placed(child, written) for key, child in value.items()}
    elif isinstance(value, tuple):
        value = tuple(_placed(child, written) for child in value)
    return Node(value, written.where, written.label)
