"""Metrics: what they ask for, and the numbers that they give."""

import pytest
import torch
from torch import Tensor

import genloss
from genloss.contracts.definition import Option
from genloss.errors import DefinitionError


@genloss.metric(unit="nats", higher_is_better=False)
def spread(samples: Tensor, modes: Tensor | None = None, *, scale: float = 1.0) -> float:
    """How far samples are spread."""
    return scale * float(samples.std())


@genloss.metric(unit="1", higher_is_better={"precision": True, "distance": False}, version="2")
def several(samples: Tensor) -> dict[str, float]:
    return {"precision": 1, "distance": 0.5}


def test_a_metric_says_what_its_signature_and_decorator_say():
    assert (spread.name, spread.kind, spread.units, spread.version) == (
        "spread",
        "metric",
        {"spread": "nats"},
        "1",
    )
    assert {name: quantity.optional for name, quantity in spread.quantities.items()} == {
        "samples": False,
        "modes": True,
    }
    assert spread.options == {"scale": Option("scale", float, 1.0)}
    assert spread.higher_is_better == {"spread": False}
    assert spread.summary == "How far samples are spread."
    assert several.higher_is_better == {"precision": True, "distance": False}
    assert several.version == "2"


def test_a_metric_is_called_as_the_function_is():
    samples = torch.tensor([[0.0], [2.0]])
    assert spread(samples, scale=2.0) == spread(samples=samples, scale=2.0) == 2 * float(samples.std())


def test_a_single_number_has_the_metrics_name():
    assert spread.numbers(0.5) == {"spread": 0.5}
    assert spread.numbers(torch.tensor(0.5)) == {"spread": 0.5}


def test_several_numbers_have_their_own_names():
    numbers = several.numbers(several(torch.zeros(1)))
    assert numbers == {"precision": 1.0, "distance": 0.5}
    assert all(type(number) is float for number in numbers.values())


@pytest.mark.parametrize("result", [{"precision": 1.0}, {"precision": 1.0, "recall": 0.0}, 0.5])
def test_other_numbers_than_are_declared(result):
    with pytest.raises(DefinitionError, match=r"metric `several` gave .* and declares precision, distance"):
        several.numbers(result)


def test_what_a_signature_must_say():
    metric = genloss.metric(unit="1", higher_is_better=True)

    def unannotated(samples) -> float: ...
    def swallowing(samples: Tensor, **options: float) -> float: ...
    def defaulted(samples: Tensor, scale: float = 1.0) -> float: ...

    for function, message in (
        (unannotated, "quantity `samples` of metric `unannotated` has no type annotation"),
        (
            swallowing,
            "metric `swallowing` takes `\\*\\*options: float`, which would swallow misspelt options",
        ),
        (defaulted, "quantity `scale` of metric `defaulted` has the default 1.0"),
        (lambda: 0.0, "metric `<lambda>` cannot bear that name"),
    ):
        with pytest.raises(DefinitionError, match=message):
            metric(function)


def test_unit_and_direction_must_be_said():
    with pytest.raises(DefinitionError) as caught:

        @genloss.metric
        def closeness(samples: Tensor) -> float: ...

    assert str(caught.value) == (
        "metric `closeness` must say its unit and its direction\n"
        'hint: write `@genloss.metric(unit="1", higher_is_better=False)`'
    )
    with pytest.raises(DefinitionError, match="a metric must say its unit and its direction"):
        genloss.metric(unit="1")


def test_what_it_tells_the_conformance_suite():
    facts = {"example": dict, "exempt": {"direction": "a toy"}, "unavailable": "it needs a GPU"}

    @genloss.metric(unit="1", higher_is_better=True, **facts)
    def closeness(samples: Tensor) -> float: ...

    assert {name: getattr(closeness, name) for name in facts} == facts
    assert (spread.example, dict(spread.exempt), spread.unavailable) == (None, {}, None)
