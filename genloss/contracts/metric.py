"""A metric: a measure of a trained model that is comparable across losses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Generic, ParamSpec

from genloss.contracts.definition import NAME, Definition, read_signature
from genloss.errors import DefinitionError

P = ParamSpec("P")
Result = float | Mapping[str, float]

MODEL_METHODS = {
    "log_likelihood": "the model's method, from `[batch, *event]` to nats `[batch]`, where it has one",
    "reconstruct": "the model's method, from `[batch, *event]` to the same shape, where it has one",
}
"""Methods that a model may have besides those of the contract, offered to metrics by their names."""

OFFERED = {
    "samples": "generated examples, `[samples, *event]`",
    "held_out": "held-out examples, `[held_out, *event]`",
    "train": "training examples, `[train, *event]`",
    "held_out_labels": "their labels, where the data has some",
    "train_labels": "their labels, where the data has some",
    "model": "the model, in evaluation mode",
    **MODEL_METHODS,
    "truth": "all that is known exactly about the data, by name; each entry is also offered by its name",
    "cache": "a folder (`pathlib.Path`) for what is expensive and depends on the data alone",
}
"""What a metric may ask for by name, besides the entries of the data's truth."""


class MetricDefinition(Definition, Generic[P]):
    """A metric as the catalogue holds it.

    Attributes:
        higher_is_better: by the name of each number that it gives; one that gives a single float gives it
            under its own name.
        units: of its numbers, by name.
        version: changes whenever its numbers do, so that old and new ones are never compared.
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
    ) -> None:
        self._function = function
        self.name = name or function.__name__
        if not NAME.fullmatch(self.name):
            raise DefinitionError(f"metric `{self.name}` cannot bear that name")
        signature = read_signature(function, what=f"metric `{self.name}`")
        self.quantities = signature.quantities
        self.options = signature.options
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

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Result:
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


def metric(
    *, unit: str | Mapping[str, str], higher_is_better: bool | Mapping[str, bool], version: str = "1"
) -> Callable[[Callable[P, Result]], MetricDefinition[P]]:
    """Makes a metric of a function, whose parameters are asked for by name (`contracts.metric.OFFERED`).

    Its floor is the same function with training examples in place of the samples, or with the data's exact
    `log_density` in place of `log_likelihood`: what a perfect model would get.

    Args:
        unit: of its numbers, such as `nats`; `1` if they have none; a mapping where they differ.
        higher_is_better: the direction; a mapping where the function returns several numbers by name.
        version: to be changed whenever the numbers change.

    Raises:
        DefinitionError: the signature breaks the contract.
    """

    def decorate(function: Callable[P, Result]) -> MetricDefinition[P]:
        return MetricDefinition(function, unit=unit, higher_is_better=higher_is_better, version=version)

    return decorate
