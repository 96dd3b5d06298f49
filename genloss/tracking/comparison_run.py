"""The comparison of a study as a run in MLflow, which bears the report.

It has no tag `genloss.study` and no param `objective`: no group, no chart and no search for a study's runs
sees it. It is found by its tags before it is made, and what is said of it overwrites what was said before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress

from mlflow import MlflowClient
from mlflow.entities import Run, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from genloss.record.files import publish
from genloss.record.folder import StudyFolder, digest
from genloss.tracking import paths
from genloss.tracking.note import Said
from genloss.tracking.tags import COMPARISON, CREATED, FLOORS, LONGEST_TAG, as_json
from genloss.tracking.target import Store, shortened

NAME = "comparison"
PLOTS = "plots"


def find_or_create(store: Store, study: str) -> Run:
    """The comparison run of a study."""
    client: MlflowClient = store.client
    tags = {COMPARISON: study, CREATED: str(store.content["created"])}
    wanted = " AND ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    newest = ["attributes.start_time DESC"]

    def find() -> Run:
        for found in client.search_runs([store.experiment_id], wanted, max_results=1, order_by=newest):
            return found
        return client.create_run(store.experiment_id, time.time_ns() // 1_000_000, tags, run_name=NAME)

    return store.delivery.call(find)


def write(
    store: Store, folder: StudyFolder, run: Run, said: Said, links: str, floors: Mapping[str, float]
) -> None:
    """Says what there is to say in the comparison run of a study, and sends what there is of the report.

    Args:
        store: where it goes.
        folder: the study's.
        run: the comparison run.
        said: of the study.
        links: to more of it.
        floors: what a perfect model would get, by metric.

    Raises:
        MlflowException: MLflow refuses it.
        requests.HTTPError: the store of the artifacts does.
        RunGone: it was deleted in the meantime.
    """
    run_id = run.info.run_id
    known = {name: value for name, value in floors.items() if math.isfinite(value)}
    text = "\n\n".join([links, said.within(LONGEST_TAG - len(links) - 2)])
    tags = {**store.content["tags"], FLOORS: as_json(known), MLFLOW_RUN_NOTE: text}
    for rejection in store.delivery.log(
        store.client, run_id, tags=[RunTag(key, shortened(value, LONGEST_TAG)) for key, value in tags.items()]
    ):
        store.tell(f"the comparison: MLflow did not take `{rejection.item.key}`: {rejection.reason}")
    _ship(store, folder, run_id)
    if run.info.status != "FINISHED":
        store.delivery.call(store.client.set_terminated, run_id, "FINISHED")


def address(folder: StudyFolder, experiment_id: str, run_id: str) -> str:
    """The report's address within MLflow's front end; nothing where there is no report."""
    if not folder.report.exists():
        return ""
    page = f"{run_id}/artifacts/{folder.report.name}?workflowType=machine_learning"
    return f"#/experiments/{experiment_id}/runs/{page}"


def _ship(store: Store, folder: StudyFolder, run_id: str) -> None:
    """Sends the report and its plots, and keeps in mind which report MLflow has."""
    for plot in sorted((folder.path / PLOTS).glob("*.png")):
        _send(store, folder, run_id, f"{PLOTS}/{plot.name}", PLOTS)
    if folder.report.exists():
        known = digest(folder.report.read_bytes())
        if _send(store, folder, run_id, folder.report.name, None):
            with suppress(OSError):  # a full disk: it is shipped once more
                publish(folder.shipped_report, known.encode())


def _send(store: Store, folder: StudyFolder, run_id: str, name: str, to: str | None) -> bool:
    """Sends a file, if it is one and the study's own."""
    try:
        path = paths.own(folder.path, name)
    except paths.Refused as error:
        store.tell(f"the comparison: `{name}` is not sent: {error}")
        return False

    def send() -> bool:
        if not path.exists():  # another report is being written
            return False
        store.client.log_artifact(run_id, str(path), to)
        return True

    return store.delivery.call(send)
