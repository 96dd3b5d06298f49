"""The address of MLflow's store: checked, and made into text, without MLflow's slow import."""

from __future__ import annotations

import os
import re
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from genloss.errors import TrackingError, did_you_mean
from genloss.tracking import DEFAULT_URI

SETTING = "MLFLOW_TRACKING_URI"
DATABASES = ("postgresql", "mysql", "mssql")
SCHEMES = ("sqlite", *DATABASES, "http", "https", "databricks", "databricks-uc", "uc")
PLUGINS = "mlflow.tracking_store"
"""Entry points by which others teach MLflow a scheme."""

SECRET = re.compile(r"^([^:/?#]+://|(?![^:/?#]+://))(?:[^/?#]*@|[^:/@]*:[^@]*@)")
"""User and password, also where what is not quoted in them makes another address of the rest."""

HOST = re.compile(r"(localhost|[\w-]+(\.[\w-]+)*):\d+(/.*)?", re.ASCII)
SECRET_KEY = re.compile("pass|pwd|secret|token|key|auth|odbc_connect", re.IGNORECASE)
PLAIN = re.compile(r"[A-Za-z0-9/._+-]*")
"""Paths that all who read an address understand alike, quoted or not."""


def resolve(configured: str | None = None) -> str:
    """The store's address: what is configured, else `MLFLOW_TRACKING_URI`, else a file in the working folder.

    The address of a page in the browser is taken for its server's.

    Raises:
        TrackingError: MLflow cannot use it, or only one process could.
    """
    given = (configured or os.environ.get(SETTING) or "").strip()  # a file with CRLF leaves a CR behind
    uri = given or DEFAULT_URI
    scheme, _, rest = uri.partition(":")
    shown = without_secrets(uri)
    if uri == "databricks":
        return uri
    if not uri.isprintable():
        raise TrackingError(f"{shown!r} is not an address of a store", hint=f"as in `{DEFAULT_URI}`")
    _check_form(uri, shown)
    scheme = scheme.lower()
    uri = f"{scheme}:{rest}"
    known = [*SCHEMES, *(entry.name for entry in entry_points(group=PLUGINS))]
    # Of a database, the driver may be named as well: `postgresql+psycopg`.
    kind = scheme.partition("+")[0]
    if kind not in known:
        raise TrackingError(
            f"MLflow knows no store whose address begins with `{scheme}://`",
            hint=did_you_mean(scheme, known) or "as in `http://localhost:5000`, or `sqlite:///mlflow.db`",
        )
    if kind in ("http", "https"):
        return _server(uri, shown)
    if kind == "sqlite":
        _check_file(uri)
    elif kind in DATABASES:
        _check_database(uri, shown)
    return uri


def _check_form(uri: str, shown: str) -> None:
    """Raise unless it has a scheme and `://`."""
    scheme, colon, rest = uri.partition(":")
    if colon and rest.startswith("//") and scheme != "file":
        return
    if HOST.fullmatch(shown):
        raise TrackingError(f"`{shown}` does not say how the server is asked", hint=f"write `http://{shown}`")
    if scheme in ("http", "https"):
        raise TrackingError(f"`{shown}` names no server", hint=f"write `{scheme}://{rest.lstrip('/')}`")
    if scheme == "sqlite":
        raise TrackingError(f"`{shown}` names no file", hint=f"write `sqlite:///{rest}`")
    if scheme == uri and uri.endswith((".db", ".sqlite", ".sqlite3")):
        raise TrackingError(f"`{uri}` is a file, and no address", hint=f"write `sqlite:///{uri}`")
    raise TrackingError(
        f"MLflow no longer keeps its records in plain files, as `{shown}` asks",
        hint=f"use a database, such as `{DEFAULT_URI}`; `mlflow migrate-filestore` makes one of files",
    )


def _server(uri: str, shown: str) -> str:
    """A server's address, without what a browser adds to it."""
    uri = uri.partition("#")[0]
    try:
        parts = urlsplit(uri)
        is_whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_whole = False
    if not is_whole:
        raise TrackingError(f"`{shown}` names no server", hint="as in `http://localhost:5000`")
    if parts.query:
        raise TrackingError(
            f"the address of a server has no `?`, as `{shown}` had",
            hint="a user is named by `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, or by "
            "`MLFLOW_TRACKING_TOKEN`",
        )
    return uri.rstrip("?/")


def _check_file(uri: str) -> None:
    """Raise where the address of an SQLite store is not that of a file."""
    rest = uri.partition("://")[2]
    name = rest.partition("?")[0]
    if name in ("", "/", "/:memory:"):
        raise TrackingError(
            f"`{uri}` is a store in memory, which no other process can see", hint=f"use `{DEFAULT_URI}`"
        )
    if not name.startswith("/"):
        raise TrackingError(
            f"`{uri}` names a host, and a file has none", hint=f"write `sqlite:///{rest}`: three slashes"
        )
    if name.startswith("/~"):
        path = os.path.expanduser(name[1:])  # noqa: PTH111 - of a user who is not there, it is the same again
        raise TrackingError(
            f"`{uri}` names a folder `~`, which only a shell takes for your home",
            hint=f"write `sqlite:///{path}`" if path.startswith("/") else None,
        )
    if name.endswith("/"):
        raise TrackingError(f"`{uri}` names a folder", hint=f"write `{uri.partition('?')[0]}mlflow.db`")


def _check_database(uri: str, shown: str) -> None:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(uri)
    except (ArgumentError, ValueError):  # whose words hold parts of the address
        raise TrackingError(
            f"`{shown}` is not an address of a database",
            hint="as in `postgresql://USER@HOST:5432/DATABASE`; what is in a password besides letters and "
            "digits is written as in `%40`",
        ) from None


def without_secrets(uri: str) -> str:
    """The address as it may be shown and recorded: without user, password and query.

    A file has none of these. By what is left, an address is known again in the user's own setting.
    """
    if is_file(uri):
        return uri
    return re.split(r"[?#]", SECRET.sub(r"\1", uri), maxsplit=1)[0]


def bears_secrets(uri: str) -> bool:
    """Return whether the address or its query has a password, or, on a server, a user or token."""
    if is_file(uri):
        return False
    match = SECRET.match(uri)
    user = match[0].removeprefix(match[1]) if match else ""
    asked = any(SECRET_KEY.search(key) for key, _ in parse_qsl(uri.partition("?")[2], keep_blank_values=True))
    return ":" in user or (bool(user) and is_server(uri)) or asked


def is_server(uri: str) -> bool:
    """Return whether the store is an MLflow server, to be asked over HTTP."""
    return uri.startswith(("http://", "https://"))


def is_file(uri: str) -> bool:
    """Return whether the store is an SQLite file."""
    return bool(re.match(r"sqlite(\+\w+)?:///", uri))


def path_of(uri: str, folder: Path | None = None) -> Path | None:
    """The file of an SQLite store, absolute; None for any other store.

    Args:
        uri: the store's address.
        folder: what a relative one is relative to; the working folder by default.
    """
    if not is_file(uri):
        return None
    from sqlalchemy import make_url

    name = make_url(uri).database or ""
    if name.startswith("file:"):
        name = unquote(name.removeprefix("file:"))
    return ((folder or Path.cwd()) / name).absolute()


def absolute(uri: str, folder: Path | None = None) -> str:
    """The same store's address, from any working folder.

    MLflow makes a folder of what follows `sqlite:///`, quoted or not; SQLAlchemy quotes it from 2.1 on. The
    address of a path that is not plain is therefore written as SQLite itself has it.
    """
    path = path_of(uri, folder)
    if path is None:
        return uri
    if PLAIN.fullmatch(str(path)):
        query = uri.partition("?")[2]
        return f"sqlite:///{path}" + (f"?{query}" if query else "")
    from sqlalchemy import URL

    url = URL.create("sqlite+pysqlite", database=f"file:{quote(str(path))}", query={"uri": "true"})
    return url.render_as_string()
