"""A comparison for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pandas
import pytest

from genloss.api.compare import Gathered
from genloss.comparison.comparison import Comparison, compare_runs
from genloss.comparison.export import to_csv, to_json
from genloss.comparison.from_records import read_study
from tests.comparison.report.examples import search
from tests.comparison.studies import LOWER
from tests.comparison.studies import comparison as compared
from tests.comparison.written import finish, study


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    numbers = {"a": [1.0, 2.0, 3.0], "b": [4.0, 6.0, 8.0], "c": [0.0] * 3}
    made = study(tmp_path, numbers=numbers, train=False)
    for name in ("a", "b"):
        for seed, value in enumerate(numbers[name]):
            finish(made, f"{name}-{seed}", {"frechet_distance": value, "recall": 0.5})
    finish(made, "c-0", {"frechet_distance": math.inf, "recall": 0.5})
    finish(made, "c-1", {}, status="FAILED", message="planted", hint="do something")
    return Gathered((read_study(made),)).compare(pairs=True)


def test_json_has_all_of_it_under_the_keys_that_it_names(comparison: Comparison) -> None:
    found = to_json(comparison)
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found
    assert to_json.__doc__ is not None
    for key in found:
        assert f"`{key}`" in to_json.__doc__
    assert found["metrics"]["frechet_distance"] == {
        "higher_is_better": False,
        "unit": "1",
        "version": "2",
        "reference": 0.5,
    }
    (mean,) = [
        s["mean"] for s in found["summaries"] if (s["metric"], s["objective"]) == ("frechet_distance", "a")
    ]
    assert mean == 2.0
    difference = found["differences"][0]
    assert (difference["objective"], difference["other"], difference["mean"]) == ("b", "a", 4.0)
    assert difference["by_seed"] == {"0": 3.0, "1": 4.0, "2": 5.0}
    assert len(found["pairs"]) == 3 * 2
    runs = {run["name"]: run for run in found["runs"]}
    assert runs["c-0"]["metrics"]["frechet_distance"] is None
    assert (runs["c-1"]["status"], runs["c-1"]["message"]) == ("FAILED", "planted")
    assert runs["c-2"]["status"] == "NOT STARTED"
    assert runs["a-0"]["cost"]["peak_memory"] == 1000
    assert found["costs"]["a"]["steps"] == 20


def test_json_of_a_search_has_the_best_trials() -> None:
    runs = search(["one", "two"], 3)
    names = [run.objective for run in runs]
    found = to_json(
        compare_runs(runs, name="s", objectives=names, baseline=names[0], metrics={"distance": LOWER})
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [(best["objective"], best["trial"], best["value"]) for best in found["best"]] == [
        ("one", 2, 7.0),
        ("two", 2, 7.0),
    ]
    assert found["best"][0]["trials"]["pruned"] == ["one,trial=0"]
    assert [run["trial"] for run in found["runs"]] == [0, 1, 2] * 2


def test_csv_is_a_row_a_metric_and_objective_with_its_difference(comparison: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert [(row["metric"], row["objective"], row["other"]) for row in rows[:4]] == [
        ("frechet_distance", "a", ""),
        ("frechet_distance", "b", "a"),
        ("frechet_distance", "c", "a"),
        ("frechet_distance", "c", "b"),
    ]
    assert (rows[1]["mean"], rows[1]["difference_mean"], rows[1]["reference"]) == ("6.0", "4.0", "0.5")
    assert (rows[2]["count"], rows[2]["mean"], rows[2]["not_finite"]) == ("0", "", "1")
    assert rows[0]["difference_p"] == ""


def test_more_seeds_than_are_counted_are_told_from_what_cannot_be_said() -> None:
    found = compared(
        {
            "a": {0: 1.0, 1: 2.0, 2: 3.0},
            "same_mean": {0: 2.0, 1: 2.0, 2: 2.0},
            "less_by_one": {0: 0.0, 1: 1.0, 2: 2.0},
            "one_seed": {0: 1.0},
        }
    )
    said = {d["objective"]: (d["effect_size"], d["needed_seeds"]) for d in to_json(found)["differences"]}
    assert said == {"same_mean": (0.0, "Infinity"), "less_by_one": ("-Infinity", 7), "one_seed": (None, None)}
    assert float("Infinity") == math.inf
    rows = {row["objective"]: row for row in csv.DictReader(io.StringIO(to_csv(found)))}
    assert [rows[name]["difference_needed_seeds"] for name in ("same_mean", "one_seed")] == ["Infinity", ""]
    columns = pandas.read_csv(io.StringIO(to_csv(found))).set_index("objective")
    assert columns["difference_needed_seeds"]["same_mean"] == math.inf
    assert math.isnan(columns["difference_needed_seeds"]["one_seed"])


def test_a_comparison_without_metrics_is_empty(tmp_path: Path) -> None:
    made = study(tmp_path, metrics={})
    comparison = Gathered((read_study(made),)).compare()
    assert to_csv(comparison) == ""
    assert to_json(comparison)["metric"] is None
    assert to_json(comparison)["summaries"] == []
