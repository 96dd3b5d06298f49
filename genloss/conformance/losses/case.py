"""The cases in which a loss is tried: with values of its options, with and without optional quantities."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NoReturn, get_args, get_origin

import torch
from torch import Tensor, nn

from genloss.conformance.losses import draw
from genloss.conformance.losses.draw import Sizes, each, split, tensors
from genloss.conformance.suite import Nonconformity
from genloss.contracts.definition import Option
from genloss.contracts.loss import Loss
from genloss.errors import FOREIGN, GenlossError

FEW = 8
"""Values of an option that are tried at most."""


@dataclass(frozen=True, eq=False)
class Case:
    """A loss with some of its options set, for quantities that it is given.

    Attributes:
        loss: the loss.
        options: those that are not at their default.
        chosen: values of the quantities that have but a few, such as `parameterization`.
        optional: whether the optional quantities are given.
        extreme: an option lies at the edge of its domain, where a loss need but be finite.
    """

    loss: Loss[Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    chosen: Mapping[str, Any] = field(default_factory=dict)
    optional: bool = True
    extreme: bool = False

    def __str__(self) -> str:
        said = [f"`{name}: {_plain(value)}`" for name, value in {**self.options, **self.chosen}.items()]
        if not self.optional:
            said += [
                f"no `{quantity.name}`" for quantity in self.loss.quantities.values() if quantity.optional
            ]
        return f"loss `{self.loss.name}`" + (f" with {', '.join(said)}" if said else "")

    def draw(
        self, sizes: Sizes | None = None, *, seed: int = 0, dtype: torch.dtype = torch.float64
    ) -> dict[str, Any]:
        """Arguments for this case, of the usual sizes if none are given."""
        sizes = draw.sizes(self.loss) if sizes is None else sizes
        drawn = draw.draw(self.loss, sizes, seed=seed, chosen=self.chosen)
        quantities = self.loss.quantities
        return {
            name: draw.cast(value, dtype)
            for name, value in drawn.items()
            if self.optional or not quantities[name].optional
        }

    def build(self, like: Mapping[str, Any]) -> Callable[..., Tensor]:
        """The function, or the module in the arguments' dtype and on their device, with the first weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            function = self.loss.build(**self.options)
        if isinstance(function, nn.Module):
            for tensor in tensors(like):
                function.to(tensor.device)
                if tensor.is_floating_point():
                    function.to(tensor.dtype)
        return function

    def value(
        self, arguments: Mapping[str, Any], *, seed: int = 0, function: Callable[..., Tensor] | None = None
    ) -> Tensor:
        """The loss of copies of the arguments, with torch's generator at a seed."""
        function = self.build(arguments) if function is None else function
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return function(**each(arguments, torch.clone))

    def gradients(
        self,
        arguments: Mapping[str, Any],
        *,
        seed: int = 0,
        function: Callable[..., Tensor] | None = None,
        scale: Callable[[Tensor], Tensor] = torch.sum,
    ) -> tuple[Tensor, dict[str, list[Tensor | None]]]:
        """The value, and the gradients of its sum by each floating-point quantity; None where none arrives.

        Args:
            arguments: the quantities.
            seed: of torch's generator.
            function: what is called instead of the loss as it is built.
            scale: makes the scalar that is differentiated of the value.
        """
        given = leaves(arguments)
        value = self.value(given, seed=seed, function=function)
        wanted = {
            name: [tensor for tensor in tensors({name: item}) if tensor.requires_grad]
            for name, item in given.items()
        }
        flat = [tensor for items in wanted.values() for tensor in items]
        found: Iterator[Tensor | None] = iter([None] * len(flat))
        if value.requires_grad and flat:
            found = iter(torch.autograd.grad(scale(value), flat, allow_unused=True))
        return value.detach(), {name: [next(found) for _ in items] for name, items in wanted.items() if items}

    def fail(self, message: str, *, hint: str | None = None) -> NoReturn:
        """Raise Nonconformity, which names the case."""
        raise Nonconformity(f"{self}: {message}", hint=hint)


def leaves(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with fresh floating-point tensors that want a gradient."""
    return each(
        arguments,
        lambda tensor: tensor.detach().clone().requires_grad_() if tensor.is_floating_point() else tensor,
    )


class Subject:
    """A loss and the cases in which it is tried.

    Args:
        loss: the loss.
    """

    def __init__(self, loss: Loss[Any]) -> None:
        self.loss = loss

    @cached_property
    def default(self) -> Case:
        """All optional quantities, all options at their defaults; a valid value where there is no default."""
        needed = {}
        for option in self.loss.options.values():
            if option.required:
                values = [value for value, extreme in values_of(option) if not extreme]
                if not values:
                    raise Nonconformity(
                        f"the conformance suite knows no value for the option `{option.name}` of loss "
                        f"`{self.loss.name}`, of the type {option.type}",
                        hint="give it a default",
                    )
                needed[option.name] = values[0]
        return Case(self.loss, needed)

    @cached_property
    def every(self) -> list[Case]:
        """The default, then one thing changed at a time; what the loss refuses is left out."""
        return [self.default, *(case for case in self._varied() if _accepts(case))]

    @property
    def moderate(self) -> list[Case]:
        """The same without options at the edges of their domains."""
        return [case for case in self.every if not case.extreme]

    @property
    def has_optional(self) -> bool:
        return any(quantity.optional for quantity in self.loss.quantities.values())

    @cached_property
    def is_random(self) -> bool:
        """Whether two seeds give two values."""
        return any(
            not torch.equal(case.value(given, seed=0), case.value(given, seed=1))
            for case in self.moderate
            for given in [case.draw()]
        )

    def _varied(self) -> Iterator[Case]:
        base = self.default
        if self.has_optional:
            yield Case(self.loss, base.options, optional=False)
        for quantity in self.loss.quantities.values():
            annotation, _ = split(quantity.annotation)
            if get_origin(annotation) is Literal:
                for value in get_args(annotation):
                    yield Case(self.loss, base.options, {quantity.name: value})
        for option in self.loss.options.values():
            for value, extreme in values_of(option)[:FEW]:
                if value != {option.name: option.default, **base.options}[option.name]:
                    yield Case(self.loss, {**base.options, option.name: value}, extreme=extreme)


def _accepts(case: Case) -> bool:
    try:
        case.value(case.draw())
    except GenlossError:
        return False
    except FOREIGN:  # which a check will report
        return True
    return True


def values_of(option: Option) -> list[tuple[Any, bool]]:
    """Values of an option, and whether they lie at the edge of its domain."""
    annotation, domain = split(option.annotation)
    if get_origin(annotation) is Literal:
        return [(value, False) for value in get_args(annotation)]
    if annotation is bool:
        return [(False, False), (True, False)]
    if annotation is int:
        near = option.default if isinstance(option.default, int) else 2
        found = [(draw.whole(domain, near + 1), False), (draw.whole(domain, near - 1), False)]
        return list(dict.fromkeys(found))
    if get_origin(annotation) is tuple:
        return [(value, False) for value in _others(option)]
    if annotation is not float:
        return []
    values = [(draw.interior(domain), False)]
    if domain.lower is not None:
        values.append((domain.lower + (1e-3 if domain.lower_open else 0.0), True))
    if domain.upper is not None:
        values.append((domain.upper - (1e-3 if domain.upper_open else 0.0), True))
    return values


def _others(option: Option) -> list[Any]:
    """A list of numbers with others in it, if they are valid."""
    try:
        return [option.validate([2 * number + 1 for number in option.default])]
    except (TypeError, ValueError):
        return []


def _plain(value: Any) -> str:
    return json.dumps(value, default=str)
