"""A trial before anything is trained: a few examples go through the losses, the models and the metrics.

It runs on the CPU, with weights as they are at the beginning. What fails with a few examples is tried again
with as many as the experiment says, since it may need more of them than a trial has.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genloss.contracts.dataset import Data
from genloss.contracts.definition import Definition, without_none
from genloss.contracts.metric import MODEL_METHODS
from genloss.contracts.model import Model, Turn
from genloss.contracts.shapes import describe_value, expected_value, matches
from genloss.errors import (
    ContractError,
    DefinitionError,
    ExperimentError,
    GenlossError,
    Location,
    PluginError,
    RequestError,
)
from genloss.experiment.blame import culprit, describe
from genloss.experiment.fields import named_item
from genloss.experiment.schema import Evaluation, Experiment, Objective
from genloss.training import seeds
from genloss.training.batches import Batches, whole
from genloss.training.evaluation import Judge, asked_for, carrier, judges, offered_by_data
from genloss.training.networks import DTYPES
from genloss.training.objective import BoundTerm
from genloss.training.trainer import Trainer

if TYPE_CHECKING:
    from genloss.experiment.read import Draft
    from genloss.registry import Catalogue

CPU = torch.device("cpu")
BATCH, SAMPLES = 8, 64
"""Examples that go through losses, and through metrics."""

LARGEST_MODEL = 20_000_000
"""Parameters: with more of them it would take too long, and a run's first batch tells as much."""


def try_out(
    draft: Draft, experiment: Experiment, catalogue: Catalogue, data: Data, *, devices: Collection[str]
) -> None:
    """Tries each objective, each model's methods and each metric.

    Args:
        draft: has the places of what is tried.
        experiment: checked.
        catalogue: of what it names.
        data: the experiment's.
        devices: those that it trains on. Where the CPU is none of them, what torch cannot do there is no
            mistake.

    Raises:
        RequestError: what failed, with its place.
    """
    forgiven = () if "cpu" in devices else (RuntimeError,)
    with seeds.forked(0, CPU), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _Trial(draft, experiment, catalogue, data, forgiven).run()


@dataclass
class _Trial:
    draft: Draft
    experiment: Experiment
    catalogue: Catalogue
    data: Data
    forgiven: tuple[type[Exception], ...]

    def run(self) -> None:
        evaluation = self.experiment.evaluation
        models: dict[str, Model] = {}
        for objective in self.experiment.objectives:
            if self._parameters(objective) > LARGEST_MODEL:
                continue
            trainer = self._trainer(objective)
            if trainer is None:
                continue
            size = objective.training.batch_size
            _either(
                partial(self._losses, objective, trainer, min(size, BATCH)),
                partial(self._losses, objective, trainer, size),
            )
            key = objective.model.model_dump_json()
            if evaluation is not None and key not in models:
                models[key] = trainer.model
                self._methods(objective, trainer.model, evaluation)
        if evaluation is not None and models:
            self._metrics(evaluation, next(iter(models.values())))

    def _parameters(self, objective: Objective) -> int:
        definition = self.catalogue.models[objective.model.name]
        with torch.device("meta"):
            model = definition.build(self.data.spec, **definition.validated(objective.model.options))
        return sum(parameter.numel() for parameter in model.parameters())

    def _trainer(self, objective: Objective) -> Trainer | None:
        """The objective's; None where only the CPU cannot build it."""
        definition = self.catalogue.models[objective.model.name]
        options = definition.validated(objective.model.options)
        training = objective.training.model_copy(update={"compile": False, "ema": None})
        dtype = DTYPES[training.precision]
        batch = next(whole(self.data.train, 1, device=CPU, dtype=dtype))
        with self._trying([definition], "cannot be built", self._model_place(objective)):
            return Trainer(
                lambda: definition.build(self.data.spec, **options),
                objective.model_copy(update={"training": training}),
                self.catalogue.losses,
                Batches(batch, batch_size=1, seed=0, device=CPU, dtype=dtype),
                seed=0,
                device=CPU,
            )
        return None

    def _losses(self, objective: Objective, trainer: Trainer, size: int) -> None:
        """One batch through all terms of an objective."""
        batch = next(whole(self.data.train, size, device=CPU, dtype=trainer.dtype))
        model = self.catalogue.models[objective.model.name]
        drafted = self.draft.objectives[objective.name]
        trainer.mode(training=False)
        for player in trainer.players:
            turn = player.turn(trainer.model, batch, player.objective.needs)
            said = f"failed on the first {size} training examples"
            for term in player.objective.terms:
                where, _ = named_item(drafted.terms[player.name, term.name])
                with self._trying([model, term.loss], said, where):
                    term.check(turn)
                    if objective.training.on_nonfinite == "fail":
                        _expect_finite(term, turn, size)
            place = drafted.node.at(player.name).where
            losses = [term.loss for term in player.objective.terms]
            with self._trying([model, *losses], said, place):
                player.objective.check(turn, player.parameters)

    def _methods(self, objective: Objective, model: Model, evaluation: Evaluation) -> None:
        """Whether what a model gives to metrics has the shape of the data."""
        definition, where = self.catalogue.models[objective.model.name], self._model_place(objective)
        shape = self.data.spec.event_shape
        two = next(whole(self.data.train, 2, device=CPU, dtype=next(model.parameters()).dtype))
        model.eval()
        with self._trying([definition], "failed to sample", where), torch.no_grad():
            carry = carrier(model)
            method = "sample(2)" if carry is None else "sample_from(source)"
            samples = model.sample(2) if carry is None else carry(two["source"])
            _expect(f"`{method}` of model `{definition.name}`", samples, (2, *shape))
        wanted = asked_for(judges(evaluation, self.catalogue.metrics))
        x = two["x"]
        for name, expected in (("reconstruct", x.shape), ("log_likelihood", x.shape[:1])):
            if name in wanted and hasattr(model, name):
                with self._trying([definition], f"failed in `{name}`", where), torch.no_grad():
                    given = getattr(model, name)(x)
                    _expect(f"`{name}` of model `{definition.name}`", given, tuple(expected))

    def _metrics(self, evaluation: Evaluation, model: Model) -> None:
        """Each metric, with training examples in the place of samples."""
        for index, judge in enumerate(judges(evaluation, self.catalogue.metrics)):
            where, _ = named_item(self.draft.source.root.at("evaluation", "metrics", index))
            metric = partial(self._metric, judge, model, evaluation.samples, where)
            _either(partial(metric, few=True), metric)

    def _metric(
        self, judge: Judge, model: Model, samples: int, where: Location, *, few: bool = False
    ) -> None:
        dtype = next(model.parameters()).dtype
        data, count = (self._few(), min(samples, SAMPLES)) if few else (self.data, samples)
        asked = asked_for([judge])
        if few:
            asked = {name for name in asked if not judge.metric.quantities[name].optional}
        with tempfile.TemporaryDirectory() as folder:
            offered = offered_by_data(data, {*asked, "train"}, device=CPU, dtype=dtype, cache=Path(folder))
            offered["samples"] = offered["train"][torch.arange(count) % len(offered["train"])]
            offered["model"] = model
            offered |= {name: getattr(model, name) for name in MODEL_METHODS if hasattr(model, name)}
            offered = {name: value for name, value in offered.items() if name in asked}
            said = f"failed with {count} training examples in the place of samples"
            with self._trying([judge.metric], said, where), torch.no_grad():
                _expect_kinds(judge, offered)
                judge.numbers(offered)

    def _few(self) -> Data:
        """The first of the data."""
        first = partial(whole, batch_size=SAMPLES, device=CPU, dtype=torch.get_default_dtype())
        train, held_out = next(first(self.data.train)), next(first(self.data.held_out))
        spec = replace(self.data.spec, size=len(train["x"]))
        return replace(self.data, spec=spec, train=train, held_out=held_out)

    def _model_place(self, objective: Objective) -> Location:
        return self.draft.objectives[objective.name].model.at("name").where

    @contextmanager
    def _trying(self, definitions: Collection[Definition], failed: str, where: Location) -> Iterator[None]:
        """Makes errors of the request of what goes wrong in the code of these definitions."""
        try:
            yield
        except RequestError as error:
            error.where = error.where or where
            raise
        except GenlossError as error:
            raise ExperimentError(error.message, where=where, hint=error.hint) from error
        except self.forgiven:
            return
        except Exception as error:
            first = next(iter(definitions))
            subject = culprit(error, definitions) or f"{first.kind} `{first.name}`"
            raise PluginError(f"{subject} {failed}: {describe(error)}", where=where) from error


def _either(few: Callable[[], None], all_of_them: Callable[[], None]) -> None:
    """Tries it with a few examples, and if that fails, with as many as the experiment says."""
    try:
        few()
    except RequestError:
        pass
    else:
        return
    all_of_them()


def _expect_finite(term: BoundTerm, turn: Turn[Any], size: int) -> None:
    """Raises unless a loss is finite before anything is trained.

    Raises:
        ContractError: it is not.
    """
    value = term.value(turn, 0)
    if not bool(value.isfinite().all()):
        wrong = value[~value.isfinite()].flatten()[0].item()
        raise ContractError(
            f"loss `{term.loss.name}` is {wrong} on the first {size} training examples, before any update",
            hint=f"an option or the data is outside of what it is for; `genloss show {term.loss.name}`",
        )


def _expect_kinds(judge: Judge, offered: Mapping[str, Any]) -> None:
    """Raises unless a metric's tensors are of the kind that it is for: not tokens, where it is for numbers.

    Raises:
        DefinitionError: what came instead.
    """
    for name, quantity in judge.metric.quantities.items():
        value = offered.get(name)
        if isinstance(value, torch.Tensor) and not matches(value, without_none(quantity.annotation)):
            raise DefinitionError(
                f"metric `{judge.metric.name}` expects `{name}` as {expected_value(quantity.annotation)}, "
                f"got {describe_value(value)}",
                hint="it is for data of another kind",
            )


def _expect(what: str, given: Any, shape: tuple[int, ...]) -> None:
    """Raises unless it is a tensor of that shape.

    Raises:
        DefinitionError: what came instead.
    """
    if not isinstance(given, torch.Tensor):
        raise DefinitionError(f"{what} gives an object of the type `{type(given).__name__}`, not a tensor")
    if tuple(given.shape) != shape:
        raise DefinitionError(f"{what} gives the shape {list(given.shape)}, not {list(shape)}")
