"""A metric: a measure of a trained model that is comparable across losses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Generic, Never, ParamSpec, overload

from genloss.contracts.definition import (
    NO_EXEMPTION,
    Definition,
    check_name,
    read_signature,
    without_none,
)
from genloss.errors import DefinitionError

P = ParamSpec("P")
Result = float | Mapping[str, float]
Example = Callable[[], Mapping[str, Any]]

MODEL_METHODS = {
    "log_likelihood": "the model's method, from `[batch, *event]` to nats `[batch]`, where it has one",
    "reconstruct": "the model's method, from `[batch, *event]` to the same shape, where it has one",
}
"""Methods that a model may have besides those of the contract, offered to metrics by their names."""

OFFERED = {
    "samples": "generated examples, `[samples, *event]`",
    "held_out": "held-out examples, `[held_out, *event]`; or `Examples`, read a batch at a time",
    "train": "training examples, `[train, *event]`; or `Examples`",
    "held_out_labels": "their labels, where the data has some",
    "train_labels": "their labels, where the data has some",
    "model": "the model, in evaluation mode",
    **MODEL_METHODS,
    "truth": "all that is known exactly about the data, by name; each entry is also offered by its name",
    "cache": "a folder (`pathlib.Path`) for what is expensive and depends on the data alone",
}
"""What a metric may ask for by name, besides the entries of the data's truth."""

CHECKED = ("spec", "train_labels", "held_out_labels", "sample_count", "held_out_count")
"""What a metric's `check` may ask for by name, besides its options."""


class MetricDefinition(Definition, Generic[P]):
    """A metric as the catalogue holds it.

    Attributes:
        higher_is_better: by the name of each number that it gives; one that gives a single float gives it
            under its own name.
        units: of its numbers, by name.
        version: changes whenever its numbers do, so that old and new ones are never compared.
        check: raises where the metric cannot be computed of the data, if that can be told beforehand.
        streamed: the names that it asks for as `Examples`; it may be called with tensors in their place.
        example: gives the conformance suite what it asks for, where the suite has no such thing.
        unavailable: why it cannot be used here, if it cannot.
    """

    kind = "metric"

    def __init__(
        self,
        function: Callable[P, Result],
        *,
        unit: str | Mapping[str, str],
        higher_is_better: bool | Mapping[str, bool],
        version: str,
        name: str | None = None,
        check: Callable[..., str | None] | None = None,
        example: Example | None = None,
        exempt: Mapping[str, str] = NO_EXEMPTION,
        unavailable: str | None = None,
    ) -> None:
        from genloss.contracts.examples import (
            Examples,
        )  # imports torch, which a misspelt key need not wait for

        self._function = function
        self.name = name or function.__name__
        check_name("metric", self.name)
        signature = read_signature(function, what=f"metric `{self.name}`")
        self.quantities = signature.quantities
        self.options = signature.options
        self._signature = inspect.signature(function)
        self.streamed = frozenset(
            name
            for name, quantity in self.quantities.items()
            if without_none(quantity.annotation) is Examples
        )
        self.version = version
        self.higher_is_better = (
            dict(higher_is_better) if isinstance(higher_is_better, Mapping) else {self.name: higher_is_better}
        )
        self.units = dict(unit) if isinstance(unit, Mapping) else dict.fromkeys(self.higher_is_better, unit)
        if self.units.keys() != self.higher_is_better.keys():
            raise DefinitionError(
                f"metric `{self.name}` names other numbers in `unit` than in `higher_is_better`"
            )
        self.doc = inspect.getdoc(function) or ""
        self.check = check
        if check is not None:
            for name in inspect.signature(check).parameters:
                if name not in CHECKED and name not in self.options:
                    raise DefinitionError(
                        f"the `check` of metric `{self.name}` asks for `{name}`",
                        hint=f"it is given {', '.join(CHECKED)}, and the metric's options",
                    )
        self.example = example
        self.exempt = exempt
        self.unavailable = unavailable

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Result:
        if self.streamed:
            from torch import Tensor

            from genloss.contracts.examples import Examples

            given = self._signature.bind(*args, **kwargs)
            for name in self.streamed & given.arguments.keys():
                if isinstance(given.arguments[name], Tensor):
                    given.arguments[name] = Examples.of(given.arguments[name])
            return self._function(*given.args, **given.kwargs)
        return self._function(*args, **kwargs)

    def numbers(self, result: Result) -> dict[str, float]:
        """The result by name.

        Raises:
            DefinitionError: other names than the decorator declares.
        """
        numbers = dict(result) if isinstance(result, Mapping) else {self.name: result}
        if numbers.keys() != self.higher_is_better.keys():
            declared = ", ".join(self.higher_is_better)
            raise DefinitionError(f"metric `{self.name}` gave {', '.join(numbers)} and declares {declared}")
        return {name: float(number) for name, number in numbers.items()}


class _Decorator:
    def __init__(self, **facts: Any) -> None:
        self._facts = facts

    def __call__(self, function: Callable[P, Result]) -> MetricDefinition[P]:
        return MetricDefinition(function, **self._facts)


@overload
def metric(
    *,
    unit: str | Mapping[str, str],
    higher_is_better: bool | Mapping[str, bool],
    version: str = "1",
    check: Callable[..., str | None] | None = None,
    example: Example | None = None,
    exempt: Mapping[str, str] = NO_EXEMPTION,
    unavailable: str | None = None,
) -> _Decorator: ...
@overload
def metric(function: Callable[P, Result], /) -> Never: ...
def metric(
    function: Callable[P, Result] | None = None,
    /,
    *,
    unit: str | Mapping[str, str] | None = None,
    higher_is_better: bool | Mapping[str, bool] | None = None,
    version: str = "1",
    check: Callable[..., str | None] | None = None,
    example: Example | None = None,
    exempt: Mapping[str, str] = NO_EXEMPTION,
    unavailable: str | None = None,
) -> _Decorator:
    """Create a metric of a function, whose parameters are asked for by name (`contracts.metric.OFFERED`).

    A parameter `held_out` or `train` is given as one tensor, which takes its memory in each process; or,
    where it is annotated as `genloss.Examples`, as what reads a few examples at a time.

    Its reference is the same function with training examples in place of the samples, or with the data's
    exact `log_density` in place of `log_likelihood`: what a perfect model would get.

    Args:
        function: nothing; a metric is never written without the arguments that follow.
        unit: of its numbers, such as `nats`; `1` if they have none; a mapping where they differ.
        higher_is_better: the direction; a mapping where the function returns several numbers by name.
        version: to be changed whenever the numbers change.
        check: raises RequestError where the metric cannot be computed of the data, before anything is
            trained, or gives a sentence that `genloss plan` remarks. It is called with those of its
            parameters that are options of the metric or `train_labels`, `held_out_labels` (None where the
            data has none), `sample_count`, `held_out_count` and `spec`, the data's. `genloss plan` tries each
            metric on a few examples; one with a `check` without the quantities that are optional, since those
            may be what takes long.
        example: gives the conformance suite valid arguments by name; needed where the function asks for
            what only a certain dataset knows.
        exempt: the checks of the conformance suite that cannot hold for it, each with its reason.
        unavailable: why it cannot be used here, such as a library that is not installed, if it cannot.

    Raises:
        DefinitionError: the signature breaks the contract, or unit or direction are not said.
    """
    if function is not None or unit is None or higher_is_better is None:
        name = f"metric `{function.__name__}`" if function is not None else "a metric"
        raise DefinitionError(
            f"{name} must say its unit and its direction",
            hint='write `@genloss.metric(unit="1", higher_is_better=False)`',
        )
    return _Decorator(
        unit=unit,
        higher_is_better=higher_is_better,
        version=version,
        check=check,
        example=example,
        exempt=exempt,
        unavailable=unavailable,
    )
