"""Opening MLflow's store safely.

A fresh SQLite store takes some seventy migrations, which MLflow neither locks nor makes safe against a
crash. Here it is built under a lock, in a file beside the place it is meant for, and renamed when it is
whole. And a store of another version of MLflow is refused before MLflow touches it.
"""

from __future__ import annotations

import logging
import os
import shlex
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mlflow
import requests
import sqlalchemy
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.uri import add_databricks_profile_info_to_artifact_uri
from sqlalchemy.pool import NullPool

from genloss.errors import MissingStoreError, TrackingError
from genloss.record import owner
from genloss.text import one_line
from genloss.tracking import address, moved, probe
from genloss.tracking.tags import LONGEST_EXPERIMENT_TAG, LONGEST_TAG

ARTIFACTS = "mlruns"
"""Where MLflow puts the artifacts of a store that is not a server, in the working folder."""

LONGEST_REASON = 120
"""Characters."""

NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs"}
    | {"gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"}
)


def connect(uri: str, *, create: bool = True) -> MlflowClient:
    """A client of the store, which is created where it is a missing SQLite file.

    A server is asked whether it is one of MLflow's.

    Raises:
        TrackingError: the store cannot be used, now or later. What may pass (see `is_transient`) is raised as
            it comes.
    """
    _quiet()
    if address.is_server(uri):
        probe.check(uri)
    if address.is_server(uri) or uri.startswith("databricks"):
        return MlflowClient(_without_user(uri))
    path = address.path_of(uri)
    # MLflow keeps what it has opened by its address, also after a change of the working folder.
    absolute = address.absolute(uri)
    if path is not None:
        if path.is_dir():
            raise TrackingError(f"the MLflow store `{path}` is a folder", hint="name a file in it")
        if not _is_there(path):
            if not create:
                raise MissingStoreError(f"there is no MLflow store `{path}`", hint="`genloss run` makes one")
            _create(path)
    _check_schema(absolute, address.without_secrets(uri))
    if path is not None:
        _follow(absolute, path, at_once=create)
    client = MlflowClient(absolute)
    client.search_experiments(max_results=1)
    return client


def experiment(client: MlflowClient, name: str) -> str:
    """The id of the experiment of that name, which is created if need be.

    Raises:
        TrackingError: it was deleted.
    """
    found = find_experiment(client, name)
    if found is None:
        try:
            return str(client.create_experiment(name, _artifacts(client.tracking_uri)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = find_experiment(client, name)
    assert found is not None
    return str(found.experiment_id)


def find_experiment(client: MlflowClient, name: str) -> Experiment | None:
    """The experiment of that name.

    Raises:
        TrackingError: it was deleted.
    """
    found = client.get_experiment_by_name(name)
    if found is not None:
        check_active(client, found)
    return found


def set_experiment_tag(
    client: MlflowClient, experiment_id: str, key: str, value: Callable[[int], str]
) -> None:
    """Set a tag of an experiment that is as long as the store takes it.

    Args:
        client: of the store.
        experiment_id: MLflow's.
        key: the tag's.
        value: gives it in at most so many characters.

    Raises:
        MlflowException: it is refused, however short it is.
    """
    try:
        client.set_experiment_tag(experiment_id, key, value(LONGEST_EXPERIMENT_TAG))
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        client.set_experiment_tag(experiment_id, key, value(LONGEST_TAG))


def artifacts_of(client: MlflowClient, run_id: str) -> Any:
    """A run's artifacts, to be listed and downloaded: MLflow's `ArtifactRepository`.

    Its client would look for models among them as well, which servers before 3.0 cannot answer.
    """
    uri = client.get_run(run_id).info.artifact_uri
    uri = add_databricks_profile_info_to_artifact_uri(uri, client.tracking_uri)  # type: ignore[no-untyped-call]
    return get_artifact_repository(uri, tracking_uri=client.tracking_uri)


def check_active(client: MlflowClient, experiment: Experiment) -> None:
    """Return whether an experiment can be written to.

    Raises:
        TrackingError: it was deleted.
    """
    if experiment.lifecycle_stage != "active":
        uri = shlex.quote(address.without_secrets(client.tracking_uri))
        raise TrackingError(
            f"the MLflow experiment `{experiment.name}` was deleted, and a deleted experiment keeps its name",
            hint=f"restore it with `MLFLOW_TRACKING_URI={uri} mlflow experiments restore "
            f"--experiment-id {experiment.experiment_id}`, or set another `tracking.experiment`",
        )


def download(run_id: str, artifact: str, uri: str) -> Path:
    """A run's artifact, as a file or folder here; one that is here already is not copied.

    Args:
        run_id: MLflow's id of the run.
        artifact: its path among the run's artifacts.
        uri: the store's address.

    Raises:
        TrackingError: there is no such run or artifact, or no such store.
    """
    try:
        path = Path(artifacts_of(connect(uri, create=False), run_id).download_artifacts(artifact))
    except (MlflowException, OSError, sqlalchemy.exc.SQLAlchemyError) as error:
        raise TrackingError(f"MLflow does not give `{artifact}` of run `{run_id}`: {error}") from error
    if not path.exists():
        raise TrackingError(f"MLflow does not give `{artifact}` of run `{run_id}`: `{path}` is not there")
    return path


def settle(uri: str) -> None:
    """Checkpoint an SQLite store's log into its file, unless it is in use, so that a copy is complete."""
    path = address.path_of(uri)
    if path is not None and _is_there(path):
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=1.0)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def is_transient(error: Exception) -> bool:
    """Return whether an error may pass, by itself or by what a person does.

    Such are a lock, an outage, a full disk, a wrong password, an experiment that was just deleted.
    """
    if isinstance(error, MlflowException):
        status = _status(error)
    elif isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
    else:
        return isinstance(error, OSError | sqlalchemy.exc.OperationalError | sqlalchemy.exc.TimeoutError)
    return status >= 500 or status in (401, 403, 408, 409, 429)


def _status(error: MlflowException) -> int:
    return int(error.get_http_status_code())  # type: ignore[no-untyped-call]


def trouble(error: Exception) -> str:
    """What is wrong with a store, as the end of a sentence about its address."""
    if isinstance(error, probe.Refused):
        return str(error)
    if isinstance(error, MlflowException) and (status := _status(error)) in (401, 403):
        return probe.refusal(status)
    return f"does not answer: {reason(error)}"


def reason(error: BaseException) -> str:
    """Why a call failed, in a few words; MLflow's own messages describe every layer down to the socket."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror.lower()
        inner = inner.__cause__ or inner.__context__
    text = (str(error) or type(error).__name__).split("\n", 1)[0]
    return one_line(text, LONGEST_REASON)


def _quiet() -> None:
    """Keep to themselves what MLflow and alembic remark; what goes wrong is raised as well as logged."""
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def _without_user(uri: str) -> str:
    """A server's address, whose user and password MLflow reads in the environment from now on.

    It would repeat the whole address in each of its errors.
    """
    parts = urlsplit(uri)
    if parts.username:
        os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
        os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
        os.environ.pop("MLFLOW_TRACKING_TOKEN", None)
    return address.without_secrets(uri)


def _follow(uri: str, path: Path, *, at_once: bool) -> None:
    """Let what was moved with the store be found; who only reads can do without."""
    try:
        with sqlalchemy.create_engine(uri, poolclass=NullPool).begin() as connection:
            moved.follow(connection, path.parent / ARTIFACTS)
    except sqlalchemy.exc.OperationalError:
        if at_once:
            raise


def _artifacts(uri: str) -> str | None:
    """Where the artifacts of a new experiment go; None where a server decides.

    MLflow itself would take the working folder's path for an address, in which `#` and `%` mean something.
    """
    if address.is_server(uri) or uri.startswith("databricks"):
        return None
    return (Path.cwd() / ARTIFACTS / uuid.uuid4().hex).as_uri()


def _is_there(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with owner.exclusive(path.with_name(f"{path.name}.lock")):
        if _is_there(path):
            return
        part = path.with_name(f"{path.name}.part")
        for leftover in path.parent.glob(f"{part.name}*"):
            leftover.unlink()
        root = (Path.cwd() / ARTIFACTS).as_uri()
        SqlAlchemyStore(address.absolute(f"sqlite:///{part.name}", part.parent), root).engine.dispose()  # type: ignore[no-untyped-call]
        if not _on_network(path.parent):
            # Readers and the writer no longer wait for each other.
            with closing(sqlite3.connect(part)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
        for left in ("-wal", "-shm"):  # of a store that was deleted without them; SQLite would mix them in
            path.with_name(f"{path.name}{left}").unlink(missing_ok=True)
        part.replace(path)


def _on_network(folder: Path) -> bool:
    """Return whether the folder lies on a network file system, where WAL is not safe; known on Linux only."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return False
    found = [
        line.split() for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    ]
    around = [(len(point), kind) for _, point, kind, *_ in found if folder.resolve().is_relative_to(point)]
    return max(around, default=(0, ""))[1] in NETWORK_FILE_SYSTEMS


def _check_schema(uri: str, shown: str) -> None:
    """MLflow itself would migrate some old stores unasked.

    Raises:
        TrackingError: the store is of another MLflow, is not a database, or has no driver here.
    """
    try:
        engine = sqlalchemy.create_engine(uri, poolclass=NullPool)
        with engine.connect() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
    except sqlalchemy.exc.OperationalError:
        raise
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        raise TrackingError(f"the MLflow store `{shown}` cannot be opened: {error}") from error
    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    if revision in (None, scripts.get_current_head()):
        return
    upgrade = f"`mlflow db upgrade {shlex.quote(shown)}`"
    try:
        scripts.get_revision(revision)
    except CommandError as error:
        raise TrackingError(
            f"the MLflow store `{shown}` is of a newer MLflow than the installed {mlflow.__version__}",
            hint=f"`pip install --upgrade mlflow`; if that one is newer than the store in turn, {upgrade}",
        ) from error
    raise TrackingError(
        f"the MLflow store `{shown}` is of an older MLflow than the installed {mlflow.__version__}",
        hint=f"make a copy of it, then run {upgrade}",
    )
