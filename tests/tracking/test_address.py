"""An address is understood, or refused with the right form; and what is shown of it is not a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from genloss.errors import TrackingError
from genloss.tracking import address


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        (None, "sqlite:///mlflow.db"),
        ("  ", "sqlite:///mlflow.db"),
        ("http://host:5000 ", "http://host:5000"),
        ("sqlite:///mlflow.db\r", "sqlite:///mlflow.db"),
        ("HTTP://host:5000", "http://host:5000"),
        ("http://host:5000/#/experiments/3/runs?a=b", "http://host:5000"),
        ("https://host/prefix/", "https://host/prefix"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("postgresql+psycopg://me:p%40@host/db", "postgresql+psycopg://me:p%40@host/db"),
        ("sqlite:////data/ml%20flow.db?timeout=60", "sqlite:////data/ml%20flow.db?timeout=60"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
    ],
)
def test_what_is_understood(given: str | None, understood: str) -> None:
    assert address.resolve(given) == understood


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("localhost:5000", "write `http://localhost:5000`"),
        ("127.0.0.1:5000/prefix", "write `http://127.0.0.1:5000/prefix`"),
        ("mlflow.example.com:443", "write `http://mlflow.example.com:443`"),
        ("http:/host:5000", "write `http://host:5000`"),
        ("http:host", "write `http://host`"),
        ("http://", "as in `http://localhost:5000`"),
        ("http://host:port", "as in `http://localhost:5000`"),
        ("http://host?token=secret", "MLFLOW_TRACKING_TOKEN"),
        ("sqlite://mlflow.db", "write `sqlite:///mlflow.db`"),
        ("sqlite:mlflow.db", "write `sqlite:///mlflow.db`"),
        ("sqlite:/data/mlflow.db", "write `sqlite:////data/mlflow.db`"),
        ("sqlite:///~/mlflow.db", f"write `sqlite:///{Path.home()}/mlflow.db`"),
        ("sqlite:///stores/", "write `sqlite:///stores/mlflow.db`"),
        ("sqlite://", "use `sqlite:///mlflow.db`"),
        ("mlflow.db", "write `sqlite:///mlflow.db`"),
        ("./mlruns", "use a database, such as `sqlite:///mlflow.db`"),
        ("file:///mlruns", "use a database, such as `sqlite:///mlflow.db`"),
        ("htp://host", "did you mean `http`"),
        ("http://ho\nst", "as in `sqlite:///mlflow.db`"),
        ("postgresql://me:p@ss:secret@host/db", "postgresql://USER@HOST"),
        ("me:secret@host:5000", "write `http://host:5000`"),
        ("http://me:se/secret@host", "as in `http://localhost:5000`"),
    ],
)
def test_what_is_refused_comes_with_the_right_form(given: str, hint: str) -> None:
    with pytest.raises(TrackingError) as caught:
        address.resolve(given)
    assert hint in str(caught.value.hint)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://me:secret@host:5000/p", "http://host:5000/p"),
        ("https://secret@host", "https://host"),
        ("http://me:se@secret@host", "http://host"),
        ("http://me:se/cret#secret@host", "http://host"),
        ("postgresql://me:secret@host:5432/db?sslpassword=secret", "postgresql://host:5432/db"),
        ("mssql+pyodbc:///?odbc_connect=PWD=secret", "mssql+pyodbc:///"),
        ("me:secret@host:5000", "host:5000"),
        ("sqlite:////home/a:b@c/x?y.db", "sqlite:////home/a:b@c/x?y.db"),
        ("http://host/a@b", "http://host/a@b"),
        ("databricks", "databricks"),
    ],
)
def test_what_is_shown_is_no_secret(uri: str, shown: str) -> None:
    assert address.without_secrets(uri) == shown
