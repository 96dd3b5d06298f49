"""A dry run before training: a few examples go through the losses, the models and the metrics.

It runs on the CPU, with initial weights. What fails with a few examples is tried again with as many as the
experiment has, since it may need more of them than a dry run uses.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genloss.contracts.dataset import Data, DatasetDefinition
from genloss.contracts.definition import Definition, without_none
from genloss.contracts.metric import MODEL_METHODS
from genloss.contracts.model import Model, Turn
from genloss.contracts.shapes import check_dtype, describe_value, expected_value, matches
from genloss.errors import (
    FOREIGN,
    ContractError,
    DefinitionError,
    ExperimentError,
    GenlossError,
    Location,
    PluginError,
    RequestError,
)
from genloss.experiment.readers import named_item
from genloss.experiment.schema import Evaluation, Experiment, Objective
from genloss.planning import fits, work
from genloss.planning.building import build_on_meta
from genloss.planning.remarks import Remark
from genloss.planning.work import Size, Work
from genloss.registry.origin import culprit, describe
from genloss.training import networks, seeds, traps
from genloss.training.batches import Batches, whole
from genloss.training.bound_metrics import BoundMetric, asked_for, bound
from genloss.training.evaluation import carrier, offered_by_data
from genloss.training.networks import DTYPES
from genloss.training.objective import BoundTerm
from genloss.training.surroundings import kept
from genloss.training.trainer import Trainer

if TYPE_CHECKING:
    from genloss.experiment.read import Draft
    from genloss.registry.catalogue import Catalogue
    from genloss.training.devices import Device

CPU = torch.device("cpu")
BATCH, SAMPLES = 8, 64
"""Examples that go through losses, and through metrics."""

LARGEST_MODEL = 20_000_000
"""Parameters: with more of them it would take too long, and a run's first batch tells as much."""


def dry_run(
    draft: Draft, experiment: Experiment, catalogue: Catalogue, data: Data, *, devices: Sequence[Device]
) -> tuple[tuple[Remark, ...], dict[str, Size]]:
    """Try each objective, each model's methods and each metric.

    Returns:
        What there is to remark, and what training takes, by objective.

    Args:
        draft: has the places of what is tried.
        experiment: checked.
        catalogue: of what it names.
        data: the experiment's.
        devices: that it trains on. If the CPU is not among them, operations that torch does not
            support on the CPU are not errors.

    Raises:
        RequestError: what failed, with its place.
    """
    forgiven = () if any(device.name == "cpu" for device in devices) else (RuntimeError,)
    with seeds.forked(0, CPU), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trial = _Trial(draft, experiment, catalogue, data, devices, forgiven)
        trial.run()
    return tuple(trial.remarks), trial.sizes


@dataclass
class _Trial:
    draft: Draft
    experiment: Experiment
    catalogue: Catalogue
    data: Data
    devices: Sequence[Device]
    forgiven: tuple[type[Exception], ...]
    remarks: dict[Remark, None] = field(default_factory=dict)
    sizes: dict[str, Size] = field(default_factory=dict)

    def run(self) -> None:
        evaluation = self.experiment.evaluation
        if evaluation is not None:
            place = self.draft.source.root.at("evaluation", "samples")
            fits.expect_samples(evaluation.samples, self.data.spec, self.devices, place.where)
        models: dict[str, Model] = {}
        for objective in self.experiment.objectives:
            with kept():
                self._objective(objective, models)
        if evaluation is not None and models:
            with kept():
                self._metrics(evaluation, next(iter(models.values())))

    def _objective(self, objective: Objective, models: dict[str, Model]) -> None:
        """Try an objective; adds its model to those whose methods have been tried."""
        sketch = self._sketch(objective)
        self._remark(traps.of_parameters(sketch), self._model_place(objective))
        size = work.size(sketch, objective, work.least(sketch, objective))
        self._fit(objective, size)
        if size.parameters > LARGEST_MODEL:
            return
        trainer = self._trainer(objective)
        if trainer is None:
            return
        whole_batch = objective.training.batch_size
        few = _either(
            partial(self._losses, objective, trainer, min(whole_batch, BATCH)),
            partial(self._losses, objective, trainer, whole_batch),
        )
        examples = min(whole_batch, BATCH) if few else whole_batch
        self._fit(objective, replace(size, work=self._work(objective, trainer, examples)))
        key = objective.model.model_dump_json()
        if self.experiment.evaluation is not None and key not in models:
            models[key] = trainer.model
            self._methods(objective, trainer.model, self.experiment.evaluation)

    def _fit(self, objective: Objective, size: Size) -> None:
        """Keep what an objective's training takes; raises if no device has the memory for it."""
        fits.expect(objective, size, self.devices, self._model_place(objective))
        self.sizes[objective.name] = size

    def _work(self, objective: Objective, trainer: Trainer, size: int) -> Work:
        """What a step computes, by that of a few examples."""
        batch = next(whole(self.data.train, size, device=CPU, dtype=trainer.dtype))
        model = self.catalogue.models[objective.model.name]
        place = self._model_place(objective)
        with self._trying([model], f"cannot be differentiated on the first {size} training examples", place):
            return work.measure(trainer, batch, objective)
        return self.sizes[objective.name].work

    def _sketch(self, objective: Objective) -> Model:
        definition = self.catalogue.models[objective.model.name]
        build = definition.configured(objective.model.options)
        model: Model = build_on_meta(lambda: build(self.data.spec))
        return model

    def _remark(self, findings: Iterable[traps.Finding], where: Location) -> None:
        self.remarks |= {Remark(finding.message, where, finding.hint): None for finding in findings}

    def _trainer(self, objective: Objective) -> Trainer | None:
        """The objective's; None where only the CPU cannot build it."""
        definition = self.catalogue.models[objective.model.name]
        build = definition.configured(objective.model.options)
        training = objective.training.model_copy(update={"compile": False, "ema": None})
        dtype = DTYPES[training.precision]
        batch = next(whole(self.data.train, 1, device=CPU, dtype=dtype))
        with self._trying([definition], "cannot be built", self._model_place(objective)):
            return Trainer(
                lambda: build(self.data.spec),
                objective.model_copy(update={"training": training}),
                self.catalogue.losses,
                Batches(batch, batch_size=1, seed=0, device=CPU, dtype=dtype),
                seed=0,
                device=CPU,
            )
        return None

    def _losses(self, objective: Objective, trainer: Trainer, size: int) -> None:
        """One batch through all terms of an objective."""
        first = next(whole(self.data.train, size, device=CPU, dtype=trainer.dtype))
        batch = _Fields(first, self.catalogue.datasets[self.experiment.data.name])
        model = self.catalogue.models[objective.model.name]
        drafted = self.draft.objectives[objective.name]
        found: list[traps.Finding] = []
        trainer.mode(training=False)
        for player in trainer.players:
            turn = player.turn(trainer.model, batch, player.objective.needs)
            said = f"failed on the first {size} training examples"
            for term in player.objective.terms:
                where, _ = named_item(drafted.terms[player.name, term.name])
                with self._trying([model, term.loss], said, where):
                    term.check(turn, trainer.dtype)
                    if objective.training.on_nonfinite == "fail":
                        _expect_finite(term, turn, size)
            place = drafted.node.at(player.name).where
            losses = [term.loss for term in player.objective.terms]
            with self._trying([model, *losses], said, place):
                player.objective.check(turn, player.parameters, trainer.dtype)
                terms = objective.players[player.name]
                found += traps.of_player(trainer, player, batch, terms, self.catalogue.losses)
        if objective.training.compile:
            self._compiled(objective, trainer, batch)
        for finding in found:
            where = drafted.training.at("players", finding.player, "clip_gradients").where
            if finding.term:
                where, _ = named_item(drafted.terms[finding.player, finding.term])
            self._remark([finding], where)

    def _compiled(self, objective: Objective, trainer: Trainer, batch: Mapping[str, torch.Tensor]) -> None:
        """Return whether torch.compile can differentiate what the losses ask for; nothing is compiled."""
        model = self.catalogue.models[objective.model.name]
        place = self.draft.objectives[objective.name].training.at("compile").where
        for player in trainer.players:
            turn = player.turn(trainer.model, batch, player.objective.needs)
            losses = [term.loss for term in player.objective.terms]
            with (
                self._trying([model, *losses], "cannot be compiled", place),
                networks.explained(),
                networks.differentiated_once(trainer.model),
            ):
                player.objective.check(turn, player.parameters, trainer.dtype)

    def _methods(self, objective: Objective, model: Model, evaluation: Evaluation) -> None:
        """Return whether what a model gives to metrics has the shape of the data."""
        definition, where = self.catalogue.models[objective.model.name], self._model_place(objective)
        shape = self.data.spec.event_shape
        two = next(whole(self.data.train, 2, device=CPU, dtype=next(model.parameters()).dtype))
        model.eval()
        with self._trying([definition], "failed to sample", where), torch.no_grad():
            carry = carrier(model)
            method = "sample(2)" if carry is None else "sample_from(source)"
            samples = model.sample(2) if carry is None else carry(two["source"])
            _expect(f"`{method}` of model `{definition.name}`", samples, (2, *shape), two["x"])
        wanted = asked_for(bound(evaluation, self.catalogue.metrics))
        x = two["x"]
        for name, expected in (("reconstruct", x.shape), ("log_likelihood", x.shape[:1])):
            if name in wanted and hasattr(model, name):
                with self._trying([definition], f"failed in `{name}`", where), torch.no_grad():
                    given = getattr(model, name)(x)
                    _expect(f"`{name}` of model `{definition.name}`", given, tuple(expected), x)

    def _metrics(self, evaluation: Evaluation, model: Model) -> None:
        """Each metric, with training examples in the place of samples."""
        for index, metric in enumerate(bound(evaluation, self.catalogue.metrics)):
            where, _ = named_item(self.draft.source.root.at("evaluation", "metrics", index))
            tried = partial(self._metric, metric, model, evaluation.samples, where)
            _either(partial(tried, few=True), tried)

    def _metric(
        self, metric: BoundMetric, model: Model, samples: int, where: Location, *, few: bool = False
    ) -> None:
        dtype = next(model.parameters()).dtype
        data, count = (self._few(), min(samples, SAMPLES)) if few else (self.data, samples)
        asked = asked_for([metric])
        if few and metric.definition.check is not None:
            asked = {name for name in asked if not metric.definition.quantities[name].optional}
        with tempfile.TemporaryDirectory() as folder:
            offered = offered_by_data(data, {*asked, "train"}, device=CPU, dtype=dtype, cache=Path(folder))
            offered["samples"] = offered["train"][torch.arange(count) % len(offered["train"])]
            offered["model"] = model
            offered |= {name: getattr(model, name) for name in MODEL_METHODS if hasattr(model, name)}
            offered = {name: metric.given(name, value) for name, value in offered.items() if name in asked}
            said = f"failed with {count} training examples in the place of samples"
            with self._trying([metric.definition], said, where), torch.no_grad():
                _expect_kinds(metric, offered)
                metric.numbers(offered)

    def _few(self) -> Data:
        """The first of the data."""
        first = partial(whole, batch_size=SAMPLES, device=CPU, dtype=torch.get_default_dtype())
        train, held_out = next(first(self.data.train)), next(first(self.data.held_out))
        spec = replace(self.data.spec, size=len(train["x"]))
        return replace(self.data, spec=spec, train=train, held_out=held_out, digest="")

    def _model_place(self, objective: Objective) -> Location:
        return self.draft.objectives[objective.name].model.at("name").where

    @contextmanager
    def _trying(self, definitions: Collection[Definition], failed: str, where: Location) -> Iterator[None]:
        """Create errors of the request of what goes wrong in the code of these definitions."""
        try:
            yield
        except RequestError as error:
            error.where = error.where or where
            raise
        except GenlossError as error:
            raise ExperimentError(error.message, where=where, hint=error.hint) from error
        except self.forgiven:
            return
        except FOREIGN as error:
            first = next(iter(definitions))
            subject = culprit(error, definitions) or f"{first.kind} `{first.name}`"
            raise PluginError(f"{subject} {failed}: {describe(error)}", where=where) from error


class _Fields(dict[str, torch.Tensor]):
    """A batch that says what to do where it is asked for a field that the data does not have."""

    def __init__(self, fields: Mapping[str, torch.Tensor], dataset: DatasetDefinition[Any]) -> None:
        super().__init__(fields)
        self._dataset = dataset

    def __missing__(self, name: str) -> torch.Tensor:
        option = next((each for each in (f"{name}s", name) if each in self._dataset.options), None)
        fields = ", ".join(f"`{field}`" for field in self)
        raise ContractError(
            f"the model asks a batch for `{name}`, and this data has {fields} alone",
            hint=f"dataset `{self._dataset.name}` gives it by its option `{option}`"
            if option
            else f"dataset `{self._dataset.name}` has no option that gives it: take other data",
        )


def _either(few: Callable[[], None], all_of_them: Callable[[], None]) -> bool:
    """Try it with a few examples, and if that fails, with as many as the experiment says.

    Returns:
        Whether a few do.
    """
    try:
        few()
    except RequestError:
        all_of_them()
        return False
    return True


def _expect_finite(term: BoundTerm, turn: Turn[Any], size: int) -> None:
    """Raise unless a loss is finite before anything is trained.

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


def _expect_kinds(metric: BoundMetric, offered: Mapping[str, Any]) -> None:
    """Raise unless a metric's tensors are of the kind that it is for: not tokens, where it is for numbers.

    Raises:
        DefinitionError: what came instead.
    """
    for name, quantity in metric.definition.quantities.items():
        value = offered.get(name)
        if isinstance(value, torch.Tensor) and not matches(value, without_none(quantity.annotation)):
            expected = expected_value(quantity.annotation)
            raise DefinitionError(
                f"metric `{metric.definition.name}` expects `{name}` as {expected}, "
                f"got {describe_value(value)}",
                hint="it is for data of another kind",
            )


def _expect(what: str, given: Any, shape: tuple[int, ...], x: torch.Tensor) -> None:
    """Raise unless it is a tensor of that shape, and of the data's precision.

    Raises:
        ContractError: another precision.
        DefinitionError: what came instead.
    """
    if not isinstance(given, torch.Tensor):
        raise DefinitionError(f"{what} gives an object of the type `{type(given).__name__}`, not a tensor")
    if tuple(given.shape) != shape:
        raise DefinitionError(f"{what} gives the shape {list(given.shape)}, not {list(shape)}")
    if x.is_floating_point():
        check_dtype(what, given, x.dtype)
