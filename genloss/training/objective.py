"""A player's objective: a weighted sum of losses of the quantities that its turn offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genloss.contracts.definition import Quantity
from genloss.contracts.loss import Loss
from genloss.contracts.model import Turn
from genloss.contracts.shapes import check_arguments, check_dtype, check_value
from genloss.errors import FOREIGN, ContractError
from genloss.experiment.schema import Schedule, Term
from genloss.training import schedules


class BoundTerm:
    """A term with its loss built and each parameter bound to a quantity."""

    def __init__(self, term: Term, loss: Loss[Any], offered: Mapping[str, Quantity]) -> None:
        self.name = term.name
        self.every = term.every
        self.loss = loss
        self.weight = schedules.at(term.weight)
        self.bindings: dict[str, str] = {}
        for parameter, quantity in loss.quantities.items():
            source = term.bind.get(parameter, parameter)
            if source is not None and (source in offered or not quantity.optional):
                self.bindings[parameter] = source
        self._scheduled: dict[str, Callable[[int], float]] = {}
        constant = {}
        for name, value in term.options.items():
            if isinstance(value, Schedule):
                self._scheduled[name] = schedules.at(value)
            else:
                constant[name] = loss.options[name].validate(value)
        first = {name: value(0) for name, value in self._scheduled.items()}
        self.function = loss.build(**constant, **(first if loss.is_module else {}))

    def value(self, turn: Turn[Any], step: int) -> Tensor:
        """The loss's own value: one per example, or a scalar."""
        options: dict[str, float] = {}
        for name, scheduled in self._scheduled.items():
            if isinstance(self.function, nn.Module):
                setattr(self.function, name, scheduled(step))
            else:
                options[name] = scheduled(step)
        quantities = {parameter: getattr(turn, source) for parameter, source in self.bindings.items()}
        return self.function(**quantities, **options)

    def check(self, turn: Turn[Any], dtype: torch.dtype) -> None:
        """Compare what the loss gets and gives with its annotations.

        Args:
            turn: of a first batch.
            dtype: what floating-point quantities have.

        Raises:
            ContractError: they disagree, or a mistake in the loss showed itself.
        """
        quantities = {parameter: getattr(turn, source) for parameter, source in self.bindings.items()}
        for parameter, value in quantities.items():
            check_dtype(f"the quantity `{self.bindings[parameter]}`", value, dtype)
        check_arguments(self.loss, quantities)
        check_value(self.loss, self.value(turn, 0), len(turn.x))


class Objective:
    """The weighted sum of a player's terms.

    Attributes:
        terms: in the order of the YAML.
        needs: the quantities that they ask for.
        modules: the losses that are modules; their parameters train with the player.
    """

    def __init__(
        self,
        player: str,
        terms: Sequence[Term],
        losses: Mapping[str, Loss[Any]],
        offered: Mapping[str, Quantity],
    ) -> None:
        self.player = player
        self.terms = [BoundTerm(term, losses[term.loss], offered) for term in terms]
        self.needs = frozenset(source for term in self.terms for source in term.bindings.values())
        self.modules = nn.ModuleDict(
            {term.name: term.function for term in self.terms if isinstance(term.function, nn.Module)}
        )

    def __call__(self, turn: Turn[Any], step: int) -> tuple[Tensor, list[Tensor | None]]:
        """The weighted sum, and each term's mean over the batch; None for one that this step leaves out."""
        total: Tensor | None = None
        values: list[Tensor | None] = []
        for term in self.terms:
            if step % term.every:
                values.append(None)
                continue
            try:
                value = term.value(turn, step).mean()
                weight = term.weight(step)
                weighted = value if weight == 1.0 else weight * value
                total = weighted if total is None else total + weighted
            except FOREIGN as error:
                term.loss.blame(error)
                raise
            values.append(value)
        assert total is not None, "each player has a term with `every: 1`"
        return total, values

    def check(self, turn: Turn[Any], parameters: Sequence[Tensor], dtype: torch.dtype) -> None:
        """Compare the first batch with all that the losses' signatures say, and look for a gradient.

        Raises:
            ContractError: they disagree, or no loss depends on the player's parameters.
        """
        for term in self.terms:
            term.check(turn, dtype)
        total, _ = self(turn, 0)
        if not total.requires_grad or not any(
            gradient is not None
            for gradient in torch.autograd.grad(total, parameters, allow_unused=True, retain_graph=True)
        ):
            names = ", ".join(f"`{term.loss.name}`" for term in self.terms)
            raise ContractError(
                f"no parameter of `{self.player}` gets a gradient from {names}",
                hint="a loss must not detach what it is given, and needs a quantity that the player can move",
            )
