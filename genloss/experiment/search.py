"""A search: what of an experiment is chosen by trials, and how.

    search:
      trials: 20                                                # of each objective
      metric: frechet_distance
      space:
        objectives.beta.network.gaussian_kl.weight: {log_uniform: [0.1, 10]}   # of that objective alone
        training.optimizer.lr: {log_uniform: [1e-4, 1e-2]}                     # of every objective

What a search trains is not known before, but its runs are: trial 7 of `beta` is the objective `beta,trial=7`,
which is *open* until its values are chosen (see trials.py).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from genloss.errors import ExperimentError
from genloss.experiment.nodes import Node, show
from genloss.experiment.readers import Reader, read_list, read_mapping, section, typed, unexpected
from genloss.experiment.schema import Evaluation, Experiment, Objective, Range, Search
from genloss.experiment.sweep import target

MAX_RUNS = 10_000
EXAMPLE = "as in `{training.optimizer.lr: {log_uniform: [1e-4, 1e-2]}}`"


def read_search(node: Node, path: str) -> Search | None:
    """The values to choose, or None.

    Raises:
        ExperimentError: it says what no search can say.
    """
    return None if node.value is None else section(Search, node, path, READERS)


def complete(
    search: Search,
    root: Node,
    *,
    objectives: int,
    seeds: int,
    evaluation: Evaluation | None,
) -> Search:
    """The search with what depends on the rest of the experiment.

    Args:
        search: as it was read.
        root: the experiment.
        objectives: how many there are.
        seeds: how many there are.
        evaluation: the experiment's.

    Raises:
        ExperimentError: it does not go with the rest.
    """
    node = root.items["search"]
    if "sweep" in root.items and root.items["sweep"].value:
        raise ExperimentError(
            "`search` and `sweep` exclude each other",
            where=node.label,
            hint="a value that is swept can be a `choice` of the search; or give the sweep a file of its own",
        )
    if evaluation is None or not evaluation.metrics:
        raise ExperimentError(
            "`search` needs a metric, and the experiment evaluates none",
            where=node.label,
            hint=f"add `evaluation: {{metrics: [{search.metric}]}}`",
        )
    if search.pruner == "median" and evaluation.every is None:
        raise ExperimentError(
            "`pruner: median` looks at trials on their way, and they are evaluated after the last step alone",
            where=node.at("pruner").where,
            hint="set `evaluation.every`, or leave `pruner` out",
        )
    runs = objectives * search.trials * seeds
    if runs > MAX_RUNS:
        raise ExperimentError(
            f"with this search the experiment has {runs} runs, more than {MAX_RUNS}",
            where=node.at("trials").where,
            hint="take fewer trials, or fewer seeds",
        )
    owners = {}
    for path, values in node.items["space"].items.items():
        owner = target(root, path, values.label, key="search")
        if owner is not None:
            owners[path] = owner
    search = search.model_copy(update={"owners": owners})
    if "pruner" not in node.items and evaluation.every is not None:
        search = search.model_copy(update={"pruner": "median"})
    return search


def with_trials(experiment: Experiment) -> Experiment:
    """The experiment with its trials, all still open, in the place of the objectives that they are trials of.

    One that has its trials is left as it is.
    """
    search = experiment.search
    if search is None or any(objective.trial is not None for objective in experiment.objectives):
        return experiment
    return experiment.model_copy(
        update={
            "objectives": tuple(
                open_trial(objective, number)
                for objective in experiment.objectives
                for number in range(search.trials)
            ),
            "baseline": trial_name(experiment.baseline, 0),
        }
    )


def open_trial(objective: Objective, number: int) -> Objective:
    """A trial of an objective whose values are still to be chosen."""
    name = trial_name(objective.name, number)
    return objective.model_copy(update={"name": name, "base": objective.name, "trial": number, "point": {}})


def trial_name(objective: str, number: int) -> str:
    """The name of an objective's trial."""
    return f"{objective},trial={number}"


def trial_of(name: str) -> tuple[str, int] | None:
    """The objective and the number that make the name of a trial; None where it cannot be one's."""
    found = re.fullmatch(r"(.+),trial=(\d{1,9})", name)
    return None if found is None else (found[1], int(found[2]))


def overrides(base: str, point: Mapping[str, Any]) -> Iterator[str]:
    """What `--set` gives to the base of a trial so that it is the trial.

    Nothing of it is of other objectives: those of several can be given together, and studies that each train
    one of them can be compared.
    """
    for path, value in point.items():
        place = path if path.startswith("objectives.") else f"objectives.{base}.with.{path}"
        yield f"{place}={json.dumps(value, ensure_ascii=False)}"


def _space(node: Node, path: str) -> dict[str, Range]:
    if not node.items:
        raise unexpected(node, path, "a mapping of paths to ranges", EXAMPLE)
    # A path has dots of its own, so the ranges are named by it alone.
    return {key: _range(child, key) for key, child in node.items.items()}


def _range(node: Node, path: str) -> Range:
    if not isinstance(node.value, Mapping):
        raise unexpected(node, path, "a range", EXAMPLE)
    forms = read_mapping(node, path, FORMS)
    if len(forms) != 1:
        raise unexpected(
            node, path, "one form of a range", "one of `uniform`, `log_uniform`, `integer`, `choice`"
        )
    return Range(**forms)


def _interval(kind: type, node: Node, path: str) -> tuple[Any, Any]:
    form = path.rpartition(".")[2]
    if len(read_list(node, path)) != 2:
        raise unexpected(node, path, "the two ends of a range", f"as in `{form}: [1, 10]`")
    low, high = (typed(kind)(item, path) for item in read_list(node, path))
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise unexpected(node, path, "the lower end, then the higher", f"as in `{form}: [1, 10]`")
    if form == "log_uniform" and low <= 0:
        raise unexpected(node, path, "ends above 0, which have a logarithm", "`uniform` takes any numbers")
    return low, high


def _choice(node: Node, path: str) -> tuple[Any, ...]:
    items = read_list(node, path)
    texts = [json.dumps(item.plain, sort_keys=True) for item in items]
    for index, text in enumerate(texts):
        if text in texts[:index]:
            raise ExperimentError(
                f"{show(items[index].plain)} is given twice",
                where=items[index].where,
                hint="delete one of them",
            )
    if len(items) < 2:
        raise unexpected(node, path, "at least two values", "as in `choice: [[64], [128, 128]]`")
    return tuple(item.plain for item in items)


READERS: Mapping[str, Reader] = {"space": _space}
FORMS: Mapping[str, Reader] = {
    "uniform": partial(_interval, float),
    "log_uniform": partial(_interval, float),
    "integer": partial(_interval, int),
    "choice": _choice,
}
