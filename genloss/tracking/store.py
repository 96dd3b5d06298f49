"""Opening MLflow's store safely.

A fresh SQLite store takes some seventy migrations, which MLflow neither locks nor makes safe against a
crash. Here it is built under a lock, in a file beside the place it is meant for, and renamed when it is
whole. And a store of another version of MLflow is refused before MLflow touches it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import mlflow
import requests
import sqlalchemy
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.pool import NullPool

from genloss.errors import TrackingError

ARTIFACTS = "./mlruns"
"""Where MLflow puts the artifacts of a store that is no server, in the working folder."""

LONGEST_REASON = 120
"""Characters."""

NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs"}
    | {"gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"}
)


def is_server(uri: str) -> bool:
    """Whether the store is an MLflow server, to be asked over HTTP."""
    return uri.startswith(("http://", "https://"))


def shown(uri: str) -> str:
    """The address as it may be printed: without a password."""
    return uri if uri == "databricks" else sqlalchemy.make_url(uri).render_as_string(hide_password=True)


def connect(uri: str, *, create: bool = True) -> MlflowClient:
    """A client of the store, which is created where it is a missing SQLite file.

    A server is not asked for anything yet.

    Raises:
        TrackingError: the store cannot be used, now or later. What may pass (see `passing`) is raised as it
            comes.
    """
    _quiet()
    if is_server(uri) or uri.startswith("databricks"):
        return MlflowClient(uri)
    path = _path(uri)
    if path is not None and not _is_there(path):
        if not create:
            raise TrackingError(f"there is no MLflow store `{path}`", hint="`genloss run` makes one")
        _create(path)
    _check_schema(uri)
    # MLflow keeps what it has opened by its address, also after a change of the working folder.
    absolute = uri if path is None else sqlalchemy.make_url(uri).set(database=str(path))
    client = MlflowClient(str(absolute))
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
            return str(client.create_experiment(name))
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


def check_active(client: MlflowClient, experiment: Experiment) -> None:
    """Whether an experiment can be written to.

    Raises:
        TrackingError: it was deleted.
    """
    if experiment.lifecycle_stage != "active":
        uri = shlex.quote(shown(client.tracking_uri))
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
        path = Path(connect(uri, create=False).download_artifacts(run_id, artifact))
    except (MlflowException, OSError, sqlalchemy.exc.SQLAlchemyError) as error:
        raise TrackingError(f"MLflow does not give `{artifact}` of run `{run_id}`: {error}") from error
    if not path.exists():
        raise TrackingError(f"MLflow does not give `{artifact}` of run `{run_id}`: `{path}` is not there")
    return path


def settle(uri: str) -> None:
    """Brings an SQLite store's log into its file, unless somebody reads it: a copy of that is whole then."""
    path = _path(uri)
    if path is not None and _is_there(path):
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=1.0)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def passing(error: Exception) -> bool:
    """Whether an error may pass, by itself or by what a person does.

    Such are a lock, an outage, a full disk, a wrong password, an experiment that was just deleted.
    """
    if isinstance(error, MlflowException):
        status = int(error.get_http_status_code())  # type: ignore[no-untyped-call]
    elif isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
    else:
        return isinstance(error, OSError | sqlalchemy.exc.OperationalError | sqlalchemy.exc.TimeoutError)
    return status >= 500 or status in (401, 403, 408, 409, 429)


def reason(error: BaseException) -> str:
    """Why a call failed, in a few words; MLflow's message tells of each layer between it and the socket."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror.lower()
        inner = inner.__cause__ or inner.__context__
    text = (str(error) or type(error).__name__).split("\n", 1)[0]
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"


def _quiet() -> None:
    """Keeps to themselves what MLflow and alembic remark; what goes wrong is raised as well as logged."""
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def _path(uri: str) -> Path | None:
    """The file of an SQLite store; None for any other store, and for one in memory."""
    if not uri.startswith("sqlite:"):
        return None
    name = sqlalchemy.make_url(uri).database
    return Path(name).absolute() if name and name != ":memory:" else None


def _is_there(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.with_name(f"{path.name}.lock")):
        if _is_there(path):
            return
        part = path.with_name(f"{path.name}.part")
        for leftover in path.parent.glob(f"{part.name}*"):
            leftover.unlink()
        SqlAlchemyStore(f"sqlite:///{part}", ARTIFACTS).engine.dispose()  # type: ignore[no-untyped-call]
        if not _on_network(path.parent):
            # Readers and the writer no longer wait for each other.
            with closing(sqlite3.connect(part)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
        for left in ("-wal", "-shm"):  # of a store that was deleted without them; SQLite would mix them in
            path.with_name(f"{path.name}{left}").unlink(missing_ok=True)
        part.replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Waits for the lock file, and removes it afterwards."""
    while True:
        file = path.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        # Who held it before has removed it: this may be a file without a name by now.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()
    try:
        yield
    finally:
        path.unlink()
        file.close()


def _on_network(folder: Path) -> bool:
    """Whether the folder lies on a network file system, where WAL is not safe; known on Linux only."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return False
    found = [line.split() for line in mounts.read_text().splitlines()]
    around = [(len(point), kind) for _, point, kind, *_ in found if folder.resolve().is_relative_to(point)]
    return max(around, default=(0, ""))[1] in NETWORK_FILE_SYSTEMS


def _check_schema(uri: str) -> None:
    """MLflow itself would migrate some old stores unasked.

    Raises:
        TrackingError: the store is of another MLflow, is no database, or has no driver here.
    """
    address = shown(uri)
    try:
        engine = sqlalchemy.create_engine(uri, poolclass=NullPool)
        with engine.connect() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
    except sqlalchemy.exc.OperationalError:
        raise
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        raise TrackingError(f"the MLflow store `{address}` cannot be opened: {error}") from error
    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    if revision in (None, scripts.get_current_head()):
        return
    upgrade = f"`mlflow db upgrade {shlex.quote(address)}`"
    try:
        scripts.get_revision(revision)
    except CommandError as error:
        raise TrackingError(
            f"the MLflow store `{address}` is of a newer MLflow than the installed {mlflow.__version__}",
            hint=f"`pip install --upgrade mlflow`; if that one is newer than the store in turn, {upgrade}",
        ) from error
    raise TrackingError(
        f"the MLflow store `{address}` is of an older MLflow than the installed {mlflow.__version__}",
        hint=f"make a copy of it, then run {upgrade}",
    )
