"""The address of the page, and its layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from genloss.tracking import views
from genloss.tracking.tags import LONGEST_EXPERIMENT_TAG

OBJECTIVES = [
    {"name": "plain", "players": {"generator": [{"name": "g"}], "discriminator": [{"name": "d"}]}},
    {
        "name": "penalised",
        "players": {"generator": [{"name": "g2"}], "discriminator": [{"name": "d"}, {"name": "penalty"}]},
    },
]
KEYS = [
    *("discriminator/d", "discriminator/penalty", "discriminator/total", "discriminator/gradient_norm"),
    *("generator/g", "generator/g2", "generator/total", "generator/gradient_norm"),
    *("held_out/generator/g", "eval/recall", "eval/precision", "non_finite_values"),
]


def study(objectives: Sequence[dict[str, Any]] = OBJECTIVES, **more: Any) -> dict[str, Any]:
    """What study.json says."""
    metrics = {"recall": {"higher_is_better": True}, "distance": {"higher_is_better": False}}
    return {
        "study": "a-study",
        "metrics": metrics,
        "experiment": {"objectives": objectives, "seeds": [3, 4]} | more,
    }


def grid(count: int) -> list[dict[str, Any]]:
    """So many points of a sweep over two numbers and a name."""
    return [
        {
            "name": f"vae,weight={index}.00,lr=0.001,network=mlp",
            "base": "vae",
            "point": {
                "objectives.vae.network.kl.weight": float(index),
                "training.optimizer.lr": 0.001,
                "model.network": "mlp",
            },
            "players": {"network": [{"name": "nll"}, {"name": "kl"}]},
        }
        for index in range(count)
    ]


def placed(state: dict[str, Any]) -> dict[str, list[str]]:
    """What each section shows."""
    found: dict[str, list[str]] = {section["name"]: [] for section in state["compareRunSections"]}
    for chart in state["compareRunCharts"]:
        found[chart["metricSectionId"]] += chart.get("imageKeys") or [chart.get("metricKey") or chart["type"]]
    return found


def unfolded(state: dict[str, Any]) -> list[str]:
    return [section["name"] for section in state["compareRunSections"] if section["display"]]


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://ada:secret@host.org/mlflow/", "https://host.org/mlflow"),
    ],
)
def test_the_page_is_the_study_s_charts_and_tells_no_password(host: str, base: str) -> None:
    assert views.page(host, "7", "a-study") == (
        f"{base}/#/experiments/7/runs?"
        "compareRunsMode=CHART&workflowType=machine_learning&viewStateShareKey=a-study"
    )


def test_what_decides_comes_first_and_each_metric_has_its_place() -> None:
    state = json.loads(views.comparison(study(), KEYS, {"samples": 3000}))
    assert list(placed(state).items()) == [
        ("last evaluation", ["eval/recall", "eval/precision"]),
        ("evaluation by step", ["eval/recall", "eval/precision"]),
        ("generator losses", ["generator/total"]),
        ("discriminator losses", ["discriminator/total", "discriminator/d"]),
        ("other terms of the losses", ["discriminator/penalty", "generator/g", "generator/g2"]),
        ("losses on held-out data", ["held_out/generator/g"]),
        (
            "gradient norms and others",
            ["discriminator/gradient_norm", "generator/gradient_norm", "non_finite_values"],
        ),
        ("cost", ["cost/seconds", "cost/peak_memory"]),
        ("samples (where runs are not grouped)", ["samples"]),
    ]
    assert unfolded(state) == [
        *("last evaluation", "evaluation by step", "generator losses", "discriminator losses")
    ]
    charts = state["compareRunCharts"]
    assert len({chart["uuid"] for chart in charts}) == len(charts)
    # Without the number the front end smooths the lines.
    assert all(chart["lineSmoothness"] == 0 for chart in charts if chart["type"] == "LINE")
    # What a run has but one of is not a line.
    assert {chart["type"] for chart in charts if chart.get("metricKey", "").startswith("cost/")} == {"BAR"}


def test_of_one_objective_all_terms_are_shown() -> None:
    state = json.loads(views.comparison(study(OBJECTIVES[:1]), KEYS, {}))
    assert placed(state)["generator losses"] == ["generator/total", "generator/g"]


def test_a_view_says_which_runs_it_shows_and_how() -> None:
    state = json.loads(views.comparison(study(), KEYS, {}))
    assert state["searchFilter"] == "tags.`genloss.study` = 'a-study'"
    assert state["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "objective"}]
    assert state["groupsExpanded"] == {"param.objective.plain": False, "param.objective.penalised": False}
    assert (state["orderByKey"], state["runsHiddenMode"]) == ("attributes.start_time", "SHOW_ALL")
    assert "compareRunCharts" not in json.loads(views.comparison(study(), [], {}))


def test_the_samples_are_those_of_one_seed_not_grouped() -> None:
    state = json.loads(views.samples(study(), KEYS, {"samples": 3000}))
    assert state["searchFilter"] == "tags.`genloss.study` = 'a-study' AND params.`seed` = '3'"
    assert state["groupBy"] is None
    (chart,) = state["compareRunCharts"]
    assert (chart["type"], chart["imageKeys"], chart["step"]) == ("IMAGE", ["samples"], 3000)
    assert unfolded(state) == ["samples"]
    # Charts that the front end adds for each metric come into sections that are there, and folded.
    assert {"discriminator", "generator", "held_out/generator", "eval", "cost"} < set(placed(state))


def test_a_sweep_is_shown_by_its_values_that_are_numbers_the_best_first() -> None:
    keys = ["network/nll", "network/kl", "network/total", "eval/recall"]
    state = json.loads(views.comparison(study(grid(4)), keys, {}))
    every, *each = [c for c in state["compareRunCharts"] if c["metricSectionId"] == "by value"]
    params = ["network.kl.weight", "training.optimizer.options.lr"]
    assert (every["type"], every["selectedParams"]) == ("PARALLEL", params)
    assert every["selectedMetrics"] == ["eval/recall"]
    assert [chart["xaxis"]["key"] for chart in each] == params
    assert {chart["yaxis"]["key"] for chart in each} == {"eval/recall"}
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`eval/recall`", False)
    assert unfolded(state)[0] == "by value"


def test_where_not_all_runs_are_loaded_it_says_so_and_the_best_seeds_are_not_taken_for_the_groups() -> None:
    """The front end averages what it has loaded."""
    few, many = study(grid(20)), study(grid(60))
    states = [json.loads(views.comparison(one, ["eval/recall"], {})) for one in (few, many)]
    assert [state["orderByKey"] for state in states] == ["metrics.`eval/recall`", "attributes.start_time"]
    assert "last evaluation" in unfolded(states[0])
    assert "last evaluation of the runs that are loaded: 100 of 120 at first" in unfolded(states[1])
    one_seed = json.loads(views.comparison(study(grid(200), seeds=[0]), ["eval/recall"], {}))
    assert one_seed["orderByKey"] == "metrics.`eval/recall`"


def test_a_search_is_shown_by_the_metric_that_it_follows() -> None:
    space = {"training.optimizer.lr": {"log_uniform": [1e-4, 1e-2], "choice": None}}
    open_ = [{**objective, "point": {}} for objective in grid(3)]
    found = study(open_, search={"metric": "distance", "space": space})
    state = json.loads(views.comparison(found, ["eval/recall", "eval/distance"], {}))
    (chart,) = [c for c in state["compareRunCharts"] if c["metricSectionId"] == "by value"]
    assert chart["xaxis"]["key"] == "training.optimizer.options.lr"
    assert chart["yaxis"]["key"] == "eval/distance"
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`eval/distance`", True)


@pytest.mark.parametrize(("groups", "metrics"), [(20, 5), (20, 150), (300, 5), (300, 150), (2000, 40)])
def test_a_view_fits_its_tag_and_shows_what_decides(groups: int, metrics: int) -> None:
    keys = ["network/nll", "network/kl", "network/total", "eval/recall"]
    keys += [f"network/gradient_norm/{index}" for index in range(metrics)]
    text = views.comparison(study(grid(groups)), keys, {"samples": 100})
    assert len(text) <= LONGEST_EXPERIMENT_TAG
    state = json.loads(text)
    decide = ["by value", "last evaluation", "evaluation by step", "network losses"]
    assert [name.partition(" of the runs")[0] for name in unfolded(state)] == decide
    assert state["runsHiddenMode"] == ("SHOW_ALL" if groups == 20 else "FIRST_20_RUNS")
    # Each metric has a chart, or a folded section to which the front end adds one.
    shown = placed(state)
    charted = {key for listed in shown.values() for key in listed}
    assert [key for key in keys if key not in charted and key.rpartition("/")[0] not in shown] == []
