"""Checks of the metrics of an evaluation against what the model and the data offer."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloss.contracts.metric import MODEL_METHODS, OFFERED
from genloss.errors import ExperimentError, Location
from genloss.experiment.nodes import Node
from genloss.experiment.readers import named_item
from genloss.experiment.schema import Choice, Evaluation
from genloss.planning.interfaces import ModelInterface
from genloss.planning.options import calling, check_options, find
from genloss.planning.remarks import Remark

if TYPE_CHECKING:
    from genloss.contracts.dataset import Data
    from genloss.contracts.metric import MetricDefinition
    from genloss.registry.catalogue import Catalogue

ALWAYS = ("samples", "held_out", "train", "model", "truth", "cache")
TOLD = 2**30
"""Warn about a metric that takes a part of the data as one tensor of at least this many bytes."""

LABELS = ("held_out_labels", "train_labels")


def check_evaluation(
    evaluation: Evaluation,
    node: Node,
    *,
    catalogue: Catalogue,
    folder: Path,
    data: Data,
    models: Collection[ModelInterface],
) -> Evaluation:
    """The evaluation with the options of its metrics checked.

    Args:
        evaluation: as it was read.
        node: what it was read from.
        catalogue: of the metrics.
        folder: what paths are relative to.
        data: the experiment's.
        models: what the models offer that are evaluated.

    Raises:
        ExperimentError: a metric that does not exist or cannot be computed here, or a number given twice.
    """
    metrics: list[Choice] = []
    origin: dict[str, str] = {}
    for index, choice in enumerate(evaluation.metrics):
        where, nodes = named_item(node.at("metrics", index))
        metric = find(catalogue.metrics, choice.name, where)
        options = check_options(metric, nodes, folder, where)
        for number in metric.higher_is_better:
            if number in origin:
                raise ExperimentError(
                    f"metric `{choice.name}` gives the number `{number}`, as `{origin[number]}` does",
                    where=where,
                    hint="delete one of the two: a number is recorded under its name alone",
                )
            origin[number] = choice.name
        _check_asked(metric, where, data, models)
        _check_data(metric, options, where, data, evaluation.samples)
        metrics.append(choice.model_copy(update={"options": options}))
    return evaluation.model_copy(update={"metrics": tuple(metrics)})


def metric_remarks(
    evaluation: Evaluation, node: Node, *, catalogue: Catalogue, data: Data
) -> Iterator[Remark]:
    """What the metrics' checks remark; and each metric that asks for a large part of the data as one tensor.

    Args:
        evaluation: checked.
        node: what it was read from.
        catalogue: of the metrics.
        data: the experiment's.
    """
    import torch

    from genloss.training.batches import CPU, chosen, length

    for index, choice in enumerate(evaluation.metrics):
        metric = catalogue.metrics[choice.name]
        where, _ = named_item(node.at("metrics", index))
        if said := _check_data(metric, choice.options, where, data, evaluation.samples):
            yield Remark(f"metric `{metric.name}`: {said}", where)
        for name, part in (("train", data.train), ("held_out", data.held_out)):
            if name not in metric.quantities or name in metric.streamed:
                continue
            x = chosen(part, slice(0, 1), device=CPU, dtype=torch.float32)["x"]
            size = length(part) * x.nbytes
            if size > TOLD:
                yield Remark(
                    f"metric `{metric.name}` asks for `{name}` as one tensor, which takes {size / 2**30:.1f} "
                    "GiB in each worker",
                    where=where,
                    hint="hold less data out, leave the metric out, or let it ask for `genloss.Examples`",
                )


def _check_asked(
    metric: MetricDefinition[Any], where: Location, data: Data, models: Collection[ModelInterface]
) -> None:
    labelled = _has_labels(data.train) and _has_labels(data.held_out)
    for name, quantity in metric.quantities.items():
        near: list[str] = []
        if quantity.optional or name in ALWAYS or name in data.truth:
            continue
        if name in LABELS:
            if labelled:
                continue
            lack = "the data has no field `label`"
        elif name in MODEL_METHODS:
            without = next((offer.model for offer in models if name not in offer.methods), None)
            if without is None:
                continue
            lack = f"model `{without}` has no method of that name"
        else:
            known = ", ".join(f"`{entry}`" for entry in data.truth) or "nothing"
            lack = f"of the truth, this data knows {known}"
            # `modes`, which other data know, is not a misspelt `model`: only what is very near is suggested.
            near = difflib.get_close_matches(name, [*OFFERED, *data.truth], n=1, cutoff=0.85)
        hint = "leave this metric out; `genloss list metrics` shows the others"
        raise ExperimentError(
            f"metric `{metric.name}` asks for `{name}`, and {lack}",
            where=where,
            hint=f"did its author mean `{near[0]}`?" if near else hint,
        )


def _check_data(
    metric: MetricDefinition[Any], options: Mapping[str, Any], where: Location, data: Data, samples: int
) -> str | None:
    """Call the metric's own check, unless it asks for labels that only reading all examples would tell.

    Returns:
        What it remarks.
    """
    if metric.check is None:
        return None
    from genloss.training.batches import known_labels, length

    counts = {"sample_count": samples, "held_out_count": length(data.held_out)}
    given = {"spec": data.spec, **counts, **metric.validated(options)}
    asked = inspect.signature(metric.check).parameters
    for name, part in (("train_labels", data.train), ("held_out_labels", data.held_out)):
        if name in asked:
            given[name] = known_labels(part)
            if given[name] is None and _has_labels(part):
                return None
    with calling(metric, "computed of this data", where):
        return metric.check(**{name: given[name] for name in asked})


def _has_labels(part: Any) -> bool:
    return "label" in (part if isinstance(part, Mapping) else part[0])
