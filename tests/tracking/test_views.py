"""The address of the page, its layout, and the experiment's note."""

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
TABLE = "| objective | recall ↑ |\n| --- | ---: |\n| plain | 0.5 ± 0.1 |"


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


def test_a_note_has_the_newest_study_first_and_keeps_what_a_person_wrote() -> None:
    one = views.note("study-1", "What changes?", TABLE, "My own words.")
    two = views.note("study-2", "What changes?", TABLE, one)
    again = views.note("study-2", "What changes?", TABLE.replace("0.5", "0.7"), two)
    assert two.count("study-2") == again.count("study-2")
    assert again.index("**study-2**") < again.index("My own words.") < again.index("**study-1**")
    assert "`genloss ui study-2`" in again
    assert again.count("0.7 ± 0.1") == again.count("0.5 ± 0.1") == again.count("My own words.") == 1
    assert "| --- | ---: |" in again


def test_a_note_never_grows_over_mlflow_s_limit() -> None:
    text = "x" * 1000
    for number in range(150):
        text = views.note(f"study-{number}", "What changes?", TABLE, text)
        assert len(text) <= views.LONGEST_TAG
        assert f"**study-{number}**" in text
    assert "**study-0**" not in text
    assert "x" * 1000 in text
    huge = views.note("huge", "", "| x |\n" * 10_000, text)
    assert len(huge) <= views.LONGEST_TAG
    assert "too long" in huge


def test_a_view_says_which_runs_it_shows_and_how() -> None:
    state = json.loads(json.dumps(views.view("a-study", OBJECTIVES, KEYS, {})))
    assert state["searchFilter"] == "tags.`genloss.study` = 'a-study'"
    assert state["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "objective"}]
    assert state["groupsExpanded"] == {"param.objective.plain": False, "param.objective.penalised": False}
    assert "compareRunCharts" not in views.view("a-study", OBJECTIVES, [], {})
