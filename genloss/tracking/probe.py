"""A first look at a server, without MLflow's slow import: whether it is one, and where its artifacts go."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests

from genloss.errors import TrackingError
from genloss.tracking import address

SECONDS = 5.0
SIGNED = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")
"""Settings by which MLflow signs its requests in ways of its own."""

CREDENTIALS = Path("~/.mlflow/credentials")

LOOPBACK = ("localhost", "127.0.0.1", "::1")

CLIENTS = {
    "s3": ("boto3", "boto3"),
    "gs": ("google.cloud.storage", "google-cloud-storage"),
    "wasbs": ("azure.storage.blob", "azure-storage-blob azure-identity"),
    "abfss": ("azure.storage.filedatalake", "azure-storage-file-datalake azure-identity"),
    "hdfs": ("pyarrow", "pyarrow"),
    "sftp": ("pysftp", "pysftp"),
}
"""The module by which MLflow writes artifacts to a store of that scheme, and what pip installs it with."""

SERVE = (
    "start the server with `mlflow server --serve-artifacts`, its default, and without "
    "`--default-artifact-root`; an experiment that is there keeps its place, so that another "
    "`tracking.experiment` may be needed"
)


class Refused(OSError):
    """The server is MLflow's, or may be, and does not let this user in; that may pass."""


@dataclass(frozen=True)
class Unwritable:
    """Artifacts that will not be in MLflow: why, and what to do."""

    message: str
    hint: str


def check(uri: str) -> None:
    """Return whether there is an MLflow server that lets this user in.

    Args:
        uri: the server's address.

    Raises:
        TrackingError: what answers there is no MLflow server.
        Refused: it does not let the user in.
        requests.RequestException: it does not answer.
    """
    if _signs():
        return
    answer = _get(uri, "search", {"max_results": "1"})
    status = answer.status_code
    if status in (401, 403):
        raise Refused(refusal(status))
    if status in (408, 429) or status >= 500:
        answer.raise_for_status()
    if not _content(answer).keys() <= {"experiments", "next_page_token"} or status != 200:
        raise TrackingError(
            f"what answers at `{address.without_secrets(uri)}` is not an MLflow server "
            f"(HTTP status {status})",
            hint="a server behind a prefix has it in its address, as in `http://HOST/PREFIX`; so has the "
            "address of its page in a browser, up to the `#`",
        )


def refusal(status: int) -> str:
    """Why a server does not let a user in, and what says who asks."""
    who = "whoever it does not know" if status == 401 else "this user"
    return (
        f"refuses {who} (HTTP status {status}); `MLFLOW_TRACKING_USERNAME` and "
        "`MLFLOW_TRACKING_PASSWORD`, or `MLFLOW_TRACKING_TOKEN`, say who asks"
    )


def artifacts(uri: str, experiment: str) -> str:
    """Where the artifacts of an experiment on a server go, as MLflow has it; empty if that is not known.

    Args:
        uri: the server's address.
        experiment: its name; where there is none yet, the server's default counts.

    Raises:
        requests.RequestException: it does not answer.
    """
    if _signs():
        return ""
    for call, query in (("get-by-name", {"experiment_name": experiment}), ("get", {"experiment_id": "0"})):
        found = _content(_get(uri, call, query)).get("experiment")
        if isinstance(found, dict):
            return str(found.get("artifact_location", ""))
    return ""


def unwritable(uri: str, place: str) -> Unwritable | None:
    """Why this process cannot write where a server's artifacts go, as far as that can be known beforehand.

    Args:
        uri: the server's address.
        place: as `look` gives it.
    """
    parts = urlsplit(place)
    if parts.scheme in CLIENTS:
        module, package = CLIENTS[parts.scheme]
        if _is_installed(module):
            return None
        return Unwritable(
            f"MLflow's artifacts go to `{parts.scheme}://{parts.hostname or ''}`, for which `{module}` is "
            "missing here: only the values will be in MLflow",
            f"pip install {package}",
        )
    if not place or parts.scheme not in ("", "file"):
        return None
    path = Path(unquote(parts.path) if parts.scheme else place)
    nearest = next((each for each in (path, *path.parents) if each.exists()), Path("/"))
    is_here = urlsplit(uri).hostname in LOOPBACK or (path.exists() and path.is_dir())
    if is_here and os.access(nearest, os.W_OK):
        return None
    whose = "which cannot be written here" if is_here else "which is on the server's machine"
    return Unwritable(
        f"MLflow's artifacts go to the folder `{path}`, {whose}: only the values will be in MLflow", SERVE
    )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _signs() -> bool:
    """Return whether MLflow says who asks in ways of its own, so that nobody else can ask."""
    given = [os.environ.get(name, "").lower() for name in SIGNED]
    return any(value not in ("", "false", "0") for value in given) or CREDENTIALS.expanduser().exists()


def _get(uri: str, call: str, query: dict[str, str]) -> requests.Response:
    return requests.get(
        f"{address.without_secrets(uri)}/api/2.0/mlflow/experiments/{call}",
        params=query,
        timeout=SECONDS,
        allow_redirects=False,
        **_credentials(uri),
    )


def _content(answer: requests.Response) -> dict[str, Any]:
    """What an answer says; something that no server of MLflow's says where it is not a mapping."""
    try:
        content = answer.json()
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {"": ""}


def _credentials(uri: str) -> dict[str, Any]:
    """What MLflow itself would send: who asks, and how the server's certificate is checked."""
    own: dict[str, Any] = {}
    parts = urlsplit(uri)
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if parts.username:
        own["auth"] = (unquote(parts.username), unquote(parts.password or ""))
    elif user and password:
        own["auth"] = (user, password)
    elif token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        own["headers"] = {"Authorization": f"Bearer {token}"}
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        own["verify"] = False
    elif certificates := os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        own["verify"] = certificates
    if certificate := os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        own["cert"] = certificate
    return own
