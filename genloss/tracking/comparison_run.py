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
from mlflow.entities import Run, RunTag, ViewType
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from genloss.record.files import publish
from genloss.record.folder import GIT_DIFF, StudyFolder, digest
from genloss.tracking import paths
from genloss.tracking.delivery import RunGone
from genloss.tracking.note import Said
from genloss.tracking.store import reason
from genloss.tracking.tags import COMPARISON, CREATED, LONGEST_TAG, REFERENCES, as_json
from genloss.tracking.target import StudyContext, shortened

NAME = "comparison"
PLOTS = "plots"


def find_or_create(store: StudyContext, study: str) -> Run:
    """The comparison run of a study."""
    client: MlflowClient = store.client
    tags = _tags(study, store.content["created"])

    def find() -> Run:
        for found in search(client, store.experiment_id, study, store.content["created"]):
            return found
        return client.create_run(store.experiment_id, time.time_ns() // 1_000_000, tags, run_name=NAME)

    return store.delivery.call(find)


def search(
    client: MlflowClient, experiment_id: str, study: str, created: int, which: int = ViewType.ACTIVE_ONLY
) -> list[Run]:
    """The newest comparison run of a study, if there is one."""
    wanted = " AND ".join(f"tags.`{key}` = '{value}'" for key, value in _tags(study, created).items())
    newest = ["attributes.start_time DESC"]
    return list(client.search_runs([experiment_id], wanted, which, max_results=1, order_by=newest))


def _tags(study: str, created: int) -> dict[str, str]:
    """By which it is found."""
    return {COMPARISON: study, CREATED: str(created)}


def write(
    store: StudyContext,
    folder: StudyFolder,
    run: Run,
    said: Said,
    links: str,
    references: Mapping[str, float],
) -> bool:
    """Report what there is to say in the comparison run of a study, and send what there is of the report.

    Args:
        store: where it goes.
        folder: the study's.
        run: the comparison run.
        said: of the study.
        links: to more of it.
        references: what real data gets in place of samples, by metric.

    Returns:
        Whether MLflow has all of the report.

    Raises:
        MlflowException: MLflow refuses what is said.
        RunGone: it was deleted in the meantime.
    """
    run_id = run.info.run_id
    known = {name: value for name, value in references.items() if math.isfinite(value)}
    text = "\n\n".join([links, said.within(LONGEST_TAG - len(links) - 2)])
    tags = {**store.content["tags"], REFERENCES: as_json(known), MLFLOW_RUN_NOTE: text}
    listed = [RunTag(key, shortened(value, LONGEST_TAG)) for key, value in tags.items()]
    try:
        for rejection in store.delivery.log(store.client, run_id, tags=listed):
            store.tell(f"the comparison: MLflow did not take `{rejection.item.key}`: {rejection.reason}")
        return _ship(store, folder, run_id)
    finally:
        if run.info.status != "FINISHED":
            store.delivery.call(store.client.set_terminated, run_id, "FINISHED")


def address(folder: StudyFolder, experiment_id: str, run_id: str) -> str:
    """The report's address within MLflow's front end; nothing where there is no report."""
    if not folder.report.exists():
        return ""
    page = f"{run_id}/artifacts/{folder.report.name}?workflowType=machine_learning"
    return f"#/experiments/{experiment_id}/runs/{page}"


def _ship(store: StudyContext, folder: StudyFolder, run_id: str) -> bool:
    """Send the git diff, the report and its plots, and keep in mind which report MLflow has."""
    files = [(f"{PLOTS}/{plot.name}", PLOTS) for plot in sorted((folder.path / PLOTS).glob("*.png"))]
    if (folder.path / GIT_DIFF).exists():
        files.append((GIT_DIFF, ""))
    known = ""
    if folder.report.exists():
        known = digest(folder.report.read_bytes())
        files.append((folder.report.name, ""))
    sent = [_send(store, folder, run_id, name, to) for name, to in files]
    if known and all(sent):
        with suppress(OSError):  # a full disk: it is shipped once more
            publish(folder.shipped_report, known.encode())
    return all(sent)


def _send(store: StudyContext, folder: StudyFolder, run_id: str, name: str, to: str) -> bool:
    """Send a file, if it is one and the study's own; return whether MLflow has it."""
    try:
        path = paths.own(folder.path, name)
    except paths.Refused as error:
        store.tell(f"the comparison: `{name}` is not sent: {error}")
        return False

    def send() -> None:
        path.stat()  # another report may be being written: then it is not there
        store.client.log_artifact(run_id, str(path), to or None)

    def check() -> None:
        if store.delivery.is_gone(store.client, run_id):
            raise RunGone(run_id)

    failure = store.delivery.attempt(send, check)
    if failure is not None:
        store.tell(f"the comparison: MLflow did not take `{name}`: {reason(failure)}")
    return failure is None
