"""A server that is older than the MLflow here: what it does not know is not asked of it.

MLflow's own server behind a proxy that takes from it what came later. (Tried by hand with 2.14.3 itself.)
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient

import genloss
from genloss.comparison.from_records import comparison_of
from genloss.tracking import server, views
from genloss.tracking.tags import LONGEST_TAG
from genloss.tracking.tracker import Tracker
from tests.tracking.studies import GAN, gan_study

LATER = ("logged-models", "/3.0/", "server-info", "server-features")


@pytest.mark.slow
def test_a_study_is_whole_on_an_older_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "mlflow.db").write_bytes(fresh)
    port = server.free_port(None)
    behind = f"http://{server.HOST}:{port}"
    refused: list[str] = []

    class Older(BaseHTTPRequestHandler):
        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if any(part in self.path for part in LATER):
                refused.append(self.path)
                self._answer(404, b"<!doctype html>\n<title>404 Not Found</title>")
            elif "set-experiment-tag" in self.path and len(json.loads(body)["value"]) > LONGEST_TAG:
                refused.append(self.path)
                self._answer(
                    400, json.dumps({"error_code": "INVALID_PARAMETER_VALUE", "message": "long"}).encode()
                )
            else:
                headers = {k: v for k, v in self.headers.items() if k in ("Content-Type", "Accept")}
                answer = requests.request(
                    self.command, behind + self.path, data=body, headers=headers, timeout=60
                )
                self._answer(answer.status_code, answer.content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    study, _ = gan_study(tmp_path, steps=30, seeds=1)
    said: list[dict[str, object]] = []
    with server.serving("sqlite:///mlflow.db", port), ThreadingHTTPServer((server.HOST, 0), Older) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        uri = f"http://{server.HOST}:{proxy.server_port}"
        tracker = Tracker(study, comparison_of, lambda **event: said.append(event), uri)
        tracker.open()
        tracker.finish()
        assert [event["event"] for event in said if event["event"] != "shipped"] == ["ready", "done"]
        assert said[-1]["shipped"]
        assert refused  # what is longer was offered first
        runs = genloss.compare("gan-losses", tracking_uri=uri).runs
        assert [run.status for run in runs] == ["FINISHED"] * len(GAN)
        assert genloss.history(str(runs[0].run_id), tracking_uri=uri)
        found = MlflowClient(uri).get_experiment_by_name("gan-losses")
        assert found is not None
        assert 0 < len(found.tags[views.VIEW_TAG + study.name]) <= LONGEST_TAG
        proxy.shutdown()
