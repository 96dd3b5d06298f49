"""A model, its players, and their turns."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

from jaxtyping import Num
from torch import Tensor, nn

from genloss.contracts.dataset import DataSpec
from genloss.contracts.definition import (
    NO_EXEMPTION,
    Definition,
    Quantity,
    check_name,
    read_hints,
    read_options,
    snake_case,
)
from genloss.errors import DefinitionError

M = TypeVar("M", bound="Model")
T = TypeVar("T")


class _CachedQuantity(cached_property[T]):
    """A cached property without the lock that Python 3.11 has for each: a turn belongs to one thread."""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        super().__set_name__(owner, name)
        self._name = name

    @overload
    def __get__(self, turn: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, turn: object, owner: type[Any] | None = None) -> T: ...
    def __get__(self, turn: object, owner: type[Any] | None = None) -> Any:
        if turn is None:
            return self
        known: dict[str, T] = turn.__dict__
        if self._name not in known:
            known[self._name] = self.func(turn)
        return known[self._name]


class Turn(Generic[M]):
    """What one player sees of one batch; its public cached properties are the quantities.

    A quantity is computed when a loss first asks for it, and kept for the turn.

    Attributes:
        model: the model.
        batch: the batch's fields by name, `x` among them, batch first.
        needs: the names that the objective will ask for, so that an input can be made to track gradients
            before its output is computed.
    """

    def __init__(self, model: M, batch: Mapping[str, Tensor], needs: frozenset[str] = frozenset()) -> None:
        self.model = model
        self.batch = batch
        self.needs = needs

    @_CachedQuantity
    def x(self) -> Num[Tensor, "batch *event"]:
        """The data."""
        return self.batch["x"]

    @_CachedQuantity
    def dataset_size(self) -> int:
        """Number of examples in the training set."""
        return self.model.data.size

    @_CachedQuantity
    def x_range(self) -> float:
        """Greatest less least possible value of an element of x; infinite where it is not known."""
        bounds = self.model.data.value_range
        return math.inf if bounds is None else bounds[1] - bounds[0]

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for name, attribute in list(vars(cls).items()):
            if type(attribute) is cached_property:
                quantity = _CachedQuantity(attribute.func)
                quantity.__set_name__(cls, name)
                setattr(cls, name, quantity)

    @classmethod
    def quantities(cls) -> dict[str, Quantity]:
        """What this turn offers, by name."""
        offered = {}
        for name in dir(cls):
            attribute = inspect.getattr_static(cls, name)
            if name.startswith("_") or not isinstance(attribute, cached_property):
                continue
            hints = read_hints(attribute.func, f"quantity `{name}` of `{cls.__name__}`")
            if "return" not in hints:
                raise DefinitionError(f"quantity `{name}` of `{cls.__name__}` has no return annotation")
            offered[name] = Quantity(name, hints["return"], doc=inspect.getdoc(attribute.func) or "")
        return offered


class Model(nn.Module):
    """Networks, the players that train them, and how to sample.

    The constructor's keyword-only parameters are the YAML's options. A model whose data has a likelihood
    under it also has a method `log_likelihood(x) -> Float[Tensor, "batch"]`, in nats, and one that encodes
    and decodes has `reconstruct(x)`; metrics ask for them by these names. One that carries the data's field
    `source` to `x` has `sample_from(source)`, which gives an example for each source; evaluations then call
    that with held-out sources, and not `sample`.

    What is in evaluation mode when it is built (`.eval()`), such as a frozen network, stays in it; each
    parameter belongs to a player, or is frozen (`.requires_grad_(False)`).

    Args:
        data: what is known about the data before any of it is seen.

    Attributes:
        name: the name in the YAML; the class's own in snake case by default.
        example_options: options with which the conformance suite builds it, as YAML would give them. The
            first are varied as well: each `Literal` and `bool` takes each of its values.
        example_data: the data for which the conformance suite builds it, of a model that is for certain data
            alone, such as images of one size; small data of each kind by default.
        exempt: the checks of the conformance suite that cannot hold for it, each with its reason.
        data: the same as the argument.
    """

    name: ClassVar[str]
    example_options: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    example_data: ClassVar[Sequence[DataSpec]] = ()
    exempt: ClassVar[Mapping[str, str]] = NO_EXEMPTION
    data: DataSpec

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.data = data

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "name" not in cls.__dict__:
            cls.name = snake_case(cls.__name__)

    def turns(self) -> Mapping[str, type[Turn[Any]]]:
        """Each player's turn; may depend on the options."""
        raise DefinitionError(f"model `{self.name}` does not define `turns`")

    def players(self) -> Mapping[str, nn.Module]:
        """Each player's module, whose parameters it trains; disjoint, in the order of their updates."""
        raise DefinitionError(f"model `{self.name}` does not define `players`")

    def sample(self, count: int) -> Tensor:  # noqa: ARG002 - for whoever defines it
        """`count` new examples, `[count, *event]`, on the model's device."""
        raise DefinitionError(f"model `{self.name}` does not define `sample`")


class ModelDefinition(Definition):
    """A model class as the catalogue holds it."""

    kind = "model"

    def __init__(self, model: type[Model]) -> None:
        if not (isinstance(model, type) and issubclass(model, Model)):
            raise DefinitionError(f"{model!r} is not a subclass of `genloss.Model`")
        self.model = model
        self.name = model.name
        check_name("model", self.name)
        self.doc = inspect.cleandoc(model.__doc__ or "")
        self.exempt = model.exempt
        self.options = read_options(
            model.__init__, what=f"model `{model.name}`", reserved=("name",), positional=2
        )

    def build(self, data: DataSpec, **options: Any) -> Model:
        """A new instance, its weights drawn from torch's generator."""
        return self.model(data, **options)
