"""A comparison as data frames."""

from __future__ import annotations

import math

import pandas
import pytest

from genloss.comparison.comparison import Comparison
from genloss.comparison.runs import Cost, Direction
from tests.comparison.studies import FAILED, comparison

COSTS = {
    "a": Cost(10, {"d": 50, "g": 10}, 1.5, 2**20, "cpu"),
    "b": Cost(10, {"d": 10, "g": 10}, 1.0, None, "cpu"),
}


@pytest.fixture
def found() -> Comparison:
    return comparison(
        {"a": [1.0, 2.0, 3.0], "b": [3.0, FAILED, 2.0]},
        reference=0.5,
        direction=Direction(False, "nats"),
        costs=COSTS,
        pairs=True,
    )


def test_runs_are_rows_those_that_failed_too(found: Comparison) -> None:
    frame = found.runs_frame()
    assert list(frame) == ["study", "run", "objective", "seed", "status", "metric", "value"]
    assert frame["run"].tolist() == ["a-0", "a-1", "a-2", "b-0", "b-1", "b-2"]
    assert frame["value"].isna().tolist() == [False, False, False, False, True, False]
    assert frame.groupby("objective")["value"].mean().to_dict() == {"a": 2.0, "b": 2.5}
    assert frame[frame["status"] == "FAILED"]["run"].tolist() == ["b-1"]


def test_summaries_are_those_of_the_comparison(found: Comparison) -> None:
    frame = found.summaries_frame().set_index(["metric", "objective"])
    a, b = frame.loc[("m", "a")], frame.loc[("m", "b")]
    assert (a["mean"], a["count"], a["planned"], a["unit"], a["reference"]) == (2.0, 3, 3, "nats", 0.5)
    assert (b["mean"], b["count"], b["planned"], b["best"], b["worst"]) == (2.5, 2, 3, 2.0, 3.0)
    assert a["low"] == found.summaries["m"]["a"].low


def test_differences_are_rows_and_the_single_seeds_are_left_to_the_runs(found: Comparison) -> None:
    (row,) = found.differences_frame().to_dict("records")
    assert (row["objective"], row["other"], row["seeds"], row["mean"], row["p"]) == ("b", "a", 2, 0.5, 1.0)
    assert math.isnan(row["effect_size"])
    assert "by_seed" not in row


def test_costs_have_a_column_a_player(found: Comparison) -> None:
    frame = found.costs_frame()
    assert frame["updates_d"].tolist() == [50] * 3 + [10] * 3
    assert frame["peak_memory"].isna().tolist() == [False] * 3 + [True] * 3
    assert frame.groupby("objective")["seconds"].median().to_dict() == {"a": 1.5, "b": 1.0}


def test_without_metrics_the_frames_are_empty_and_the_costs_are_not() -> None:
    found = comparison({"a": [1.0], "b": [2.0]}, metrics={})
    for frame in (found.runs_frame(), found.summaries_frame(), found.differences_frame()):
        assert isinstance(frame, pandas.DataFrame)
        assert frame.empty
    assert len(found.costs_frame()) == 2
