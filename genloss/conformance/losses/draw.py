"""Drawing valid arguments for a loss from what its annotations say."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import torch
from torch import Tensor

from genloss.conformance.suite import Nonconformity
from genloss.contracts.definition import Quantity, describe, without_none
from genloss.contracts.loss import Loss

BATCH = 4
SIZES = {"channels": 2, "height": 8, "width": 9, "samples": 3}
SINGLE = (3, 5, 2, 7)
VARIADIC = ((2, 3), (3,), (5,))
NEVER_EMPTY = ("*event", "*latent")
LAYERS = ((3,), (2, 3, 4))
"""Dimensions in place of `...`, in the items of a list one after the other."""

EXPONENT = re.compile(r"log_?(var|variance|scale|std|sigma|rate|snr)$")
"""Names of quantities that a formula exponentiates, so that 1e4 would overflow with good reason."""

Sizes = Mapping[str, tuple[int, ...]]
"""The size of each dimension by name; of one with a star, all its sizes."""


@dataclass(frozen=True)
class Domain:
    """What a quantity's annotation says about its values.

    Attributes:
        lower, upper: bounds, where there are some.
        lower_open, upper_open: whether the bound itself is not a value.
    """

    lower: float | None = None
    upper: float | None = None
    lower_open: bool = False
    upper_open: bool = False

    @property
    def free(self) -> bool:
        return self.lower is None and self.upper is None

    @property
    def scales(self) -> bool:
        """Whether a value of it times a positive number is another."""
        return self.lower in (None, 0.0) and self.upper in (None, 0.0)

    def of(self, constraint: Any) -> Domain:
        """This domain, narrowed by one of `annotated_types`."""
        values = vars(self)
        for field, bound, is_open in (("ge", "lower", False), ("gt", "lower", True), ("le", "upper", False)):
            if getattr(constraint, field, None) is not None:
                values = values | {bound: float(getattr(constraint, field)), f"{bound}_open": is_open}
        if getattr(constraint, "lt", None) is not None:
            values = values | {"upper": float(constraint.lt), "upper_open": True}
        return Domain(**values)

    def inside(self, normal: Tensor) -> Tensor:
        """Numbers of a normal distribution, moved into the domain."""
        if self.lower is not None and self.upper is not None:
            return self.lower + (self.upper - self.lower) * normal.sigmoid()
        if self.lower is not None:
            return self.lower + normal.exp()
        if self.upper is not None:
            return self.upper - normal.exp()
        return normal


def split(annotation: Any) -> tuple[Any, Domain]:
    """An annotation without `| None` and `Annotated`, and its domain."""
    domain = Domain()
    annotation = without_none(annotation)
    while get_origin(annotation) is Annotated:
        annotation, *constraints = get_args(annotation)
        for constraint in constraints:
            domain = domain.of(constraint)
        annotation = without_none(annotation)
    return annotation, domain


def array(quantity: Quantity) -> Any:
    """The jaxtyping annotation of a tensor, or of a list's items; None for another quantity."""
    annotation, _ = split(quantity.annotation)
    if get_origin(annotation) is list:
        annotation, _ = split(get_args(annotation)[0])
    return annotation if hasattr(annotation, "dim_str") else None


def dimensions(quantity: Quantity) -> list[str]:
    """The names of its dimensions, in order; none where it is not a tensor."""
    annotation = array(quantity)
    return [] if annotation is None else [_name(dimension) for dimension in annotation.dim_str.split()]


def is_batched(quantity: Quantity) -> bool:
    """Return whether its first dimension is the batch."""
    return dimensions(quantity)[:1] == ["batch"]


def is_floating(quantity: Quantity) -> bool:
    annotation = array(quantity)
    return annotation is not None and _kind(annotation) == "float"


def alike(a: Quantity, b: Quantity) -> bool:
    """Return whether two tensors have the same dimensions and domain, so that they may be equal."""
    return dimensions(a) == dimensions(b) and split(a.annotation)[1] == split(b.annotation)[1]


def sizes(
    loss: Loss[Any],
    *,
    batch: int = BATCH,
    single: int | None = None,
    variadic: tuple[int, ...] | None = None,
) -> Sizes:
    """Sizes for the dimensions of a loss, all different, so that none passes for another.

    Args:
        loss: whose annotations name them.
        batch: examples in the batch.
        single: the size of each other dimension instead.
        variadic: the sizes of each dimension with a star instead.
    """
    found: dict[str, tuple[int, ...]] = {"batch": (batch,)}
    singles, variadics = iter(SINGLE * 9), iter(VARIADIC * 9)
    for quantity in loss.quantities.values():
        for position, name in enumerate(dimensions(quantity)):
            if name in found or name == "..." or name.isdecimal():
                continue
            if name.startswith("*"):
                drawn = next(variadics)
                wanted = (1,) if variadic == () and name in NEVER_EMPTY else variadic
                found[name] = drawn if wanted is None else wanted
            elif position == 0:  # another batch, such as the reference of a two-sample statistic
                found[name] = (batch + 1,)
            else:
                drawn = (SIZES[name],) if name in SIZES else (next(singles),)
                found[name] = drawn if single is None else (single,)
    return found


def draw(
    loss: Loss[Any], sizes: Sizes, *, seed: int = 0, chosen: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Valid arguments for all quantities, in float64.

    Args:
        loss: what they are for.
        sizes: of its dimensions; those that its `example` does not ask for are the example's.
        seed: of torch's generator, whose state is kept.
        chosen: values for quantities that have but a few.

    Raises:
        Nonconformity: an annotation does not say what is valid, and no `example` does.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        given = {**example(loss, sizes), **(chosen or {})}
        return {
            name: cast(given[name], torch.float64) if name in given else _value(loss, quantity, sizes)
            for name, quantity in loss.quantities.items()
        }


def example(loss: Loss[Any], sizes: Sizes) -> dict[str, Any]:
    """What the loss's `example` draws, for the sizes of the dimensions that it asks for."""
    if loss.example is None:
        return {}
    asked = {}
    for name in inspect.signature(loss.example).parameters:
        if f"*{name}" in sizes:
            asked[name] = sizes[f"*{name}"]
        elif name in sizes:
            asked[name] = sizes[name][0]  # type: ignore[assignment]
        else:
            raise Nonconformity(
                f"the `example` of loss `{loss.name}` asks for `{name}`, which is not a dimension of it",
                hint=f"its quantities have the dimensions {', '.join(sorted(sizes))}",
            )
    drawn = dict(loss.example(**asked))
    for name in drawn:
        if name not in loss.quantities:
            raise Nonconformity(
                f"the `example` of loss `{loss.name}` draws `{name}`, which is not a quantity of it"
            )
    return drawn


def each(arguments: Mapping[str, Any], change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """The arguments with every tensor changed, those in lists too."""
    return {name: _each(value, change) for name, value in arguments.items()}


def tensors(arguments: Mapping[str, Any]) -> Iterator[Tensor]:
    """The tensors among the arguments, in order."""
    for value in arguments.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Tensor):
                yield item


def cast(value: Any, dtype: torch.dtype) -> Any:
    """A value whose floating-point tensors have that dtype; a mapping, value by value."""
    if isinstance(value, Mapping):
        return {name: cast(item, dtype) for name, item in value.items()}
    return _each(value, lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)


def rows(loss: Loss[Any], arguments: Mapping[str, Any], change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """The arguments with every tensor changed whose first dimension is the batch."""
    return {
        name: _each(value, change) if is_batched(loss.quantities[name]) else value
        for name, value in arguments.items()
    }


def batch_size(loss: Loss[Any], arguments: Mapping[str, Any]) -> int:
    """How many examples the arguments have; 1 where no quantity has a batch."""
    batched = {name: value for name, value in arguments.items() if is_batched(loss.quantities[name])}
    return next((len(tensor) for tensor in tensors(batched)), 1)


def interior(domain: Domain, default: float = 0.5) -> float:
    """A number well inside a domain."""
    if domain.lower is not None and domain.upper is not None:
        return (domain.lower + domain.upper) / 2
    if domain.lower is not None:
        return domain.lower + default
    return default if domain.upper is None else domain.upper - default


def whole(domain: Domain, wanted: int) -> int:
    """The whole number of a domain that is nearest to the one wanted."""
    if domain.lower is not None:
        wanted = max(wanted, int(domain.lower) + domain.lower_open)
    if domain.upper is not None:
        wanted = min(wanted, int(domain.upper) - domain.upper_open)
    return wanted


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, list):
        return [_each(item, change) for item in value]
    return change(value) if isinstance(value, Tensor) else value


def _name(dimension: str) -> str:
    """`#batch` and `n=3` without what jaxtyping adds to a name; a name with a star keeps it."""
    return dimension.rpartition("=")[2].replace("#", "").replace("?", "")


def _kind(annotation: Any) -> str:
    """`float`, `int` or `bool`: what is drawn; `bool` where any dtype will do, as a mask's."""
    dtypes = annotation.dtypes
    if not isinstance(dtypes, tuple):
        return "bool"
    for kind in ("float", "int", "bool"):
        if any(str(dtype).startswith(kind) for dtype in dtypes):
            return kind
    return "other"


def _value(loss: Loss[Any], quantity: Quantity, sizes: Sizes) -> Any:
    annotation, domain = split(quantity.annotation)
    if get_origin(annotation) is list:
        item, inner = split(get_args(annotation)[0])
        if hasattr(item, "dim_str"):
            return [
                _tensor(loss, item, inner, _shape(loss, quantity, sizes, layer), quantity, sizes)
                for layer in LAYERS
            ]
    elif hasattr(annotation, "dim_str"):
        return _tensor(loss, annotation, domain, _shape(loss, quantity, sizes), quantity, sizes)
    elif get_origin(annotation) is Literal:
        return get_args(annotation)[0]
    elif annotation is bool:
        return True
    elif annotation is int:
        return whole(domain, 1000)
    elif annotation is float:
        return interior(domain)
    raise _undrawable(loss, quantity)


def _shape(
    loss: Loss[Any], quantity: Quantity, sizes: Sizes, layer: tuple[int, ...] = LAYERS[0]
) -> list[int]:
    shape: list[int] = []
    for name in dimensions(quantity):
        if name == "...":
            shape += layer
        elif name.isdecimal():
            shape.append(int(name))
        elif name.removeprefix("*").isidentifier():
            shape += sizes[name]
        else:
            raise _undrawable(loss, quantity)
    return shape


def _tensor(
    loss: Loss[Any], annotation: Any, domain: Domain, shape: list[int], quantity: Quantity, sizes: Sizes
) -> Tensor:
    kind = _kind(annotation)
    if kind == "float":
        return domain.inside(torch.randn(shape, dtype=torch.float64))
    if kind == "bool":
        return torch.rand(shape) < 0.7
    if kind != "int":
        raise _undrawable(loss, quantity)
    if not domain.free:
        return torch.randint(whole(domain, -5), whole(domain, 5) + 1, shape)
    # Without bounds, integers are taken to be places in a dimension that they themselves do not have: the
    # targets of `[batch vocabulary]` logits.
    own = dimensions(quantity)
    others = [
        sizes[name][0]
        for other in loss.quantities.values()
        for name in dimensions(other)
        if name in sizes and name not in own and name != "batch" and not name.startswith("*")
    ]
    return torch.randint(min(others, default=2), shape)


def _undrawable(loss: Loss[Any], quantity: Quantity) -> Nonconformity:
    return Nonconformity(
        f"the conformance suite cannot draw `{quantity.name}` of loss `{loss.name}`, annotated as "
        f"{describe(quantity.annotation)}",
        hint=f"annotate it with its values, as in `Literal[…]`, or give the decorator an `example=` that "
        f"returns {{{quantity.name!r}: …}}",
    )
