"""What a model's gradients must do: reach their player, and be each example's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from genloss.conformance.models.cases import Case
from genloss.conformance.values import tensors
from genloss.training import optimizers, traps


def trained_parameters(case: Case) -> None:
    """Each parameter of a player gets a gradient from at least one quantity that the player is offered."""
    model = case.build()
    names = {parameter: name for name, parameter in model.named_parameters()}
    offered = case.quantities(model, case.batch())
    for player, module in model.players().items():
        own = [parameter for parameter in module.parameters() if parameter.requires_grad]
        reached = set().union(*(_reached(value, own) for value in offered[player].values()))
        for parameter in own:
            if parameter not in reached:
                case.fail(
                    f"no quantity of `{player}` depends on its parameter `{names.get(parameter, '?')}`",
                    hint="offer what depends on it, or delete it; a `detach` too many has the same effect",
                )


def own_gradients(case: Case) -> None:
    """A turn's gradients reach its player; another player's parameters only on their way there.

    A quantity that depends on another player's parameters alone should have been detached. Of two players,
    each cannot be on the other's way for the same quantity: in one of the turns, something was not detached.
    """
    model = case.build()
    parameters = {
        player: {parameter for parameter in module.parameters() if parameter.requires_grad}
        for player, module in model.players().items()
    }
    reached: dict[tuple[str, str], set[str]] = {}
    for player, values in case.quantities(model, case.batch()).items():
        for name, value in values.items():
            found = _reached(value, [*set().union(*parameters.values())])
            reached[player, name] = {
                other
                for other, theirs in parameters.items()
                if found & (theirs if other == player else theirs - parameters[player])
            }
    for (player, name), others in reached.items():
        if others and player not in others:
            other = min(others)
            case.fail(
                f"quantity `{name}` of `{player}` passes gradients to `{other}`, and none to `{player}`",
                hint="compute under `torch.no_grad()` or detach what the player cannot move",
            )
    for (player, name), others in reached.items():
        for other in others - {player}:
            if player in reached.get((other, name), ()):
                case.fail(
                    f"quantity `{name}` passes gradients to `{other}` in the turn of `{player}`, and to "
                    f"`{player}` in the turn of `{other}`",
                    hint="a player's turn detaches what another makes, unless its own gradients come by it",
                )


def updates(case: Case) -> None:
    """An update moves each parameter of a player by its gradient, wherever in memory both are."""
    model = case.build()
    names = {parameter: name for name, parameter in model.named_parameters()}
    for player, module in model.players().items():
        own = [parameter for parameter in module.parameters() if parameter.requires_grad]
        offered = model.turns()[player].quantities()
        turn = model.turns()[player](model, case.batch(), frozenset(offered))
        values = [value for name in offered for value in tensors(case.ask(turn, player, name))]
        roots = [value.square().mean() for value in values if value.requires_grad]
        if not roots:
            continue
        gradients = torch.autograd.grad(torch.stack(roots).sum(), own, allow_unused=True)
        expected = [
            parameter.detach().clone() if gradient is None else (parameter - gradient).detach()
            for parameter, gradient in zip(own, gradients, strict=True)
        ]
        optimizers.assign(own, gradients)
        optimizers.update(optimizers.build("sgd", own, lr=1.0))()
        for parameter, value in zip(own, expected, strict=True):
            if not torch.allclose(parameter, value, rtol=1e-4, atol=1e-6, equal_nan=True):
                case.fail(
                    f"an update of `{player}` does not move `{names.get(parameter, '?')}` by its gradient",
                    hint="it shares memory with another tensor: make the parameter of a `.clone()`",
                )


def independent_gradients(case: Case) -> None:
    """The discriminator's gradients by examples are each example's own, as gradient penalties take them."""
    model, batch = case.build(), case.batch()
    for player, turn in model.turns().items():
        for name in turn.quantities():
            if traps.mixes(turn, model, batch, name):
                case.fail(
                    f"quantity `{name}` of `{player}` is not each example's own: it changes with the others",
                    hint="batch normalization does so: use layer, instance or group normalization",
                )


def _reached(value: Any, parameters: Sequence[Tensor]) -> set[Tensor]:
    """The parameters to which a gradient of the value flows."""
    roots = [tensor for tensor in tensors(value) if tensor.requires_grad]
    if not roots or not parameters:
        return set()
    gradients = torch.autograd.grad(
        [root.sum() for root in roots], parameters, allow_unused=True, retain_graph=True
    )
    return {
        parameter for parameter, gradient in zip(parameters, gradients, strict=True) if gradient is not None
    }


CHECKS: tuple[Callable[[Case], None], ...] = (
    trained_parameters,
    own_gradients,
    updates,
    independent_gradients,
)
