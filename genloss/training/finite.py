"""What a model gives to metrics: a metric of what is not finite is NaN, whatever it would make of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from genloss.contracts.metric import MODEL_METHODS
from genloss.training.bound_metrics import BoundMetric


class Watched:
    """Samples and a model's methods, as they are offered to metrics.

    Args:
        offered: all that is offered, by name.

    Attributes:
        offered: the same, with methods that count what they give.
    """

    def __init__(self, offered: Mapping[str, Any]) -> None:
        self._wrong: dict[str, int] = {}
        self._all: dict[str, int] = {}
        methods = {name: offered[name] for name in MODEL_METHODS if name in offered}
        self.offered = {**offered, **{name: partial(self._call, name, methods[name]) for name in methods}}
        self._samples = _wrong("samples", offered["samples"])
        self._numbers: dict[tuple[str, int, int], list[str]] = {}

    def numbers(self, metric: BoundMetric) -> dict[str, float]:
        """The metric's numbers; NaN if any of what it was given of the model is not finite."""
        names = metric.definition.quantities
        self._wrong, self._all = {}, {}
        if "samples" in names and self._samples:
            self._wrong, self._all = {"samples": self._samples}, {"samples": len(self.offered["samples"])}
            numbers = {}
        else:
            numbers = metric.numbers(self.offered)
        for name, count in self._wrong.items():
            if count:
                numbers = dict.fromkeys(metric.definition.higher_is_better, math.nan)
                self._numbers.setdefault((name, count, self._all[name]), []).extend(numbers)
        return numbers

    def notes(self, step: int) -> list[str]:
        """What was not finite, a sentence each."""
        return [
            f"at step {step}, {count} of {total} {_what(name)} not finite: "
            + ", ".join(f"`{number}`" for number in numbers)
            + (" is NaN" if len(numbers) == 1 else " are NaN")
            for (name, count, total), numbers in self._numbers.items()
        ]

    def _call(self, name: str, method: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        found = method(x)
        self._wrong[name] = self._wrong.get(name, 0) + _wrong(name, found)
        self._all[name] = self._all.get(name, 0) + len(found)
        return found


def _wrong(name: str, given: Tensor) -> int:
    """Examples that are not finite; a log-likelihood of minus infinity is one."""
    if not given.is_floating_point() or not len(given):
        return 0
    right = given.isfinite()
    if name == "log_likelihood":
        right |= given == -math.inf
    return len(given) - int(right.reshape(len(given), -1).all(1).sum())


def _what(name: str) -> str:
    return "samples are" if name == "samples" else f"values of the model's `{name}` are"
