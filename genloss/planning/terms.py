"""Checks of an objective's terms against the losses and the model's quantities."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloss.errors import ExperimentError, Location
from genloss.experiment.nodes import Node, show
from genloss.experiment.objectives import TERM_KEYS
from genloss.experiment.readers import named_item, suggestion
from genloss.experiment.schema import Schedule, Term
from genloss.planning.building import build_on_meta
from genloss.planning.interfaces import ModelInterface, ModelInterfaces
from genloss.planning.options import calling, check_options, find

if TYPE_CHECKING:
    from genloss.contracts.loss import Loss
    from genloss.registry.catalogue import Catalogue


def check_term(term: Term, node: Node, catalogue: Catalogue, folder: Path) -> tuple[Term, Loss[Any]]:
    """The term with its options checked, and its loss.

    Raises:
        RequestError: there is no such loss, or it has no such options.
    """
    where, keys = named_item(node)
    loss = find(catalogue.losses, term.loss, where)
    nodes = {key: child for key, child in keys.items() if key not in TERM_KEYS}
    options = check_options(loss, nodes, folder, where, also=TERM_KEYS)
    if loss.is_module:
        _build(loss, options, where)
    return term.model_copy(update={"options": options}), loss


def check_quantities(
    loss: Loss[Any], node: Node, player: str, offer: ModelInterface, offers: ModelInterfaces
) -> None:
    """Raise unless a player is offered all that a term's loss needs.

    Args:
        loss: the term's.
        node: the term's.
        player: in whose objective the term stands.
        offer: what the model offers.
        offers: what other models do, for the hint.

    Raises:
        ExperimentError: a quantity that is not offered, or a `bind` that makes no sense.
    """
    where, keys = named_item(node)
    bind = keys["bind"].items if "bind" in keys else {}
    offered = offer.quantities[player]
    lack = f"which model `{offer.model}` does not offer to `{player}`"
    for parameter, target in bind.items():
        if parameter not in loss.quantities:
            raise ExperimentError(
                f"loss `{loss.name}` asks for no quantity {show(parameter)}",
                where=target.label,
                hint=suggestion(parameter, list(loss.quantities)),
            )
        if target.value is None and not loss.quantities[parameter].optional:
            raise ExperimentError(
                f"loss `{loss.name}` needs the quantity `{parameter}`, so it cannot be left out by `null`",
                where=target.where,
                hint=f"bind it to one that `{player}` is offered: {_listed(offered)}",
            )
        if target.value is not None and target.value not in offered:
            raise ExperimentError(
                f"`{parameter}` is bound to the quantity {show(target.plain)}, {lack}",
                where=target.where,
                hint=offer.why_not(player, str(target.value)) or suggestion(str(target.value), offered),
            )
    for name, quantity in loss.quantities.items():
        if name not in offered and name not in bind and not quantity.optional:
            raise ExperimentError(
                f"loss `{loss.name}` needs the quantity `{name}`, {lack}",
                where=where,
                hint=offer.why_not(player, name)
                or f"`{player}` is offered {_listed(offered)}" + _offered_elsewhere(name, offer, offers),
            )


def _build(loss: Loss[Any], options: Mapping[str, Any], where: Location) -> None:
    """Let the constructor of a loss with a state check its options, without memory for the state."""
    first = dict(options)
    for name, value in options.items():
        if isinstance(value, Schedule):
            first[name] = value.ramp.start
    with calling(loss, "built", where):
        build_on_meta(loss.configured(first))


def _offered_elsewhere(quantity: str, offer: ModelInterface, offers: ModelInterfaces) -> str:
    players = [player for player, offered in offer.quantities.items() if quantity in offered]
    if players:
        return f"; `{quantity}` is offered to {_listed(players)}"
    models = offers.models_with(quantity)
    return f"; `{quantity}` is offered by model {_listed(models)}" if models else ""


def _listed(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
