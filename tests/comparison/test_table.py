"""The tables of a comparison; test_comparison.py has every figure of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from genloss.comparison.comparison import compare_runs
from genloss.comparison.runs import Cost, Direction
from genloss.comparison.table import markdown, overview, pairs, to_html
from tests.comparison.studies import FAILED, HIGHER, comparison, run

EIGHT = [10.0, 12, 11, 13, 12, 14, 11, 13]


def test_one_seed_has_no_interval_and_runs_that_did_not_finish_are_counted() -> None:
    table = overview(comparison({"a": [1.5], "b": [1.0, 2.0, FAILED], "c": [FAILED], "d": [math.nan]}))
    assert [row[1:] for row in table.rows] == [
        ("1", "1.5"),
        ("2 of 3", "1.5 ± 6.4"),
        ("0 of 1", "–"),
        ("1", "nan"),
    ]
    assert table.legend[-1] == "no finite m, and not in its mean: `d-0`"


def test_the_heading_says_unit_and_direction() -> None:
    assert overview(comparison({"a": [1.0]}, direction=Direction(False, "nats"))).columns[2] == "m, nats ↓"
    assert overview(comparison({"a": [1.0]}, direction=HIGHER)).columns[2] == "m ↑"


def test_a_reference_that_is_not_known_is_a_dash_and_none_is_no_row() -> None:
    metrics = {"m": HIGHER, "n": HIGHER}
    assert overview(comparison({"a": [1.0]}, metrics=metrics, references={"n": 2.0})).rows[-1] == (
        "real data",
        "",
        "–",
        "2",
    )
    assert overview(comparison({"a": [1.0]}, metrics=metrics, references={})).rows[-1][0] == "a"


def test_without_metrics_there_are_seeds_and_no_legend() -> None:
    table = overview(comparison({"a": [1.0, 2.0]}, metrics={}))
    assert (table.columns, table.rows, table.legend) == (("objective", "seeds"), (("a", "2"),), ())


@pytest.mark.parametrize(
    ("other", "columns"),
    [
        (Cost(100, {"d": 100, "g": 100}, 10.0, 2**30), ()),
        (Cost(100, {"d": 100, "g": 100}, 12.0, 2**30 + 2**27), ()),  # little more
        (Cost(100, {"d": 500, "g": 100}, 10.0, 2**30), ("d updates",)),
        (Cost(200, {"d": 200, "g": 200}, 10.0, 2**30), ("steps",)),  # of each player as many
        (Cost(100, {"g": 100}, 30.0, None), ("time",)),
        (Cost(100, {"g": 100}, 10.0, 2**32), ("memory",)),
        (Cost(100, {"n": 300}, 10.0, 2**30), ()),  # another player is no other budget of the same one
    ],
)
def test_costs_are_shown_where_they_differ(other: Cost, columns: tuple[str, ...]) -> None:
    usual = Cost(100, {"d": 100, "g": 100}, 10.0, 2**30)
    table = overview(comparison({"a": [1.0], "b": [2.0]}, costs={"a": usual, "b": other}))
    assert table.columns[3:] == columns


def test_what_failed_does_not_make_costs_differ() -> None:
    usual, short = Cost(100, {"d": 100}, 10.0), Cost(3, {"d": 3}, 0.1)
    assert overview(comparison({"a": [1.0], "b": [FAILED]}, costs={"a": usual, "b": short})).columns[3:] == ()


def test_costs_are_said_with_their_units() -> None:
    costs = {
        "a": Cost(1000, {"d": 5000, "g": 1000}, 30.0, 600 * 2**20),
        "b": Cost(1000, {"d": 1000, "g": 1000}, 90.0, 3 * 2**30),
        "c": Cost(2000, {"g": 2000}, 90.0, None),
    }
    table = overview(comparison({name: [1.0] for name in costs}, costs=costs))
    assert table.columns[3:] == ("steps", "d updates", "g updates", "time", "memory")
    assert [row[3:] for row in table.rows] == [
        ("1,000", "5,000", "1,000", "30 s", "600 MiB"),
        ("1,000", "1,000", "1,000", "1.5 min", "3.0 GiB"),
        ("2,000", "–", "2,000", "1.5 min", "–"),
    ]
    assert table.legend[-1] == "time and memory: a run's median"


def test_what_is_known_besides_the_numbers_stands_below() -> None:
    found = comparison({"a": [1.0]}, allowed=["`training.steps`: 3 and 4"], notes=["a note"])
    assert overview(found).legend[-2:] == (
        "compared although they differ: `training.steps`: 3 and 4",
        "a note",
    )


def test_pairs_are_rows_and_each_says_what_is_better() -> None:
    values = {"a": EIGHT, "b": [value - 3 for value in EIGHT], "c": [value + 1.0 for value in EIGHT]}
    table = pairs(comparison(values, pairs=True), "m")
    assert table.columns[:4] == ("pair", "seeds", "difference", "p")
    assert [row[:3] for row in table.rows] == [
        ("b − a", "8", "▲ -3 ± 0"),
        ("c − a", "8", "▼ 1 ± 0"),
        ("c − b", "8", "▼ 4 ± 0"),
    ]
    assert {row[5] for row in table.rows} == {"-inf", "+inf"}
    assert any("corrected p: Holm, 3 comparisons" in line for line in table.legend)


def test_markdown_has_the_answer_the_table_and_what_did_not_finish() -> None:
    found = comparison({"a": [1.0, 2.0, 6.0], "b": [FAILED, FAILED, "INTERRUPTED"]}, reference=0.5)
    lines = markdown(found).splitlines()
    assert lines[0] == " ".join(found.answer())
    assert lines[2:6] == [
        "| objective | seeds | m ↓ |",
        "| --- | ---: | ---: |",
        "| a | 3 | 3.0 ± 6.6 |",
        "| b | 0 of 3 | – |",
    ]
    assert lines[6] == "| real data |  | 0.5 |"
    assert lines[8].startswith("mean ± half-width of the 95% confidence interval over seeds; ")
    assert lines[10:] == [
        "**3 of 6 runs did not finish:**",
        "",
        "* FAILED: `b-0` and `b-1`",
        "* INTERRUPTED: `b-2`",
    ]
    assert str(found) == markdown(found)


def test_markdown_says_why_runs_did_not_finish_and_of_which_study_where_there_are_several() -> None:
    runs = [
        run("a", 0, 1.0),
        run("a", 1, FAILED, message="nan at step 7"),
        run("a", 2, FAILED, message="nan at step 30"),
        run("a", 3, "INTERRUPTED", message="stopped at step 5"),
        run("a", 4, "INTERRUPTED", message="stopped at step 9"),
        run("a", 5, "INTERRUPTED", message="the worker died without reporting a status"),
        run("a", 6, "NOT STARTED"),
        run("a", 7, math.nan),
    ]

    def said(studies: Sequence[str]) -> list[str]:
        found = [replace(each, study=study) for each, study in zip(runs, studies, strict=True)]
        comparison = compare_runs(found, name="s", objectives=["a"], baseline="a", metrics={"m": HIGHER})
        return markdown(comparison).splitlines()

    one, two = said(["s-1"] * 8), said(["s-1", "s-2"] * 4)
    assert one[-4:] == [
        "* FAILED: `a-1` and `a-2`: nan at step 7",
        "* INTERRUPTED: `a-3` and `a-4`: stopped at step 5",
        "* INTERRUPTED: `a-5`: the worker died without reporting a status",
        "* NOT STARTED: `a-6`",
    ]
    assert two[-4:] == [
        "* FAILED: `a-1` of `s-2` and `a-2` of `s-1`: nan at step 7",
        "* INTERRUPTED: `a-3` of `s-2` and `a-4` of `s-1`: stopped at step 5",
        "* INTERRUPTED: `a-5` of `s-2`: the worker died without reporting a status",
        "* NOT STARTED: `a-6` of `s-1`",
    ]
    assert any("not in its mean: `a-7`." in line for line in one)
    assert any("not in its mean: `a-7` of `s-2`." in line for line in two)


def test_notebooks_show_the_answer_and_the_table_and_nothing_of_it_is_markup() -> None:
    found = comparison({"a": [1.0, 2.0, 6.0]}, notes=["<script>"])
    shown = to_html(found)
    assert found._repr_html_() == shown
    assert '<td style="text-align: right">3.0 ± 6.6</td>' in shown
    assert shown.startswith("<p>`a` has m (lower is better) 3.0 ± 6.6 (3 seeds). ")
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_a_run_without_the_metric_is_named() -> None:
    found = comparison({"a": [1.0]})
    assert overview(found).legend == (
        "mean ± half-width of the 95% confidence interval over seeds; ↓ lower is better, ↑ higher",
    )
    runs = [*found.runs, run("a", 1, 2.0, metric="other")]
    again = compare_runs(runs, name="s", objectives=["a"], baseline="a", metrics={"m": HIGHER})
    assert overview(again).legend[1] == "no finite m, and not in its mean: `a-1`"
