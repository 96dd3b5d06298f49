"""What all definitions share: a name, a docstring, and options read from a signature."""

from __future__ import annotations

import functools
import inspect
import json
import os
import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from genloss.errors import DefinitionError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MISSING = inspect.Parameter.empty
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED_NAMES = ("total", "gradient_norm", "skipped_updates", "with")
"""No loss and no term has one of these, which columns and keys of the YAML have."""

BLAMED = "_genloss_definition"
"""The attribute of an exception that names the definition whose value it came from."""

NO_EXEMPTION: Mapping[str, str] = types.MappingProxyType({})


def without_none(annotation: Any) -> Any:
    """`A | None` → `A`; any other annotation as it is."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    parts = [part for part in get_args(annotation) if part is not types.NoneType]
    return Union[tuple(parts)]  # noqa: UP007 - the parts are known only here


def describe(annotation: Any) -> str:
    """An annotation as a person would write it: `float`, `float > 0`, `"mlp" | "conv"`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        base, *constraints = get_args(annotation)
        words = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
        bounds = [
            f"{words[field]} {getattr(constraint, field):g}"
            for constraint in constraints
            for field in words
            if getattr(constraint, field, None) is not None
        ]
        return " ".join([describe(base), " and ".join(bounds)]).strip()
    if origin is Literal:
        return " | ".join(json.dumps(value) for value in get_args(annotation))
    if origin in (Union, types.UnionType):
        return " | ".join(describe(part) for part in get_args(annotation))
    if annotation is types.NoneType:
        return "null"
    if origin is tuple:
        return f"list of {describe(get_args(annotation)[0])}"
    if isinstance(annotation, type) and hasattr(annotation, "dim_str"):
        return f"[{annotation.dim_str}]"
    if origin is not None:
        return str(annotation).replace("typing.", "")
    return getattr(annotation, "__name__", str(annotation))


@dataclass(frozen=True)
class Quantity:
    """A named value that a loss or a metric asks for, or that a model offers.

    `annotation` is the jaxtyping annotation as it was written; `optional` says that it is passed only when
    it is offered.
    """

    name: str
    annotation: Any
    optional: bool = False
    doc: str = ""

    @property
    def shape(self) -> str:
        """The shape as written in the annotation, such as `batch *event`; for other values, the type."""
        annotation = without_none(self.annotation)
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        if get_origin(annotation) is list:
            return f"list of {describe(get_args(annotation)[0])}"
        return str(getattr(annotation, "dim_str", describe(annotation)))


@dataclass(frozen=True)
class Option:
    """A keyword-only parameter: something that the YAML may set."""

    name: str
    annotation: Any
    default: Any = MISSING

    @property
    def required(self) -> bool:
        return self.default is MISSING

    @property
    def type(self) -> str:
        """The type as a person would write it."""
        return describe(self.annotation)

    @property
    def takes_schedule(self) -> bool:
        """Whether the value may change from step to step: every `float` may."""
        base = get_args(self.annotation)[0] if get_origin(self.annotation) is Annotated else self.annotation
        return base is float

    def json_schema(self, definitions: str = "#/$defs/{model}") -> dict[str, Any]:
        """The JSON schema of its values.

        Args:
            definitions: where types of their own are referred to; they come under the key `$defs`.

        Raises:
            DefinitionError: no YAML can give a value of that type.
        """
        from pydantic import PydanticUserError

        try:
            return self._adapter.json_schema(ref_template=definitions)
        except PydanticUserError as error:
            raise self._unreadable() from error

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        from pydantic import PydanticUserError, TypeAdapter

        try:
            return TypeAdapter(self.annotation)
        except PydanticUserError as error:
            raise self._unreadable() from error

    def _unreadable(self, what: str = "") -> DefinitionError:
        of = f" of {what}" if what else ""
        return DefinitionError(
            f"option `{self.name}`{of} has the type `{self.type}`, which no YAML can give",
            hint="an option is a number, a text, true or false, a `Literal`, a path, or a list of such",
        )

    def validate(self, value: Any) -> Any:
        """The value as the function wants it (a list becomes a tuple, say).

        Raises:
            ValueError: what was expected, and what came.
            DefinitionError: no YAML can give a value of that type.
        """
        from pydantic import ValidationError

        if (number := _too_large(value)) is not None:
            raise ValueError(f"expected an integer of 64 bits at most, got {number}")
        try:
            # JSON's strict mode is what YAML's authors expect: 1 is a float, "1" and true are not.
            given = json.dumps(value, default=os.fspath)
            return self._adapter.validate_json(given, strict=True)
        except (ValidationError, TypeError) as error:
            raise ValueError(f"expected {self.type}, got {json.dumps(value, default=str)}") from error


def _too_large(value: Any) -> int | None:
    """An integer of more than 64 bits in a value, which no tensor could have as its size, if there is one."""
    if isinstance(value, list | tuple | dict):
        items = value.values() if isinstance(value, dict) else value
        return next((found for item in items if (found := _too_large(item)) is not None), None)
    return value if isinstance(value, int) and not -(2**63) <= value < 2**63 else None


class Definition:
    """The base of losses, models, datasets and metrics as the catalogue holds them.

    Attributes:
        exempt: the checks of the conformance suite that cannot hold for it, each with its reason.
    """

    kind: str
    name: str
    doc: str
    options: Mapping[str, Option]
    unavailable: str | None = None
    exempt: Mapping[str, str] = NO_EXEMPTION

    @cached_property
    def summary(self) -> str:
        """The docstring's first line."""
        return self.doc.strip().split("\n", 1)[0]

    @property
    def implementation(self) -> Any:
        """The function or class that a plugin's author wrote."""
        parts = vars(self)
        return parts.get("model") or parts.get("_implementation") or parts.get("_function")

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"

    def validated(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options as the function wants them.

        Raises:
            ValueError: there is no such option, or it does not allow the value.
        """
        for name in options:
            if name not in self.options:
                raise ValueError(f"{self.kind} `{self.name}` has no option `{name}`")
        return {name: self.options[name].validate(value) for name, value in options.items()}

    @property
    def _called(self) -> Callable[..., Any]:
        """What is called with everything but the options."""
        return cast(Callable[..., Any], getattr(self, "build", self))

    def configured(self, options: Mapping[str, Any]) -> functools.partial[Any]:
        """The function, or what builds the model or the loss, with the options set.

        Args:
            options: as the YAML has them.

        Raises:
            ValueError: there is no such option, or it does not allow the value.
        """
        return functools.partial(self._called, **self.validated(options))

    def blame(self, error: BaseException) -> None:
        """Mark an exception as caused by what this definition returned, not by its code."""
        setattr(error, BLAMED, self)


def check_name(kind: str, name: Any, reserved: Iterable[str] = ()) -> None:
    """Raise unless a definition can be called so.

    Raises:
        DefinitionError: the name is not an identifier, or stands for something else.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        hint = "a name has letters, digits and `_`, and begins with no digit"
    elif name in reserved:
        hint = "it stands for something else in an experiment or its record"
    else:
        return
    raise DefinitionError(f"{kind} `{name}` cannot bear that name", hint=hint)


@dataclass(frozen=True)
class Signature:
    """A signature, divided into quantities and options."""

    quantities: Mapping[str, Quantity]
    options: Mapping[str, Option]
    returns: Any


def snake_case(name: str) -> str:
    """`NormalizingFlow` → `normalizing_flow`, `VAE` → `vae`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def read_options(
    function: Callable[..., Any], *, what: str, reserved: Iterable[str] = (), positional: int | None = None
) -> dict[str, Option]:
    """The keyword-only parameters of a function.

    Args:
        function: what has them.
        what: its kind and name, for messages.
        reserved: names that they cannot have.
        positional: how many other parameters it may have; any number where they are quantities.

    Raises:
        DefinitionError: a parameter without annotation or of a type that no YAML can give, a reserved name,
            or `**kwargs`.
    """
    hints = read_hints(function, what)
    options = {}
    others = 0
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD or parameter.kind is parameter.VAR_POSITIONAL:
            raise DefinitionError(
                f"{what} takes `{parameter}`, which would swallow misspelt options",
                hint="name every parameter",
            )
        if parameter.kind is not parameter.KEYWORD_ONLY:
            others += 1
            if positional is not None and others > positional:
                raise DefinitionError(
                    f"`{parameter.name}` of {what} is not a keyword-only parameter, so no YAML can set it",
                    hint="options stand after `*`",
                )
            continue
        if parameter.name in reserved:
            raise DefinitionError(
                f"{what} has an option named `{parameter.name}`, a key with a meaning of its own in the YAML",
                hint="choose another name",
            )
        if parameter.name not in hints:
            raise DefinitionError(f"option `{parameter.name}` of {what} has no type annotation")
        option = options[parameter.name] = Option(parameter.name, hints[parameter.name], parameter.default)
        try:
            option.json_schema()
        except DefinitionError as error:
            raise option._unreadable(what) from error
    return options


def read_signature(
    function: Callable[..., Any], *, what: str, reserved: Iterable[str] = (), skip: Iterable[str] = ()
) -> Signature:
    """Quantities (positional parameters), options (keyword-only ones) and the return annotation.

    Raises:
        DefinitionError: the signature does not say what its contract needs.
    """
    options = read_options(function, what=what, reserved=reserved)
    hints = read_hints(function, what)
    quantities = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in options or parameter.name in skip:
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise DefinitionError(
                f"quantity `{parameter.name}` of {what} is positional-only",
                hint="quantities are passed by keyword: delete the `/`",
            )
        if parameter.name not in hints:
            raise DefinitionError(f"quantity `{parameter.name}` of {what} has no type annotation")
        if parameter.default not in (MISSING, None):
            raise DefinitionError(
                f"quantity `{parameter.name}` of {what} has the default {parameter.default!r}",
                hint="a quantity has no default, or None if it is optional; an option stands after `*`",
            )
        quantities[parameter.name] = Quantity(
            parameter.name, hints[parameter.name], optional=parameter.default is None
        )
    return Signature(quantities, options, hints.get("return", MISSING))


def read_hints(function: Callable[..., Any], what: str) -> dict[str, Any]:
    """The annotations of a function, by parameter, and `return`.

    Raises:
        DefinitionError: one names what is not there when the program runs.
    """
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise DefinitionError(
            f"an annotation of {what} cannot be read: {error}",
            hint="import the name outside of `if TYPE_CHECKING`",
        ) from error
