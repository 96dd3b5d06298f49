"""Checks of the MLflow store before training starts."""

from __future__ import annotations

import os
from collections.abc import Iterator

from genloss.errors import ExperimentError, Location, TrackingError
from genloss.experiment.nodes import Node
from genloss.experiment.schema import Experiment
from genloss.planning.remarks import Remark
from genloss.tracking import address

NAME = "MLFLOW_EXPERIMENT_NAME"


def experiment_name(experiment: Experiment) -> str:
    """The experiment in MLflow: `tracking.experiment`, else `MLFLOW_EXPERIMENT_NAME`, else the name."""
    return experiment.tracking.experiment or os.environ.get(NAME, "").strip() or experiment.name


def check_store(experiment: Experiment, root: Node) -> Iterator[Remark]:
    """What is to be known of the store; whether a server that does not answer will, shows later.

    Raises:
        ExperimentError: MLflow knows no such store, or what answers there is no MLflow server.
    """
    written = experiment.tracking.uri
    where = root.at("tracking", "uri").where if written else Location(address.SETTING)
    if written and address.bears_secrets(written):
        raise ExperimentError(
            "`tracking.uri` bears a user's password or token, and an experiment is copied into its records",
            where=where,
            hint=f"name the user by `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, or set "
            f"`{address.SETTING}` to the whole address",
        )
    try:
        uri = address.resolve(written)
        if address.is_server(uri):
            yield from _server(uri, experiment_name(experiment), where)
    except TrackingError as error:
        raise ExperimentError(error.message, where=where, hint=error.hint) from None


def _server(uri: str, experiment: str, where: Location) -> Iterator[Remark]:
    import requests  # takes half a second, for servers alone

    from genloss.tracking import probe

    shown = address.without_secrets(uri)
    try:
        probe.check(uri)
        problem = probe.unwritable(uri, probe.artifacts(uri, experiment))
    except probe.Refused as error:
        yield Remark(
            f"the MLflow server `{shown}` {error}",
            where,
            "training does not wait for it",
        )
    except requests.RequestException:
        return
    else:
        if problem is not None:
            yield Remark(problem.message, where, problem.hint)
