"""Metrics with the options of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genloss.contracts.examples import Examples
from genloss.contracts.metric import MetricDefinition
from genloss.experiment.schema import Evaluation


@dataclass(frozen=True)
class BoundMetric:
    """A metric with its options."""

    definition: MetricDefinition[Any]
    function: Callable[..., Any]

    def numbers(self, offered: Mapping[str, Any]) -> dict[str, float]:
        """The metric's numbers, of what it asks for."""
        asked = {
            name: self.given(name, offered[name])
            for name, q in self.definition.quantities.items()
            if name in offered or not q.optional
        }
        return self.definition.numbers(self.function(**asked))

    def given(self, name: str, offered: Any) -> Any:
        """What is offered in the form in which the metric wants it."""
        if isinstance(offered, Examples) and name not in self.definition.streamed:
            return offered.whole
        return offered


def bound(settings: Evaluation, metrics: Mapping[str, MetricDefinition[Any]]) -> list[BoundMetric]:
    """The metrics of an evaluation, their options as they want them."""
    return [
        BoundMetric(metrics[choice.name], metrics[choice.name].configured(choice.options))
        for choice in settings.metrics
    ]


def asked_for(metrics: Sequence[BoundMetric]) -> set[str]:
    """The names that metrics ask for."""
    return {name for metric in metrics for name in metric.definition.quantities}
