"""The table of a study."""

from __future__ import annotations

import math
from pathlib import Path

from genloss.comparison.table import Direction, RunResult, Table
from genloss.record.folder import RunFolder


def table(*numbers: float, status: str = "FINISHED") -> Table:
    runs = tuple(
        RunResult(f"a-{seed}", "a", seed, status, "", {"m": value}, 1.0, "", RunFolder(Path("a")))
        for seed, value in enumerate(numbers)
    )
    return Table("s", ("a",), {"m": Direction(higher_is_better=True, unit="1")}, runs, {"m": 2.5})


def test_the_mean_and_the_sample_standard_deviation() -> None:
    assert table(1.0, 2.0, 6.0).cell("a", "m") == "3 ± 2.646"
    assert table(1.0).cell("a", "m") == "1"


def test_what_is_not_finite_is_shown_as_that() -> None:
    assert table(1.0, math.nan).cell("a", "m") == "nan ± nan"


def test_runs_that_did_not_finish_do_not_count_and_are_counted() -> None:
    failed = table(1.0, 2.0, status="FAILED")
    assert failed.cell("a", "m") == "–"
    assert failed.seeds("a") == "0 of 2"
    assert len(failed.unfinished()) == 2


def test_the_floor_comes_last_and_the_heading_says_the_direction() -> None:
    assert table(1.0).rows()[-1] == ["floor: data against data", "", "2.5"]
    assert table(1.0).columns() == ["objective", "seeds", "m ↑"]
