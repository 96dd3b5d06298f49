"""What answers at an address, and is not an MLflow server or lets nobody in, is said in its own words."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from genloss.errors import ExperimentError, TrackingError
from genloss.planning.plan import plan
from genloss.tracking import probe, store
from genloss.tracking.delivery import Delivery
from tests.launch.conftest import experiment

Answer = Callable[[str], tuple[int, str]]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Starts a server that answers so; gives its address."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def serve(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, content = answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "content"),
    [(404, "<h1>Not Found</h1>"), (404, ""), (200, ""), (200, "<html>"), (200, '{"name": "x"}'), (302, "")],
)
def test_what_is_no_mlflow_server_is_said_at_once(
    serve: Callable[[Answer], str], status: int, content: str
) -> None:
    uri = serve(lambda _: (status, content))
    with pytest.raises(TrackingError) as caught:
        Delivery(lambda why: pytest.fail(why)).call(store.connect, uri)
    assert caught.value.message == f"what answers at `{uri}` is not an MLflow server (HTTP status {status})"
    assert "`http://HOST/PREFIX`" in str(caught.value.hint)


@pytest.mark.parametrize(("status", "who"), [(401, "whoever it does not know"), (403, "this user")])
def test_who_is_not_let_in_is_told_so_until_that_passes(
    serve: Callable[[Answer], str], status: int, who: str
) -> None:
    answers = iter([status])
    uri = serve(lambda _: (next(answers, 200), '{"experiments": []}'))
    said: list[str] = []
    Delivery(said.append).call(store.connect, uri)
    assert len(said) == 1
    assert said[0].startswith(f"refuses {who} (HTTP status {status}); `MLFLOW_TRACKING_USERNAME` and")


def test_where_artifacts_go(serve: Callable[[Answer], str]) -> None:
    def answer(path: str) -> tuple[int, str]:
        if "get-by-name" in path:
            return 404, '{"error_code": "RESOURCE_DOES_NOT_EXIST"}'
        return 200, json.dumps({"experiment": {"artifact_location": "s3://bucket/0"}})

    assert probe.artifacts(serve(answer), "new") == "s3://bucket/0"


def test_a_plan_says_where_artifacts_cannot_go(
    serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(path: str) -> tuple[int, str]:
        if "search" in path:
            return 200, '{"experiments": []}'
        return 200, json.dumps({"experiment": {"artifact_location": "s3://bucket/0"}})

    monkeypatch.setattr(probe, "_is_installed", lambda _: False)
    uri = serve(answer)
    (remark,) = plan(experiment("none", tracking={"uri": uri})).remarks
    assert "artifacts go to `s3://bucket`, for which `boto3` is missing here" in remark.message
    assert str(remark.where) == "experiment: tracking.uri"
    assert remark.hint == "pip install boto3"
    refused = serve(lambda _: (403, ""))
    (remark,) = plan(experiment("none", tracking={"uri": refused})).remarks
    assert remark.message.startswith(f"the MLflow server `{refused}` refuses this user (HTTP status 403)")
    with pytest.raises(ExperimentError, match="is not an MLflow server"):
        plan(experiment("none", tracking={"uri": f"{serve(lambda _: (404, ''))}/prefix"}))


def test_mlflow_is_not_told_a_password_in_an_address(
    serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would repeat the address in its errors."""
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "another")
    answers = iter([200])
    uri = serve(lambda _: (next(answers, 500), '{"experiments": []}'))
    client = store.connect(uri.replace("//", "//ada:se%40same@"))
    assert client.tracking_uri == uri
    assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == (
        "ada",
        "se@same",
    )


def test_what_cannot_be_written_is_known_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = "http://127.0.0.1:5000", "http://mlflow.example"
    for place in ("mlflow-artifacts:/1", "", f"{tmp_path}/mlruns/1", f"file://{tmp_path}/mlruns/1"):
        assert probe.unwritable(here, place) is None
    assert probe.unwritable(there, str(tmp_path)) is None  # a disk that both see
    far = probe.unwritable(there, f"{tmp_path}/mlruns/1")
    assert far is not None
    assert f"the folder `{tmp_path}/mlruns/1`, which is on the server's machine" in far.message
    assert "--serve-artifacts" in far.hint
    monkeypatch.setattr("os.access", lambda *_: False)  # who runs the tests may be root
    assert "cannot be written here" in str(probe.unwritable(here, f"{tmp_path}/mlruns/1"))
    monkeypatch.setattr(probe, "_is_installed", lambda _: False)
    missing = probe.unwritable(here, "s3://bucket/1")
    assert missing is not None
    assert missing.hint == "pip install boto3"
