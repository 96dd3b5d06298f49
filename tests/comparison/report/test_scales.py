"""Axes: places and ticks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloss.comparison.report.scales import Scale, around, tick


def test_places_are_shares_of_the_axis() -> None:
    np.testing.assert_allclose(Scale(2, 4)([2, 3, 4, 5]), [0, 0.5, 1, 1.5])
    np.testing.assert_allclose(Scale(1, 100, log=True)([1, 10, 100]), [0, 0.5, 1])
    assert not np.isfinite(Scale(1, 100, log=True)(0.0))


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (Scale(0, 10), [0, 2, 4, 6, 8, 10]),
        (Scale(-0.31, 0.3), [-0.2, 0, 0.2]),
        (Scale(0, 300), [0, 50, 100, 150, 200, 250, 300]),
        (Scale(0.01, 100, log=True), [0.01, 0.1, 1, 10, 100]),
        (Scale(1, 9, log=True), [1, 2, 3, 5, 7]),
        (Scale(1e-12, 1e12, log=True), [1e-12, 1e-8, 1e-4, 1, 1e4, 1e8, 1e12]),
    ],
)
def test_ticks_are_round(scale: Scale, ticks: list[float]) -> None:
    assert scale.ticks(7 if len(ticks) > 6 else 6) == pytest.approx(ticks, abs=1e-15)


@given(
    st.lists(st.floats(-1e308, 1e308), min_size=1, max_size=5),
    st.integers(2, 9),
)
def test_every_axis_has_room_and_some_ticks(values: list[float], most: int) -> None:
    scale = around(values)
    assert scale.low < scale.high
    places = scale(values)
    size = np.abs(values)
    inside = (size < 1e300) & ((size > 1e-290) | (size == 0))
    assert ((places >= -1e-9) & (places <= 1 + 1e-9))[inside].all()
    assert 1 <= len(scale.ticks(most)) <= most


def test_values_that_span_two_decades_are_on_a_logarithmic_axis() -> None:
    assert around([0.01, 1]).log
    assert not around([0.02, 1]).log
    assert not around([0.0, 100]).log
    assert not around([0.01, 1], log=False).log


def test_what_is_not_finite_has_no_part_in_an_axis() -> None:
    assert around([math.nan, math.inf]) == Scale(0, 1)
    assert around([1, 2, math.nan, -math.inf]) == around([1, 2])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (1500, "1500"),
        (100000, "1e5"),
        (0.0001, "1e-4"),
        (2.5e-7, "2.5e-7"),
        (-3e9, "-3e9"),
    ],
)
def test_ticks_are_short(value: float, said: str) -> None:
    assert tick(value) == said
