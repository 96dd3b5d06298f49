"""The table of a study."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from genloss.comparison.table import Direction, RunResult, Table, named, spread
from genloss.record.folder import RunFolder


def table(*numbers: float, status: str = "FINISHED") -> Table:
    runs = tuple(
        RunResult(f"a-{seed}", "a", seed, status, "", {"m": value}, 1.0, "", RunFolder(Path("a")))
        for seed, value in enumerate(numbers)
    )
    return Table("s", ("a",), {"m": Direction(higher_is_better=True, unit="1")}, runs, {"m": 2.5})


def test_the_mean_and_the_sample_standard_deviation() -> None:
    assert table(1.0, 2.0, 6.0).cell("a", "m") == "3.0 ± 2.6"
    assert table(1.0).cell("a", "m") == "1"


@pytest.mark.parametrize(
    ("mean", "deviation", "said"),
    [
        (2.312, 0.5527, "2.31 ± 0.55"),
        (0.7942, 0.009934, "0.7942 ± 0.0099"),
        (0.5, 0.0996, "0.50 ± 0.10"),  # rounded up to the next decimal
        (1234.5, 56.7, "1234 ± 57"),
        (12345.0, 678.9, "12340 ± 680"),
        (-0.001, 0.02, "-0.001 ± 0.020"),
        (2.0, 0.0, "2 ± 0"),
        (0.5, 1.2e-9, "0.5 ± 1.2e-09"),
        (3.2e9, 1.5e8, "3.2e+09 ± 1.5e+08"),
    ],
)
def test_a_deviation_has_two_digits_and_the_mean_as_many_decimals(
    mean: float, deviation: float, said: str
) -> None:
    assert spread(mean, deviation) == said


def test_what_is_not_finite_is_shown_as_that() -> None:
    assert table(1.0, math.nan).cell("a", "m") == "nan ± nan"


def test_runs_that_did_not_finish_do_not_count_and_are_counted() -> None:
    failed = table(1.0, 2.0, status="FAILED")
    assert failed.cell("a", "m") == "–"
    assert failed.seeds("a") == "0 of 2"
    assert len(failed.unfinished()) == 2


def test_the_floor_comes_last_and_the_heading_says_the_direction() -> None:
    assert table(1.0).rows()[-1] == ["floor", "", "2.5"]
    assert table(1.0).columns() == ["objective", "seeds", "m ↑"]


def failed(seed: int, message: str) -> RunResult:
    return RunResult(f"a-{seed}", "a", seed, "FAILED", message, {}, 1.0, "", RunFolder(Path("a")))


def test_runs_that_failed_alike_stand_together_whatever_their_numbers() -> None:
    runs = (
        failed(0, "`g/total` became nan at step 21; the last finite values were `g/total` 1.2e+03"),
        failed(1, "KeyError: 'x'"),
        failed(2, "`g/total` became nan at step 1,400; the last finite values were `g/total` -0.5"),
        failed(3, "`d/total` became nan at step 21; the last finite values were `g/total` 1"),
    )
    alike = Table("s", ("a",), {}, runs, {}).failures()
    assert [[run.seed for run in group] for group in alike] == [[0, 2], [1], [3]]


def test_of_many_runs_the_first_are_named() -> None:
    runs = [failed(seed, "") for seed in range(6)]
    assert named(runs[:1]) == "`a-0`"
    assert named(runs[:2]) == "`a-0` and `a-1`"
    assert named(runs[:4]) == "`a-0`, `a-1`, `a-2` and `a-3`"
    assert named(runs) == "`a-0`, `a-1`, `a-2` and 3 more"


def test_a_table_shows_itself_in_few_words_as_markdown_and_in_notebooks() -> None:
    shown = table(1.0, 2.0, 6.0)
    assert repr(shown) == "<table of s: a>"
    assert repr(shown.runs[0]) == "<run a-0: FINISHED>"
    assert str(shown).splitlines() == [
        "| objective | seeds | m ↑ |",
        "| --- | ---: | ---: |",
        "| a | 3 | 3.0 ± 2.6 |",
        "| floor |  | 2.5 |",
    ]
    assert '<td style="text-align: right">3.0 ± 2.6</td>' in shown._repr_html_()
