"""The address of the page, and its layout."""

from __future__ import annotations

import json

import pytest

from genloss.tracking import views

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
    charts, sections = views.layout(OBJECTIVES, KEYS, {"samples": 3000})
    placed: dict[str, list[str]] = {section["name"]: [] for section in sections}
    for chart in charts:
        placed[chart["metricSectionId"]] += chart.get("imageKeys") or [chart["metricKey"]]
    assert placed == {
        "last evaluation": ["eval/recall", "eval/precision"],
        "losses": ["generator/total", "discriminator/total", "discriminator/d"],
        "evaluation by step": ["eval/recall", "eval/precision"],
        "terms of one objective alone": ["discriminator/penalty", "generator/g", "generator/g2"],
        "losses on held-out data": ["held_out/generator/g"],
        "gradient norms and others": [
            *("discriminator/gradient_norm", "generator/gradient_norm", "non_finite_values"),
        ],
        "pictures of runs that are not grouped": ["samples"],
    }
    unfolded = [section["name"] for section in sections if section["display"]]
    assert unfolded == ["last evaluation", "losses", "evaluation by step"]
    assert len({chart["uuid"] for chart in charts}) == len(charts)
    # Without the number the front end smooths the lines.
    assert all(chart["lineSmoothness"] == 0 for chart in charts if chart["type"] == "LINE")


def test_a_view_says_which_runs_it_shows_and_how() -> None:
    state = json.loads(json.dumps(views.view("a-study", OBJECTIVES, KEYS, {})))
    assert state["searchFilter"] == "tags.`genloss.study` = 'a-study'"
    assert state["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "objective"}]
    assert state["groupsExpanded"] == {"param.objective.plain": False, "param.objective.penalised": False}
    assert "compareRunCharts" not in views.view("a-study", OBJECTIVES, [], {})
