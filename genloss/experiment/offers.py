"""What models offer to losses: each is built for the data on torch's meta device, which costs nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genloss.contracts.metric import MODEL_METHODS
from genloss.errors import DefinitionError, GenlossError, Location
from genloss.experiment.options import calling
from genloss.experiment.schema import Choice

if TYPE_CHECKING:
    from torch import Tensor

    from genloss.contracts.dataset import DataSpec
    from genloss.contracts.model import Model, ModelDefinition
    from genloss.registry import Catalogue


def example(definition: ModelDefinition) -> Model | None:
    """A model with its default options, for small images or for whatever other data it takes; on `meta`."""
    return attempt(definition)[0]


def attempt(definition: ModelDefinition) -> tuple[Model | None, Exception | None]:
    """The same; or why it cannot be built."""
    import torch

    from genloss.contracts.dataset import DataSpec

    errors: list[Exception] = []
    for spec in (
        DataSpec(event_shape=(1, 8, 8), kind="image", size=1000, value_range=(0.0, 1.0), vocabulary=17),
        DataSpec(event_shape=(2,), kind="points", size=1000),
        DataSpec(event_shape=(32,), kind="tokens", size=1000, vocabulary=256),
    ):
        try:
            with torch.device("meta"):
                return definition.build(spec), None
        except Exception as error:  # whatever a plugin's constructor raises
            errors.append(error)
    # That it is not for such data says less than a bug that shows itself with other data.
    return None, next(
        (error for error in errors if not isinstance(error, GenlossError | ValueError)), errors[0]
    )


@dataclass(frozen=True)
class Offer:
    """What a model has for losses and metrics.

    Attributes:
        model: its name.
        quantities: what each player is offered.
        parameters: what each player trains.
        methods: which of the methods that metrics may ask for it has.
    """

    model: str
    quantities: Mapping[str, frozenset[str]]
    parameters: Mapping[str, Sequence[Tensor]]
    methods: frozenset[str]


class Offers:
    """The offers of a catalogue's models for the data of one experiment."""

    def __init__(self, catalogue: Catalogue, data: DataSpec) -> None:
        self._catalogue = catalogue
        self._data = data
        self._known: dict[str, Offer] = {}

    def of(self, model: Choice, where: Location) -> Offer:
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

    def _look(self, choice: Choice) -> Offer:
        import torch

        definition = self._catalogue.models[choice.name]
        with torch.device("meta"):
            model = definition.build(self._data, **definition.validated(choice.options))
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
        quantities = {player: frozenset(turn.quantities()) for player, turn in turns.items()}
        return Offer(
            choice.name,
            quantities,
            parameters,
            frozenset(name for name in MODEL_METHODS if hasattr(model, name)),
        )
