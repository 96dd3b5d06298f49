"""A study's folder alone sends nothing anywhere, least of all with somebody's password."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import genloss
from genloss.errors import RecordError, TrackingError
from genloss.launch import recovery
from genloss.record import owner
from genloss.record.events import Ended, Status
from genloss.record.folder import StudyFolder
from genloss.tracking.allowed import store_of
from tests.tracking.studies import begin, write_study


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


class Listener:
    """A server that only keeps who asked it, and with which credentials."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.heard = threading.Event()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                listener.asked.append(self.headers["Authorization"])
                listener.heard.set()
                self.send_response(403)
                self.end_headers()

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    thread = threading.Thread(target=found.server.serve_forever)
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def foreign(here: Path, uri: str, source: str = "gan.yaml") -> StudyFolder:
    """A study whose folder somebody put here, left behind by a launcher that died."""
    study = write_study(here, name="put-here", uri=uri)
    content = study.read()
    content["experiment"]["source"] = source
    study.write(content)
    with begin(study.run("minimax-0")) as journal:
        journal.event(Ended(status=Status.RUNNING))
    study.lock.write_text(json.dumps({"host": "elsewhere", "process": 1, "started": "then"}))
    assert owner.read(study.lock) is not None
    return study


def named(study: StudyFolder, uri: str | None = None) -> str:
    return store_of(study, study.read(), uri)


def test_a_study_that_was_put_here_is_not_sent_where_it_says(
    here: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    study = foreign(here, listener.uri)
    said: list[str] = []
    recovery.tell_crashed(said.append, "sqlite:///mlflow.db")
    assert said[0].startswith(f"study `put-here` says that it is recorded in `{listener.uri}`, which nothing")
    assert f"--tracking-uri {listener.uri}" in said[1]
    assert not (study.path / "tracker.log").exists()  # no tracker was started
    with pytest.raises(TrackingError, match="nothing else here names"):
        genloss.compare("gan-losses")
    for command in (["sync"], ["ui", study.name]):
        done = subprocess.run(
            [sys.executable, "-m", "genloss", *command], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 1
        assert "which nothing else here names" in done.stderr
    assert listener.asked == []


def test_it_is_sent_where_the_user_says_now(
    here: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = foreign(here, listener.uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", listener.uri.replace("//", "//ada:secret@"))
    recovery.tell_crashed(lambda _: None, "sqlite:///mlflow.db")
    assert listener.heard.wait(300)
    assert listener.asked[0] == "Basic YWRhOnNlY3JldA=="
    tracker = owner.read(study.tracker_lock)  # which asks again, for ever
    assert tracker is not None
    assert tracker.kill()


def test_what_names_a_store(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "http://mlflow.example"
    study = foreign(here, uri)
    with pytest.raises(TrackingError, match="nothing else here names"):
        named(study)
    assert named(study, "http://other.example") == "http://other.example"
    assert store_of(study, study.read(), also=(uri,)) == uri
    (here / "gan.yaml").write_text(f"tracking: {{uri: '{uri}/'}}")
    assert named(study) == uri
    (here / "gan.yaml").write_text("tracking: {uri: http://other.example}")
    with pytest.raises(TrackingError):
        named(study)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:secret@mlflow.example/#/experiments/3")
    assert named(study) == "http://ada:secret@mlflow.example"


@pytest.mark.parametrize("place", [".genloss/evil.yaml", ".genloss/put-here/gan.yaml", "link.yaml"])
def test_a_yaml_among_the_records_names_nothing(here: Path, place: str) -> None:
    study = foreign(here, "http://evil.example", source=place)
    text = "tracking: {uri: http://evil.example}"
    if place == "link.yaml":
        (study.path / "gan.yaml").write_text(text)
        (here / place).symlink_to(study.path / "gan.yaml")
    else:
        (here / place).write_text(text)
    with pytest.raises(TrackingError, match="nothing else here names"):
        named(study)


def test_a_file_is_opened_in_the_working_folder_alone(
    here: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    for uri in ("sqlite:///mlflow.db", f"sqlite:///{here}/stores/mlflow.db"):
        assert named(foreign(here, uri)) == uri
    (here / "link").symlink_to(other)
    for uri in ("sqlite:///../mlflow.db", f"sqlite:///{other}/mlflow.db", "sqlite:///link/mlflow.db"):
        with pytest.raises(TrackingError, match="nothing else here names"):
            named(foreign(here, uri))


def test_a_setting_is_relative_to_here_and_a_study_to_its_own_folder(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "away").mkdir()
    study = foreign(here, "sqlite:///mlflow.db")
    monkeypatch.chdir(here / "away")
    assert named(study) == "sqlite:///mlflow.db"
    assert named(study, "sqlite:///mlflow.db") == f"sqlite:///{here}/away/mlflow.db"


def test_a_damaged_address_is_said(here: Path) -> None:
    study = foreign(here, "sqlite:///mlflow.db")
    with pytest.raises(RecordError, match="`tracking_uri` is not what was written"):
        store_of(study, {**study.read(), "tracking_uri": 3})
