"""Rows of intervals and differences: what stands where."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from genloss.comparison.report.drawing import Drawing, Path, Symbol, Text
from genloss.comparison.report.intervals import axis, differences, intervals
from tests.comparison.report.examples import compared, runs


def texts(drawing: Drawing) -> list[str]:
    return [mark.text for mark in drawing.marks if isinstance(mark, Text)]


def symbols(drawing: Drawing, size: float) -> list[Symbol]:
    return [mark for mark in drawing.marks if isinstance(mark, Symbol) and mark.size == size]


def bars(drawing: Drawing) -> list[Path]:
    return [mark for mark in drawing.marks if isinstance(mark, Path) and mark.width == 2.5]


def test_every_seed_and_the_mean_stand_on_one_axis() -> None:
    comparison = compared(runs(["plain", "beta"], 4))
    drawing = intervals(comparison, "distance")
    dots, means = symbols(drawing, 5), symbols(drawing, 11)
    assert (len(dots), len(means)) == (8, 2)
    values = [run.metrics["distance"] for run in comparison.runs]
    places = [dot.x for dot in dots]
    slope, start = np.polyfit(values, places, 1)
    np.testing.assert_allclose(places, start + slope * np.array(values))
    for objective, mean, bar in zip(comparison.objectives, means, bars(drawing), strict=True):
        summary = comparison.summaries["distance"][objective]
        assert mean.x == pytest.approx(start + slope * summary.mean)
        np.testing.assert_allclose(bar.points[:, 0], start + slope * np.array([summary.low, summary.high]))
    assert "plain (baseline)" in texts(drawing)
    assert "nats, lower is better" in texts(drawing)


def test_an_objective_without_a_number_has_its_row() -> None:
    found = runs(["plain", "beta"], 3)
    comparison = compared(
        [replace(run, status="FAILED", metrics={}) if run.objective == "beta" else run for run in found]
    )
    drawing = intervals(comparison, "distance")
    assert {"beta", "no number"} <= set(texts(drawing))
    assert len(symbols(drawing, 11)) == 1


def test_one_seed_has_no_interval() -> None:
    assert bars(intervals(compared(runs(["plain"], 1)), "distance")) == []


def test_an_interval_beyond_the_axis_ends_in_an_arrow() -> None:
    comparison = compared(runs(["plain"], 2))  # Student's t of two seeds: 12.7 standard errors
    drawing = intervals(comparison, "distance")
    arrows = [mark for mark in symbols(drawing, 8) if mark.shape in ("left", "right")]
    assert arrows
    assert all(0 <= x <= drawing.width for bar in bars(drawing) for x in bar.points[:, 0])


def test_a_reference_far_away_is_named_at_the_edge() -> None:
    found = runs(["plain", "beta"], 4)
    near = intervals(compared(found, references={"distance": 8.0}), "distance")
    far = intervals(compared(found, references={"distance": -1e4}), "distance")
    assert "real data 8" in texts(near)
    assert "← real data -1e+04" in texts(far)
    assert not any(
        "real data" in text for text in texts(intervals(compared(found, references={}), "distance"))
    )


def test_no_number_at_all_is_no_error() -> None:
    comparison = compared(
        [replace(run, metrics={"distance": math.nan}) for run in runs(["plain", "beta"], 2)]
    )
    assert texts(intervals(comparison, "distance")).count("no number") == 2
    assert symbols(differences(comparison, "distance"), 11) == []


def test_a_decided_difference_is_filled_and_said() -> None:
    comparison = compared(
        runs(["plain", "far", "same"], 8, number=lambda o, seed: seed % 3 - (20 + seed) * (o == 1))
    )
    drawing = differences(comparison, "distance")
    far, same = symbols(drawing, 11)
    assert far.filled
    assert not same.filled
    assert any(text.endswith(", better") for text in texts(drawing))
    assert "← better" in texts(drawing)
    assert far.x < same.x


def test_better_is_where_the_metric_says() -> None:
    found = runs(["plain", "beta", "gamma"], 6)
    metrics = {"distance": replace(compared(found).metrics["distance"], higher_is_better=True)}
    assert "← worse" in texts(differences(compared(found, metrics=metrics), "distance"))


def test_the_seeds_decide_the_axis() -> None:
    scale = axis([1, 2, 3], [-50, 60], math.nan)
    assert scale(3) - scale(1) > 0.3
    assert axis([1, 2, 3], [0.8, 3.3], math.nan).low < 0.8
    assert axis([1, 2, 3], [], 0.0).low < 0
    assert axis([1, 2, 3], [], -100.0).low > 0
    assert axis([0.001, 1], [-5, 2], -1.0).log
