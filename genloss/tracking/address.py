"""The address of MLflow's store, checked without MLflow, which takes seconds to import."""

from __future__ import annotations

import os
from importlib.metadata import entry_points

from genloss.errors import TrackingError, did_you_mean
from genloss.tracking import DEFAULT_URI

SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks", "databricks-uc", "uc")
PLUGINS = "mlflow.tracking_store"
"""Entry points by which others teach MLflow a scheme."""


def resolve(configured: str | None = None) -> str:
    """The store's address: what is configured, else `MLFLOW_TRACKING_URI`, else a file in the working folder.

    Raises:
        TrackingError: MLflow cannot use it, or only one process could.
    """
    uri = configured or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    scheme, colon, rest = uri.partition(":")
    if uri == "databricks":
        return uri
    if scheme == "file" or not (colon and rest.startswith("//")):
        raise TrackingError(
            f"MLflow no longer keeps its records in plain files, as `{uri}` asks",
            hint=f"use a database, such as `{DEFAULT_URI}`; `mlflow migrate-filestore` makes one of files",
        )
    known = [*SCHEMES, *(entry.name for entry in entry_points(group=PLUGINS))]
    # Of a database, the driver may be named as well: `postgresql+psycopg`.
    if scheme.partition("+")[0] not in known:
        raise TrackingError(
            f"MLflow knows no store whose address begins with `{scheme}://`",
            hint=did_you_mean(scheme, known) or "as in `http://localhost:5000`, or `sqlite:///mlflow.db`",
        )
    if scheme.startswith("sqlite") and rest.removeprefix("//").partition("?")[0] in ("", "/", "/:memory:"):
        raise TrackingError(
            f"`{uri}` is a store in memory, which no other process can see", hint=f"use `{DEFAULT_URI}`"
        )
    return uri
