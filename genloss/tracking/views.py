"""What MLflow's UI opens with: a study's comparison; and its samples.

A view is a tag of the experiment, which the address of the page names. Its JSON is the front end's own state
(`ExperimentPageUIState` and `RunsChartsCardConfig` there), tried on 3.17. What is left out is not always
the default: a line without `lineSmoothness`, say, is smoothed.

What the front end cannot do there: it draws no pictures of groups, so the samples have a view of their own,
of one seed's runs, in which it shows ten at most; it draws no bands or intervals in bars; it averages what
runs it has loaded, which are a hundred at first; it chooses the groups' colours by their names, also such as
can hardly be told apart; its list cuts their names off, and its legends have two lines; its axes of params
are linear, and it knows no means of params that are no numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from mlflow import MlflowClient

from genloss.errors import TrackingError
from genloss.tracking import address, store
from genloss.tracking.tags import LONGEST_EXPERIMENT_TAG

VIEW_TAG = "mlflow.sharedViewState."
KIND_TAG, KIND = "mlflow.experimentKind", "custom_model_development"
SAMPLES = ".samples"
"""What the name of a study's second view ends with."""

METRICS, HELD_OUT, COST = "eval/", "held_out/", "cost/"
LATE = ("non_finite_values", "cost/seconds", "cost/peak_memory")
"""Metrics that a run gets when it ends, if at all."""

MOST_GROUPS, SHOWN_GROUPS = 30, "FIRST_20_RUNS"
"""The number of groups drawn at first; of a sweep or a search, the best ones."""

LOADED = 100
"""Runs that the front end loads at first: of more, a group's mean is over those that are loaded."""

MOST_TERMS = 6
"""Terms of a player that are shown unfolded, beside its total."""

MOST_SWEPT = 4
"""Values of a sweep or a search that have a chart of their own."""

WITHOUT_SECTION = "Model metrics"
"""Where the front end puts metrics without a `/`."""


def page(host: str, experiment_id: str, study: str) -> str:
    """The address of a study's comparison on an MLflow server."""
    return f"{address.without_secrets(host).rstrip('/')}/{within(experiment_id, study)}"


def within(experiment_id: str, name: str) -> str:
    """The address of a view within the front end."""
    query = f"compareRunsMode=CHART&workflowType=machine_learning&viewStateShareKey={quote(name)}"
    return f"#/experiments/{experiment_id}/runs?{query}"


def find(uri: str, study: Mapping[str, Any]) -> str:
    """The experiment's id of a study that is in MLflow, where the study's view is, too, afterwards.

    Args:
        uri: the store's address.
        study: what its study.json says.

    Raises:
        TrackingError: the store does not have it.
    """
    name = study["experiment_name"]
    try:
        client = store.connect(uri, create=False)
        found = store.find_experiment(client, name)
        if found is None:
            raise TrackingError(f"MLflow has no experiment `{name}` in `{address.without_secrets(uri)}`")
        if VIEW_TAG + study["study"] not in found.tags:
            write(client, found.experiment_id, study, [], {})
    except Exception as error:
        if store.is_transient(error):
            raise TrackingError(
                f"the MLflow store `{address.without_secrets(uri)}` {store.trouble(error)}"
            ) from error
        raise
    return str(found.experiment_id)


def write(
    client: MlflowClient,
    experiment_id: str,
    study: Mapping[str, Any],
    keys: Iterable[str],
    pictures: Mapping[str, int],
) -> None:
    """Write a study's views, with charts of the metrics and pictures that are known by now.

    Args:
        client: of the store.
        experiment_id: MLflow's.
        study: what its study.json says.
        keys: of the metrics.
        pictures: the last step of each kind of picture.
    """
    client.set_experiment_tag(experiment_id, KIND_TAG, KIND)
    known, name = list(keys), study["study"]
    views = {"": comparison, **({SAMPLES: samples} if pictures else {})}
    for suffix, view in views.items():
        store.set_experiment_tag(
            client, experiment_id, VIEW_TAG + name + suffix, partial(view, study, known, pictures)
        )


def comparison(
    study: Mapping[str, Any],
    keys: Sequence[str],
    pictures: Mapping[str, int],
    longest: int = LONGEST_EXPERIMENT_TAG,
) -> str:
    """The view of the comparison, as JSON that fits a tag: groups of objectives, folded, seeds averaged."""
    objectives = study["experiment"]["objectives"]
    state = _state(study)
    state["groupBy"] = {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "param", "groupByData": "objective"}],
    }
    state["useGroupedValuesInCharts"] = True
    state["groupsExpanded"] = {f"param.objective.{objective['name']}": False for objective in objectives}
    if len(objectives) > MOST_GROUPS:
        state["runsHiddenMode"] = SHOWN_GROUPS
    if not keys:
        return _json(state)
    sections = layout(study, keys, pictures)
    for groups in ("groupsExpanded", ""):
        less = {**state, "groupsExpanded": state.get(groups, {})}
        for listed in (sections, _without_folded(sections, keys)):
            content = _json({**less, **_charts(listed)})
            if len(content) <= longest:
                return content
    # The front end then makes a chart of each metric by itself.
    return _json(state | {"groupsExpanded": {}})


def samples(
    study: Mapping[str, Any],
    keys: Sequence[str],
    pictures: Mapping[str, int],
    longest: int = LONGEST_EXPERIMENT_TAG,
) -> str:
    """The view of the samples, as JSON: pictures of all objectives with the first seed, side by side."""
    experiment = study["experiment"]
    state = _state(study)
    state["searchFilter"] += f" AND params.`seed` = '{experiment['seeds'][0]}'"
    state["runsHiddenMode"] = "FIRST_10_RUNS"
    if len(experiment["objectives"]) <= 10:
        # The front end draws the pictures in the opposite order.
        state["orderByAsc"] = not state["orderByAsc"]
    shown = Section("samples", [_picture(key, step) for key, step in pictures.items()], columns=1, height=800)
    content = _json(state | _charts([shown, *_by_prefix(keys)]))
    return content if len(content) <= longest else _json(state | _charts([shown]))


def _state(study: Mapping[str, Any]) -> dict[str, Any]:
    """What both views have: the study's runs, those of a sweep or a search the best first."""
    order, ascending = "attributes.start_time", True
    metric, experiment = _deciding(study), study["experiment"]
    # The best runs are no groups: where not all are loaded, the first seeds of all objectives are to be.
    is_whole = _runs(experiment) <= LOADED or len(experiment["seeds"]) == 1
    if _swept(experiment) and metric in study["metrics"] and is_whole:
        ascending = not study["metrics"][metric]["higher_is_better"]
        order = f"metrics.`{METRICS}{metric}`"
    return {
        "searchFilter": f"tags.`genloss.study` = '{study['study']}'",
        "orderByKey": order,
        "orderByAsc": ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "groupBy": None,
        "runsHiddenMode": "SHOW_ALL",
        "runsHidden": [],
        "runsPinned": [],
        "hideEmptyCharts": True,
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        name: what stands above it.
        charts: in their order, each of its own type.
        unfolded: whether it is shown unfolded; what is folded costs the front end nothing.
        columns: charts beside each other.
        height: of a chart, in pixels.
    """

    name: str
    charts: Sequence[Mapping[str, Any]]
    unfolded: bool = True
    columns: int = 3
    height: int = 300


def layout(study: Mapping[str, Any], keys: Sequence[str], pictures: Mapping[str, int]) -> list[Section]:
    """The sections with their charts: what decides comes first.

    Args:
        study: what its study.json says.
        keys: of the metrics.
        pictures: the last step of each kind of picture.
    """
    experiment = study["experiment"]
    objectives = experiment["objectives"]
    terms = [
        f"{player}/{term['name']}"
        for objective in objectives
        for player, listed in objective["players"].items()
        for term in listed
    ]
    players = dict.fromkeys(term.partition("/")[0] for term in terms)
    # Its total, then the terms that can be compared: all of them, where there is but one objective.
    losses = {
        player: [
            f"{player}/total",
            *[
                term
                for term in dict.fromkeys(terms)
                if term.startswith(f"{player}/") and (terms.count(term) > 1 or len(objectives) == 1)
            ][:MOST_TERMS],
        ]
        for player in players
    }
    shown = {key for listed in losses.values() for key in listed}
    evaluated = [key for key in keys if key.startswith(METRICS)]
    held_out = [key for key in keys if key.startswith(HELD_OUT)]
    alone = [key for key in keys if key in terms and key not in shown]
    every = dict.fromkeys([*keys, *LATE])
    cost = [key for key in every if key.startswith(COST)]
    others = [key for key in every if key not in {*shown, *evaluated, *held_out, *alone, *cost}]
    number = _runs(experiment)
    loaded = f" of the runs that are loaded: {LOADED} of {number} at first" if number > LOADED else ""
    bars = 260 + 8 * min(max(len(objectives) - 8, 0), 40)
    sections = [
        Section(f"by value{loaded}", _against(_swept(experiment), _deciding(study)), height=400),
        Section(f"last evaluation{loaded}", [_chart("BAR", key) for key in evaluated], height=bars),
        Section("evaluation by step", _lines(evaluated)),
        *[
            Section(
                f"{player} losses",
                _lines([key for key in listed if key in keys]),
                columns=3 if len(listed) > 2 else 2,
                height=360,
            )
            for player, listed in losses.items()
        ],
        Section("other terms of the losses", _lines(alone), unfolded=False),
        Section("losses on held-out data", _lines(held_out), unfolded=False),
        Section("gradient norms and others", _lines(others), unfolded=False),
        Section("cost", [_chart("BAR", key) for key in cost], unfolded=False, height=bars),
        Section(
            "samples (where runs are not grouped)",
            [_picture(key, step) for key, step in pictures.items()],
            unfolded=False,
            columns=1,
            height=800,
        ),
    ]
    return [section for section in sections if section.charts]


def _lines(keys: Iterable[str]) -> list[dict[str, Any]]:
    return [_chart("LINE", key, lineSmoothness=0) for key in keys]


def _chart(kind: str, key: str, **more: Any) -> dict[str, Any]:
    return {"uuid": f"{kind} {key}", "type": kind, "metricKey": key, **more}


def _picture(key: str, step: int) -> dict[str, Any]:
    return {
        "uuid": f"IMAGE {key}",
        "type": "IMAGE",
        "imageKeys": [key],
        "step": step,
        "showRunParams": False,
    }


def _runs(experiment: Mapping[str, Any]) -> int:
    """The planned number of runs."""
    return len(experiment["objectives"]) * len(experiment["seeds"])


def _deciding(study: Mapping[str, Any]) -> str:
    """The metric that a search follows, or the first."""
    search = study["experiment"].get("search") or {}
    return str(search.get("metric") or next(iter(study["metrics"]), ""))


def _against(params: Sequence[str], name: str) -> list[dict[str, Any]]:
    """A metric against the values of a sweep or a search: all of them together, and each."""
    if not params or not name:
        return []
    metric = f"{METRICS}{name}"
    charts: list[dict[str, Any]] = []
    if len(params) > 1:
        charts.append(
            {
                "uuid": "PARALLEL",
                "type": "PARALLEL",
                "selectedParams": list(params),
                "selectedMetrics": [metric],
                "showAllRuns": True,
            }
        )
    for param in params[:MOST_SWEPT]:
        axes = {"xaxis": {"key": param, "type": "PARAM"}, "yaxis": {"key": metric, "type": "METRIC"}}
        charts.append({"uuid": f"SCATTER {param}", "type": "SCATTER", **axes})
    return charts


def _swept(experiment: Mapping[str, Any]) -> list[str]:
    """The params that a sweep or a search varies, as MLflow has them, if they are numbers."""
    values: dict[str, list[Any]] = {}
    for objective in experiment["objectives"]:
        for path, value in (objective.get("point") or {}).items():
            values.setdefault(path, []).append(value)
    for path, space in ((experiment.get("search") or {}).get("space") or {}).items():
        values.setdefault(path, []).extend(space.get("choice") or [])
    numeric = [path for path, found in values.items() if all(type(value) in (int, float) for value in found)]
    return list(dict.fromkeys(map(_param, numeric)))


def _param(path: str) -> str:
    """What MLflow's param is called that a dotted path of the experiment sets."""
    return re.sub(r"\boptimizer\.(?!name$)", "optimizer.options.", re.sub(r"^objectives\.[^.]+\.", "", path))


def _without_folded(sections: Sequence[Section], keys: Sequence[str]) -> list[Section]:
    """The sections that are unfolded; the front end makes the charts of the others, in folded sections."""
    unfolded = [section for section in sections if section.unfolded]
    charted = {chart.get("metricKey") for section in unfolded for chart in section.charts}
    return [*unfolded, *_by_prefix(key for key in [*keys, *LATE] if key not in charted)]


def _by_prefix(keys: Iterable[str]) -> list[Section]:
    """Folded sections that have the names which the front end gives to those that it makes itself."""
    names = dict.fromkeys(key.rpartition("/")[0] or WITHOUT_SECTION for key in [*keys, *LATE])
    return [Section(name, [], unfolded=False) for name in names]


def _charts(sections: Sequence[Section]) -> dict[str, Any]:
    """The sections as the front end has them."""
    charts = [
        {**chart, "metricSectionId": section.name, "deleted": False, "isGenerated": False}
        for section in sections
        for chart in section.charts
    ]
    described = [
        {
            "uuid": section.name,
            "name": section.name,
            "display": section.unfolded,
            "columns": section.columns,
            "cardHeight": section.height,
            "isReordered": True,
            "deleted": False,
            "isGenerated": False,
        }
        for section in sections
    ]
    # `isAccordionReordered` keeps the front end from sorting the sections by name.
    return {"compareRunCharts": charts, "compareRunSections": described, "isAccordionReordered": True}


def _json(state: Mapping[str, Any]) -> str:
    return json.dumps(state, separators=(",", ":"))
