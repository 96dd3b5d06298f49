"""Static checks of an experiment against the catalogue, the data and the models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloss.errors import DefinitionError, ExperimentError
from genloss.experiment.nodes import Node, show
from genloss.experiment.objectives import Drafted
from genloss.experiment.read import Draft
from genloss.experiment.readers import suggestion
from genloss.experiment.schema import Choice, Experiment, Objective, Training
from genloss.planning.interfaces import ModelInterface, ModelInterfaces
from genloss.planning.metrics import check_evaluation
from genloss.planning.optimizers import check_optimizer
from genloss.planning.options import calling, check_options, find
from genloss.planning.terms import check_quantities, check_term

if TYPE_CHECKING:
    from genloss.contracts.dataset import Data, DatasetDefinition
    from genloss.registry.catalogue import Catalogue, Definitions


def check(draft: Draft, catalogue: Catalogue) -> tuple[Experiment, Data]:
    """The experiment with paths made absolute and optimizer arguments converted; and its data.

    Raises:
        RequestError: it cannot be trained; with the place of the reason.
    """
    experiment, root = draft.experiment, draft.source.root
    choice, data = _load(draft, catalogue)
    checker = Checker(draft.source.folder, catalogue, data, ModelInterfaces(catalogue, data.spec))
    objectives = tuple(
        checker.objective(draft.objectives[objective.name]) for objective in experiment.objectives
    )
    evaluation = experiment.evaluation
    if evaluation is not None:
        evaluation = check_evaluation(
            evaluation,
            root.items["evaluation"],
            catalogue=catalogue,
            folder=draft.source.folder,
            data=data,
            models=checker.offered.values(),
        )
    checked = {"data": choice, "objectives": objectives, "evaluation": evaluation}
    return experiment.model_copy(update=checked), data


def _load(draft: Draft, catalogue: Catalogue) -> tuple[Choice, Data]:
    choice, node = draft.experiment.data, draft.source.root.items["data"]
    choice = _checked_choice(choice, node, catalogue.datasets, draft.source.folder)
    definition = catalogue.datasets[choice.name]
    with calling(definition, "loaded", node.where):
        data: Data = definition.configured(choice.options)()
        check_data(definition, data)
    return choice, data


def check_data(definition: DatasetDefinition[Any], data: Any) -> None:
    """Raise unless a dataset's function gave data that can be trained on.

    Raises:
        DefinitionError: it gave something else, or values that are not finite.
    """
    from genloss.contracts.dataset import Data

    what = f"dataset `{definition.name}`"
    if not isinstance(data, Data):
        given = "nothing" if data is None else f"an object of the type `{type(data).__name__}`"
        raise DefinitionError(
            f"{what} gave {given}, not `genloss.Data`",
            hint="end its function with `return genloss.Data(spec, train={'x': …}, held_out={'x': …})`",
        )
    for name, part in (("train", data.train), ("held_out", data.held_out)):
        x = part["x"] if isinstance(part, Mapping) else None
        if x is not None and x.is_floating_point() and not (finite := x.isfinite()).all():
            bad = (~finite.flatten(1).all(1)).nonzero().flatten()
            raise DefinitionError(
                f"{what}: `x` of its `{name}` has values that are not finite, in {len(bad)} of {len(x)} "
                f"examples; the first is number {int(bad[0])}",
                hint="no loss of them would be finite: leave such examples out, or fill them",
            )


def _checked_choice(choice: Choice, node: Node, definitions: Definitions[Any], folder: Path) -> Choice:
    where = node.at("name").where
    nodes = {key: child for key, child in node.items.items() if key != "name"}
    options = check_options(find(definitions, choice.name, where), nodes, folder, where)
    return choice.model_copy(update={"options": options})


@dataclass
class Checker:
    """Checks objectives against catalogue, data and models.

    Attributes:
        folder: what paths are relative to.
        catalogue: of what they name.
        data: the experiment's.
        offers: what the models offer for it.
        offered: what each checked objective's model offers, by the objective's name.
    """

    folder: Path
    catalogue: Catalogue
    data: Data
    offers: ModelInterfaces
    offered: dict[str, ModelInterface] = field(default_factory=dict)

    def objective(self, drafted: Drafted) -> Objective:
        """The objective with its options checked and completed.

        Raises:
            RequestError: it cannot be trained; with the place of the reason.
        """
        objective, node = drafted.objective, drafted.model
        name = objective.name
        model = _checked_choice(objective.model, node, self.catalogue.models, self.folder)
        offer = self.offered[name] = self.offers.of(model, node.at("name").where)
        players = {}
        for player, terms in objective.players.items():
            place = drafted.node.at(player)
            if player not in offer.quantities:
                raise ExperimentError(
                    f"model `{model.name}` has no player {show(player)}",
                    where=place.label,
                    hint=suggestion(player, list(offer.quantities)),
                )
            checked = []
            for term in terms:
                item = drafted.terms[player, term.name]
                term, loss = check_term(term, item, self.catalogue, self.folder)
                check_quantities(loss, item, player, offer, self.offers)
                checked.append(term)
            if all(term.every > 1 for term in checked):
                raise ExperimentError(
                    f"objective `{name}` has no term of `{player}` with `every: 1`",
                    where=place.where,
                    hint="some steps would have nothing to train on: leave `every` out of one term",
                )
            players[player] = tuple(checked)
        for player in offer.quantities:
            if player not in players:
                raise ExperimentError(
                    f"objective `{name}` has no term for `{player}`, a player of model `{model.name}`",
                    where=drafted.node.label,
                    hint=f"add `{player}: …` with the name of a loss",
                )
        training = self._training(objective.training, drafted.training, offer)
        return objective.model_copy(update={"model": model, "training": training, "players": players})

    def _training(self, training: Training, node: Node, offer: ModelInterface) -> Training:
        size = self.data.spec.size
        if training.batch_size > size:
            raise ExperimentError(
                f"a batch has {training.batch_size} examples, and the training set only {size}",
                where=node.at("batch_size").where,
                hint=f"set `training.batch_size` to {size} or less",
            )
        for player, settings in training.players.items():
            place = node.at("players", player)
            if player not in offer.parameters:
                raise ExperimentError(
                    f"model `{offer.model}` has no player {show(player)}",
                    where=place.label,
                    hint=suggestion(player, list(offer.parameters)),
                )
            if training.order == "simultaneous" and settings.updates_per_step != 1:
                raise ExperimentError(
                    f"`{player}` has {settings.updates_per_step} updates in a step, but simultaneous players "
                    "have one each",
                    where=place.at("updates_per_step").where,
                    hint="set `training.order` to `alternating`, or leave `updates_per_step` out",
                )
        return self._with_optimizers(training, node, offer.parameters)

    def _with_optimizers(self, training: Training, node: Node, parameters: Mapping[str, Any]) -> Training:
        """The training with its optimizers checked: those of single players, and that of the others."""
        players = dict(training.players)
        shared = []
        for player, own in parameters.items():
            settings = players.get(player)
            if settings is None or settings.optimizer is None:
                shared += own
                continue
            place = node.at("players", player, "optimizer")
            optimizer = check_optimizer(settings.optimizer, place, own)
            players[player] = settings.model_copy(update={"optimizer": optimizer})
        optimizer = check_optimizer(training.optimizer, node.at("optimizer"), shared)
        return training.model_copy(update={"players": players, "optimizer": optimizer})
