"""Judging a model: metrics on samples, the loss terms on held-out data, and samples to look at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from genloss.contracts.dataset import Data, digest
from genloss.contracts.examples import Examples
from genloss.contracts.metric import MODEL_METHODS, MetricDefinition
from genloss.contracts.model import Model
from genloss.contracts.shapes import check_dtype
from genloss.contracts.stored import Stored, Where
from genloss.experiment.schema import Evaluation
from genloss.training import pictures, seeds, texts
from genloss.training.batches import CPU, chosen, gather, labels, length, whole
from genloss.training.bound_metrics import BoundMetric, asked_for, bound
from genloss.training.finite import Watched
from genloss.training.trainer import Trainer

SAMPLE_CHUNK = 1024
REFERENCE = 2500
"""Held-out examples that are drawn behind samples in the plane."""


def offered_by_data(
    data: Data, wanted: Collection[str], *, device: torch.device, dtype: torch.dtype, cache: Path
) -> dict[str, Any]:
    """What metrics may ask for that no model is needed for."""
    offered: dict[str, Any] = {name: _moved(value, device, dtype) for name, value in data.truth.items()}
    offered |= {"truth": data.truth, "cache": cache}
    for name, part in (("train", data.train), ("held_out", data.held_out)):
        if name in wanted or f"{name}_labels" in wanted:
            offered[name] = examples(data, name, device=device, dtype=dtype)
        if f"{name}_labels" in wanted and (label := labels(part)) is not None:
            offered[f"{name}_labels"] = label.to(device)
    return offered


def examples(
    data: Data, name: str, *, device: torch.device, dtype: torch.dtype, field: str = "x"
) -> Examples:
    """A field of `train` or `held_out`, as metrics read it.

    Where a Dataset draws for an example that is read, it draws the same each time.
    """
    part = data.train if name == "train" else data.held_out

    def read(where: Where) -> Tensor:
        found = gather if isinstance(where, slice) and where == slice(None) else partial(chosen, where=where)
        draws = isinstance(part, Dataset) and not isinstance(part, Stored)
        with seeds.forked(0, device) if draws else nullcontext():
            return found(part, device=device, dtype=dtype)[field]

    def content() -> str:
        return f"{name} {data.digest}" if isinstance(part, Dataset) else digest({field: part[field]})

    return Examples(length(part), read, content)


def reference(metric: BoundMetric, data: Data, samples: int, cache: Path) -> dict[str, float]:
    """What a perfect model would get: the metric with training examples in the place of samples.

    A metric that asks for `log_likelihood` gets the data's exact density; where that is not known, it has
    no reference.
    """
    wanted = asked_for([metric]) | {"train"}
    offered = offered_by_data(data, wanted, device=CPU, dtype=torch.float32, cache=cache)
    if "log_density" in offered:
        offered["log_likelihood"] = offered["log_density"]
    if not all(
        name in {*offered, "samples"} or q.optional for name, q in metric.definition.quantities.items()
    ):
        return {}
    # Drawn at random: the training set may be sorted.
    order = torch.randperm(len(offered["train"]), generator=torch.Generator().manual_seed(0))
    offered["samples"] = offered["train"][order[:samples]]
    with torch.no_grad(), seeds.forked(0, CPU):
        return metric.numbers(offered)


class Evaluator:
    """Evaluates the model of a trainer, without a trace in how training goes on.

    Each evaluation of a run uses the same noise, so that two differ by the model alone.

    Args:
        settings: what to evaluate.
        metrics: the catalogue's metrics.
        data: the run's data.
        seed: the run's.
        cache: a folder for what depends on the data alone.
        artifacts: where pictures and texts go.
        progress: told what is begun: a batch, a chunk of samples, a metric. An error that it raises ends the
            evaluation, which leaves no trace.

    Attributes:
        notes: what is to be said of the last evaluation, such as samples that are not finite.
    """

    def __init__(
        self,
        settings: Evaluation,
        metrics: Mapping[str, MetricDefinition[Any]],
        data: Data,
        *,
        trainer: Trainer,
        seed: int,
        cache: Path,
        artifacts: Path,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._progress = progress
        self.notes: list[str] = []
        self._metrics = bound(settings, metrics)
        self._data = data
        self._trainer = trainer
        self._seed = seeds.derive(seed, "evaluation")
        self._artifacts = artifacts
        with seeds.forked(self._seed, trainer.device):  # a Dataset may draw for each example that is read
            self._offered = offered_by_data(
                data, asked_for(self._metrics), device=trainer.device, dtype=trainer.dtype, cache=cache
            )
            self._reference = None
            if pictures.shows_reference(data.spec):
                batch = next(whole(data.held_out, REFERENCE, device=trainer.device, dtype=trainer.dtype))
                self._reference = batch["x"]
            self._sources = None
            if carrier(trainer.eval_model) is not None:
                self._sources = examples(
                    data, "held_out", device=trainer.device, dtype=trainer.dtype, field="source"
                )

    def evaluate(self) -> tuple[dict[str, float], Path | None]:
        """The numbers by MLflow key, and a file that shows samples, if the data can be shown."""
        model = self._trainer.eval_model
        self._trainer.mode(training=False)
        with seeds.forked(self._seed, self._trainer.device):
            numbers = {f"held_out/{key}": value for key, value in self._held_out().items()}
            with torch.no_grad():
                said = partial(self._progress, "sampling")
                samples = sample(model, self._settings.samples, self._sources, said)
                check_dtype(f"what model `{model.name}` samples", samples, self._trainer.dtype)
                offered = {**self._offered, "model": model, "samples": samples}
                offered |= {name: getattr(model, name) for name in MODEL_METHODS if hasattr(model, name)}
                watched = Watched(offered)
                for metric in self._metrics:
                    self._progress(f"metric `{metric.definition.name}`")
                    numbers |= {f"eval/{name}": value for name, value in watched.numbers(metric).items()}
                self.notes = watched.notes(self._trainer.step)
        self._progress("showing samples")
        return numbers, self._show(samples)

    def _show(self, samples: Tensor) -> Path | None:
        """Write a picture of samples, or the text of tokens."""
        path = self._artifacts / "samples" / f"step-{self._trainer.step:07d}"
        picture, text = path.with_suffix(".png"), path.with_suffix(".txt")
        if pictures.draw(samples, self._data.spec, picture, reference=self._reference):
            return picture
        return text if texts.write(samples, self._data.spec, text) else None

    def _held_out(self) -> dict[str, float]:
        """Each term's mean over the held-out data, in batches of the training's size."""
        trainer = self._trainer
        sums: dict[str, Tensor] = {}
        counts: dict[str, int] = {}
        batch_size = trainer.training.batch_size
        for batch in whole(self._data.held_out, batch_size, device=trainer.device, dtype=trainer.dtype):
            self._progress("the held-out loss")
            size = len(batch["x"])
            for player in trainer.players:
                turn = player.turn(trainer.eval_model, batch, player.objective.needs)
                for term in player.objective.terms:
                    key = f"{player.name}/{term.name}"
                    if term.loss.batch_coupled and size < batch_size and key in sums:
                        continue  # its value depends on the size of the batch
                    value = term.value(turn, trainer.step).detach().mean()
                    sums[key] = sums.get(key, torch.zeros_like(value)) + size * value
                    counts[key] = counts.get(key, 0) + size
        return {key: float(total) / counts[key] for key, total in sums.items()}


def sample(
    model: Model,
    count: int,
    sources: Tensor | Examples | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Tensor:
    """Sample in chunks, so that memory does not grow with their number.

    A model that carries sources to the data is given some of those, drawn at random; each once, unless more
    are asked for than there are. `progress` is called before each chunk.
    """
    carry = carrier(model)
    chunks = []
    if carry is not None and sources is not None:
        order = torch.randperm(len(sources))[torch.arange(count) % len(sources)]
        for chunk in torch.split(order, SAMPLE_CHUNK):
            progress()
            chunks.append(carry(sources[chunk]))
        return torch.cat(chunks)
    for begin in range(0, count, SAMPLE_CHUNK):
        progress()
        chunks.append(model.sample(min(SAMPLE_CHUNK, count - begin)))
    return torch.cat(chunks)


def carrier(model: Model) -> Callable[[Tensor], Tensor] | None:
    """What gives an example for each source, where the data has sources and the model carries them to it."""
    return getattr(model, "sample_from", None) if model.data.source else None


def _moved(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    return value.to(device, dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
