"""What MLflow's UI opens with: a study's comparison.

A view is a tag of the experiment, which the address of the page names. Its JSON is the front end's own state
(`ExperimentPageUIState` and `RunsChartsCardConfig` there), tried on 3.17. What is left out is not always
the default: a line without `lineSmoothness`, say, is smoothed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from mlflow import MlflowClient

from genloss.errors import TrackingError
from genloss.tracking import store

VIEW_TAG = "mlflow.sharedViewState."
KIND_TAG, KIND = "mlflow.experimentKind", "custom_model_development"
LONGEST_TAG = 20_000


def page(host: str, experiment_id: str, study: str) -> str:
    """The address of a study's comparison on an MLflow server, without the password that `host` may bear."""
    parts = urlsplit(host)
    base = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
    query = f"compareRunsMode=CHART&workflowType=machine_learning&viewStateShareKey={quote(study)}"
    return f"{base}/#/experiments/{experiment_id}/runs?{query}"


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
            raise TrackingError(f"MLflow has no experiment `{name}` in `{store.shown(uri)}`")
        if VIEW_TAG + study["study"] not in found.tags:
            write(client, found.experiment_id, study["study"], study["experiment"]["objectives"], [], {})
    except Exception as error:
        if store.passing(error):
            raise TrackingError(
                f"the MLflow store `{store.shown(uri)}` does not answer: {store.reason(error)}"
            ) from error
        raise
    return str(found.experiment_id)


def write(
    client: MlflowClient,
    experiment_id: str,
    study: str,
    objectives: Sequence[Mapping[str, Any]],
    keys: Iterable[str],
    pictures: Mapping[str, int],
) -> None:
    """Writes a study's view, with charts of the metrics and pictures that are known by now.

    Args:
        client: of the store.
        experiment_id: MLflow's.
        study: the study's name, which is the view's too.
        objectives: of the experiment, as study.json has them.
        keys: of the metrics.
        pictures: the last step of each kind of picture.
    """
    client.set_experiment_tag(experiment_id, KIND_TAG, KIND)
    content = json.dumps(view(study, objectives, list(keys), pictures), separators=(",", ":"))
    if len(content) > LONGEST_TAG:
        # The front end then makes a chart of each metric by itself.
        content = json.dumps(view(study, objectives, [], {}), separators=(",", ":"))
    client.set_experiment_tag(experiment_id, VIEW_TAG + study, content)


def view(
    study: str, objectives: Sequence[Mapping[str, Any]], keys: Sequence[str], pictures: Mapping[str, int]
) -> dict[str, Any]:
    """The study's runs alone, grouped by objective, seeds averaged, the groups folded."""
    state: dict[str, Any] = {
        "searchFilter": f"tags.`genloss.study` = '{study}'",
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "param", "groupByData": "objective"}],
        },
        "groupsExpanded": {f"param.objective.{objective['name']}": False for objective in objectives},
        "useGroupedValuesInCharts": True,
        "runsHiddenMode": "SHOW_ALL",
        "runsHidden": [],
        "runsPinned": [],
        "hideEmptyCharts": True,
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }
    if keys:
        charts, sections = layout(objectives, keys, pictures)
        # `isAccordionReordered` keeps the front end from sorting the sections by name.
        state |= {"compareRunCharts": charts, "compareRunSections": sections, "isAccordionReordered": True}
    return state


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        name: what stands above it.
        charts: of what type its charts are.
        keys: of the metrics that it shows.
        unfolded: whether it is shown unfolded.
        columns: charts beside each other.
        height: of a chart, in pixels.
    """

    name: str
    charts: str
    keys: Sequence[str]
    unfolded: bool = True
    columns: int = 3
    height: int = 300


def layout(
    objectives: Sequence[Mapping[str, Any]], keys: Sequence[str], pictures: Mapping[str, int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The charts, and the sections that they stand in: what decides comes first."""

    terms = [
        f"{player}/{term['name']}"
        for objective in objectives
        for player, listed in objective["players"].items()
        for term in listed
    ]
    players = dict.fromkeys(term.partition("/")[0] for term in terms)
    totals = [f"{player}/total" for player in players]
    compared = [term for term in terms if terms.count(term) > 1]
    # By player: its total, then the terms that several objectives have.
    losses = [key for player in players for key in [*totals, *compared] if key.startswith(f"{player}/")]
    losses = [key for key in dict.fromkeys(losses) if key in keys]
    alone = [key for key in keys if key in terms and key not in compared]
    evaluated = [key for key in keys if key.startswith("eval/")]
    held_out = [key for key in keys if key.startswith("held_out/")]
    others = [key for key in keys if key not in {*losses, *alone, *evaluated, *held_out}]
    sections = [
        Section("last evaluation", "BAR", evaluated, height=260),
        Section("losses", "LINE", losses, columns=2, height=360),
        Section("evaluation by step", "LINE", evaluated),
        Section("terms of one objective alone", "LINE", alone, unfolded=False),
        Section("losses on held-out data", "LINE", held_out, unfolded=False),
        Section("gradient norms and others", "LINE", others, unfolded=False),
        # The front end draws no pictures for groups.
        Section("pictures of runs that are not grouped", "IMAGE", list(pictures), unfolded=False, height=500),
    ]
    charts = [
        {
            "uuid": f"{section.name} {key}",
            "metricSectionId": section.name,
            "type": section.charts,
            "deleted": False,
            "isGenerated": False,
            **({"metricKey": key} if key not in pictures else {"imageKeys": [key], "step": pictures[key]}),
            **({"lineSmoothness": 0} if section.charts == "LINE" else {}),
        }
        for section in sections
        for key in section.keys
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
        if section.keys
    ]
    return charts, described
