"""Curves with bands over the seeds."""

from __future__ import annotations

import numpy as np

from genloss.comparison.report import lines
from genloss.comparison.report.drawing import Path, Text
from tests.comparison.report.examples import Memory, compared, runs, source

STEPS = np.array([0.0, 1.0, 2.0])


def test_a_band_is_from_the_smallest_to_the_greatest_seed() -> None:
    band = lines.band([(STEPS, np.array([1.0, 2.0, np.nan])), (STEPS, np.array([3.0, 6.0, np.nan]))])
    assert band is not None
    np.testing.assert_array_equal(band.mean, [2, 4, np.nan])
    np.testing.assert_array_equal(band.low, [1, 2, np.nan])
    np.testing.assert_array_equal(band.high, [3, 6, np.nan])


def test_a_shorter_run_has_part_as_far_as_it_goes() -> None:
    band = lines.band([(STEPS, np.array([1.0, 1.0, 1.0])), (STEPS[:2], np.array([3.0, 3.0]))])
    assert band is not None
    np.testing.assert_array_equal(band.mean, [2, 2, 1])
    assert lines.band([]) is None


def test_few_objectives_share_a_plot_and_many_have_their_own() -> None:
    for count, plots in ((lines.TOGETHER, 1), (lines.TOGETHER + 1, lines.TOGETHER + 1)):
        found = runs([f"o{i}" for i in range(count)], 2)
        comparison = compared(found)
        bands = lines.metric_bands(comparison, source(found), "distance", comparison.objectives)
        drawn = lines.learning_curves(comparison, "distance", bands)
        assert len(drawn) == plots
    titles = [mark.title for mark in drawn[3][1].marks if isinstance(mark, Path)]
    assert titles[-2:] == ["", "o3"] or "o3" in titles
    assert "o0 (baseline)" in titles


def test_runs_that_were_evaluated_once_have_no_curve() -> None:
    found = runs(["plain"], 2)
    once = Memory({run.name: {"eval/distance": ([300], [1.0])} for run in found})
    assert lines.metric_bands(compared(found), once, "distance", ["plain"]) == {}


def test_extremes_leave_room_for_the_rest() -> None:
    values = np.concatenate([np.linspace(-1, 1, 500), [1e6]])
    scale, cut = lines.robust(values)
    assert cut
    assert scale.high < 3
    assert not lines.robust(np.linspace(-1, 1, 500))[1]


def test_the_legend_breaks_into_rows() -> None:
    keys = [(f"objective_{i}", "#0072B2", "circle") for i in range(9)]
    drawing = lines.legend(keys, 350)
    names = [mark for mark in drawing.marks if isinstance(mark, Text)]
    assert len(names) == 9
    assert len({name.y for name in names}) > 1
    assert max(name.y for name in names) < drawing.height
