"""A loss: named tensors in, one number per example out. Its signature is its contract."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, ParamSpec, cast, overload

from torch import Tensor, nn

from genloss.contracts.definition import (
    MISSING,
    NO_EXEMPTION,
    RESERVED_NAMES,
    Definition,
    Quantity,
    check_name,
    read_options,
    read_signature,
    snake_case,
)
from genloss.errors import DefinitionError

P = ParamSpec("P")
Unit = Literal["nats", "data", "1"]
Example = Callable[..., Mapping[str, Any]]
"""Draws valid arguments. Its parameters are dimensions of the annotations by name, each with a default: a
number, or a tuple for one with a star; the conformance suite sets them. What it leaves out is drawn from the
annotations.
"""

RESERVED_OPTIONS = ("weight", "as", "bind", "every")


class Loss(Definition, Generic[P]):
    """A loss function with what its signature says about it. Made by `genloss.loss`.

    Calling it calls the function, unchanged and unchecked.

    Attributes:
        name: its name in the YAML.
        family: the family it belongs to, such as `reconstruction`.
        unit: `nats`, `data` (the data's own unit or a power of it) or `1`.
        source: the paper or definition that it follows.
        quantities: what it needs, by name; optional ones are passed where the model offers them.
        options: what the YAML may set, by name.
        batch_coupled: True where it returns a scalar, since it couples the examples of a batch.
        stop_gradient: the quantities that its formula holds constant.
        example: a function that draws valid arguments, where shapes and domains cannot say what is valid.
        exempt: the checks of the conformance suite that cannot hold for it, each with its reason.
        is_module: True where it is a class with parameters of its own.
        doc: the docstring.
        unavailable: why the installed torch cannot run it, if it cannot.
    """

    kind = "loss"

    def __init__(
        self,
        implementation: Callable[P, Tensor] | type[nn.Module],
        *,
        family: str,
        unit: Unit,
        source: str,
        name: str | None = None,
        stop_gradient: tuple[str, ...] = (),
        example: Example | None = None,
        exempt: Mapping[str, str] = NO_EXEMPTION,
        unavailable: str | None = None,
    ) -> None:
        self._implementation = implementation
        self.is_module = inspect.isclass(implementation)
        self.name = name or snake_case(implementation.__name__)
        what = f"loss `{self.name}`"
        check_name("loss", self.name, RESERVED_NAMES)
        if inspect.isclass(implementation):
            if not issubclass(implementation, nn.Module):
                raise DefinitionError(f"{what} is a class, but no torch.nn.Module")
            signature = read_signature(implementation.forward, what=what, skip=("self",))
            if signature.options:
                raise DefinitionError(
                    f"the `forward` of {what} has options: {', '.join(signature.options)}",
                    hint="options of a class are keyword-only parameters of its constructor",
                )
            self.options = {}
            if implementation.__init__ is not nn.Module.__init__:
                self.options = read_options(
                    implementation.__init__, what=what, reserved=RESERVED_OPTIONS, positional=1
                )
            for option in self.options:
                if option in signature.quantities:
                    raise DefinitionError(f"`{option}` is both an option and a quantity of {what}")
        else:
            signature = read_signature(implementation, what=what, reserved=RESERVED_OPTIONS)
            self.options = signature.options
        self.quantities: Mapping[str, Quantity] = signature.quantities
        self.returns = signature.returns
        if not self.quantities:
            raise DefinitionError(f"{what} asks for no quantity")
        if self.returns is MISSING or getattr(self.returns, "dim_str", None) not in ("batch", ""):
            raise DefinitionError(
                f"{what} does not say what it returns",
                hint='annotate it with `Float[Tensor, "batch"]`, one value per example, or with '
                '`Float[Tensor, ""]` if it couples the examples of a batch',
            )
        for quantity in stop_gradient:
            if quantity not in self.quantities:
                raise DefinitionError(f"{what} stops the gradient of `{quantity}`, which it does not ask for")
        self.batch_coupled = self.returns.dim_str == ""
        self.family = family
        self.unit = unit
        self.source = source
        self.stop_gradient = stop_gradient
        self.example = example
        self.exempt = exempt
        self.unavailable = unavailable
        self.doc = inspect.cleandoc(implementation.__doc__ or "")
        functools.update_wrapper(cast(Any, self), implementation, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        if not self.is_module:
            return cast(Callable[P, Tensor], self._implementation)(*args, **kwargs)
        options = {name: value for name, value in kwargs.items() if name in self.options}
        quantities = {name: value for name, value in kwargs.items() if name not in self.options}
        return self.build(**options)(*args, **quantities)

    def build(self, **options: Any) -> Callable[..., Tensor]:
        """What the trainer calls with the quantities: a partial of the function, or a new instance."""
        if self.is_module:
            return cast(Callable[..., Tensor], self._implementation(**options))  # type: ignore[call-arg]
        return functools.partial(cast(Callable[..., Tensor], self._implementation), **options)


class _Decorator:
    def __init__(self, **facts: Any) -> None:
        self._facts = facts

    @overload
    def __call__(self, implementation: type[nn.Module]) -> Loss[...]: ...
    @overload
    def __call__(self, implementation: Callable[P, Tensor]) -> Loss[P]: ...
    def __call__(self, implementation: Callable[..., Tensor] | type[nn.Module]) -> Loss[Any]:
        return Loss(implementation, **self._facts)


def loss(
    *,
    family: str,
    unit: Unit,
    source: str,
    name: str | None = None,
    stop_gradient: tuple[str, ...] = (),
    example: Example | None = None,
    exempt: Mapping[str, str] = NO_EXEMPTION,
    unavailable: str | None = None,
) -> _Decorator:
    """Create a `Loss` of a function, or of an `nn.Module` class where the loss has parameters of its own.

    Args:
        family: the family it is listed under, such as `reconstruction`.
        unit: `nats` for a log-density, `data` for the data's own unit or a power of it, else `1`.
        source: the paper or definition that it follows.
        name: its name in the YAML; the function's own by default.
        stop_gradient: quantities that the formula holds constant.
        example: draws valid arguments, where the annotations cannot say what is valid. Its parameters, each
            with a default, are dimensions by name, which the conformance suite sets; it may leave out what
            the annotations do say.
        exempt: the checks of the conformance suite that cannot hold for it, each with its reason.
        unavailable: why the installed torch cannot run it, if it cannot.

    Raises:
        DefinitionError: the signature breaks the contract.
    """
    return _Decorator(
        family=family,
        unit=unit,
        source=source,
        name=name,
        stop_gradient=stop_gradient,
        example=example,
        exempt=exempt,
        unavailable=unavailable,
    )
