"""Loss curves: what is drawn are means over equal parts of the steps, whatever blocks they came in."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from genloss.comparison.run_journal import PARTS, means
from genloss.record.events import Column
from genloss.record.frame import Values


def blocks(values: np.ndarray, rows: int) -> Iterator[Values]:
    for first in range(0, len(values), rows):
        part = values[first : first + rows]
        yield Values(first, np.zeros(len(part), np.int64), part)


@pytest.mark.parametrize("rows", [7, 1024])
def test_each_point_is_the_mean_of_its_part(rows: int) -> None:
    steps = 10 * PARTS
    values = np.random.default_rng(0).normal(size=(steps, 2))
    dense, sparse = means(blocks(values, rows), [Column("p/a"), Column("p/b", every=20)], steps)
    np.testing.assert_allclose(dense[0], np.arange(steps).reshape(PARTS, 10).mean(1))
    np.testing.assert_allclose(dense[1], values[:, 0].reshape(PARTS, 10).mean(1))
    # Every second part has one of them.
    np.testing.assert_array_equal(sparse[0], np.arange(0, steps, 20))
    np.testing.assert_array_equal(sparse[1], values[::20, 1])


def test_a_short_run_is_drawn_step_by_step() -> None:
    values = np.arange(5.0)[:, None] ** 2
    ((steps, drawn),) = means(blocks(values, 2), [Column("p/a")], 5)
    np.testing.assert_array_equal(steps, np.arange(5))
    np.testing.assert_array_equal(drawn, values[:, 0])


def test_values_that_are_not_finite_leave_a_gap() -> None:
    values = np.ones((4 * PARTS, 1))
    values[5] = np.nan
    values[8], values[9] = np.inf, -np.inf
    ((_, drawn),) = means(blocks(values, 8), [Column("p/a")], len(values))
    assert np.isnan(drawn[[1, 2]]).all()
    assert np.isfinite(np.delete(drawn, [1, 2])).all()


def test_a_long_run_takes_no_more_memory() -> None:
    rows, columns = 1024, [Column(f"p/{name}") for name in "abcd"]

    def endless(count: int) -> Iterator[Values]:
        for number in range(count):
            yield Values(number * rows, np.zeros(rows, np.int64), np.zeros((rows, 4)))

    tracemalloc.start()
    try:
        peaks = []
        for count in (10, 100):
            tracemalloc.reset_peak()
            means(endless(count), columns, count * rows)
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0], peaks
