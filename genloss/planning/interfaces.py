"""The interfaces of models: the quantities that they offer to each player."""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from genloss.contracts.metric import MODEL_METHODS
from genloss.errors import FOREIGN, DefinitionError, GenlossError, Location
from genloss.experiment.schema import Choice
from genloss.planning.building import build_on_meta
from genloss.planning.options import calling

if TYPE_CHECKING:
    from torch import Tensor

    from genloss.contracts.dataset import DataSpec
    from genloss.contracts.model import Model, ModelDefinition, Turn
    from genloss.registry.catalogue import Catalogue


def example(definition: ModelDefinition) -> Model | None:
    """A model with its default options, for small images or for whatever other data it takes; on `meta`."""
    return attempt(definition)[0]


def attempt(definition: ModelDefinition) -> tuple[Model | None, BaseException | None]:
    """The same; or why it cannot be built."""
    from genloss.contracts.dataset import DataSpec

    errors: list[BaseException] = []
    for spec in definition.model.example_data or (
        DataSpec((1, 8, 8), "image", size=1000, value_range=(0.0, 1.0), vocabulary=17, classes=10),
        DataSpec((2,), "points", size=1000, classes=2),
        DataSpec((32,), "tokens", size=1000, vocabulary=256, classes=2),
    ):
        try:
            return build_on_meta(partial(definition.build, spec)), None
        except FOREIGN as error:  # whatever a plugin's constructor raises
            errors.append(error)
    # That it is not for such data says less than a bug that shows itself with other data.
    return None, next(
        (error for error in errors if not isinstance(error, GenlossError | ValueError)), errors[0]
    )


@dataclass(frozen=True)
class ModelInterface:
    """What a model has for losses and metrics.

    Attributes:
        model: its name.
        quantities: what each player is offered.
        parameters: what each player trains.
        turns: what each player's turn is.
        methods: which of the methods that metrics may ask for it has.
    """

    model: str
    quantities: Mapping[str, frozenset[str]]
    parameters: Mapping[str, Sequence[Tensor]]
    turns: Mapping[str, type[Turn[Any]]]
    methods: frozenset[str]

    def why_not(self, player: str, name: str) -> str:
        """Why a turn does not offer what it has by that name; empty where it has nothing."""
        turn = self.turns[player]
        attribute = inspect.getattr_static(turn, name, None)
        kind = "property" if isinstance(attribute, property) else "method" if callable(attribute) else ""
        if not kind:
            return ""
        return f"`{name}` of `{turn.__name__}` is a {kind}: make it a `functools.cached_property`"


class ModelInterfaces:
    """The offers of a catalogue's models for the data of one experiment."""

    def __init__(self, catalogue: Catalogue, data: DataSpec) -> None:
        self._catalogue = catalogue
        self._data = data
        self._known: dict[str, ModelInterface] = {}

    def of(self, model: Choice, where: Location) -> ModelInterface:
        """What a model offers.

        Raises:
            RequestError: it cannot be built for this data, or breaks its contract.
        """
        key = json.dumps([model.name, model.options])
        if key not in self._known:
            with calling(self._catalogue.models[model.name], "built for this data", where):
                self._known[key] = self._look(model)
        return self._known[key]

    def models_with(self, quantity: str) -> list[str]:
        """The models that offer a quantity, as far as they can be built for this data without options."""
        found = []
        for name in self._catalogue.models:
            with contextlib.suppress(Exception):
                if any(quantity in offered for offered in self._look(Choice(name=name)).quantities.values()):
                    found.append(name)
        return found

    def _look(self, choice: Choice) -> ModelInterface:
        build = self._catalogue.models[choice.name].configured(choice.options)
        model: Model = build_on_meta(lambda: build(self._data))
        turns, players = model.turns(), model.players()
        if turns.keys() != players.keys():
            raise DefinitionError(
                f"model `{choice.name}` has the players {', '.join(players)}, turns for {', '.join(turns)}"
            )
        parameters = {
            player: [parameter for parameter in module.parameters() if parameter.requires_grad]
            for player, module in players.items()
        }
        for player, own in parameters.items():
            if not own:
                raise DefinitionError(f"`{player}` of model `{choice.name}` has no parameters to train")
            if not set(own) <= set(model.parameters()):
                raise DefinitionError(
                    f"`{player}` of model `{choice.name}` trains a parameter that is not the model's, and "
                    "would not be saved with it",
                    hint="assign the player's module to an attribute of the model",
                )
        quantities = {player: frozenset(turn.quantities()) for player, turn in turns.items()}
        return ModelInterface(
            choice.name,
            quantities,
            parameters,
            turns,
            frozenset(name for name in MODEL_METHODS if hasattr(model, name)),
        )
