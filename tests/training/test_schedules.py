"""Schedules have closed forms."""

import math

import pytest
from pydantic import ValidationError

from genloss.experiment.schema import Schedule
from genloss.training.schedules import at


def schedule(form, **settings):
    return Schedule.model_validate({form: settings})


def test_a_number_is_constant():
    weight = at(0.5)
    assert [weight(0), weight(1), weight(10**9)] == [0.5, 0.5, 0.5]
    assert type(at(3)(0)) is float


@pytest.mark.parametrize(
    ("step", "value"), [(0, 1.0), (1, 0.95), (50, -1.5), (99, -3.95), (100, -4.0), (101, -4.0), (10**9, -4.0)]
)
def test_linear(step, value):
    assert at(schedule("linear", **{"from": 1.0, "to": -4.0, "steps": 100}))(step) == pytest.approx(
        value, abs=1e-15
    )


@pytest.mark.parametrize(
    ("step", "value"),
    [
        (0, 2.0),
        (25, 2 + 2 * (0.5 - math.sqrt(2) / 4)),
        (50, 3.0),
        (75, 2 + 2 * (0.5 + math.sqrt(2) / 4)),
        (100, 4.0),
        (1000, 4.0),
    ],
)
def test_cosine(step, value):
    assert at(schedule("cosine", **{"from": 2.0, "to": 4.0, "steps": 100}))(step) == pytest.approx(value)


@pytest.mark.parametrize(
    ("step", "value"), [(0, 0.0), (1, 0.25), (3, 0.75), (4, 0.0), (7, 0.75), (4 * 10**9 + 2, 0.5)]
)
def test_cyclical(step, value):
    assert at(schedule("cyclical", **{"from": 0.0, "to": 1.0, "period": 4}))(step) == value


def test_the_ends_are_exact():
    for form in ("linear", "cosine"):
        ramp = at(schedule(form, **{"from": 0.1, "to": 0.7, "steps": 7}))
        assert (ramp(0), ramp(7), ramp(8)) == (0.1, pytest.approx(0.7, abs=1e-16), ramp(7))


def test_one_of_one_step():
    ramp = at(schedule("linear", **{"from": 1.0, "to": 2.0, "steps": 1}))
    assert [ramp(0), ramp(1)] == [1.0, 2.0]


def test_a_schedule_of_no_form():
    with pytest.raises(ValueError, match="one of `linear`, `cosine`, `cyclical`"):
        at(Schedule())


@pytest.mark.parametrize("steps", [0, -1, 1.5])
def test_steps_are_a_positive_integer(steps):
    with pytest.raises(ValidationError):
        schedule("linear", **{"from": 0.0, "to": 1.0, "steps": steps})
