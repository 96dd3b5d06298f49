"""Studies that are recorded on an MLflow server, there or not."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from mlflow import MlflowClient

import genloss
from genloss.launch.run import Silence, UnfinishedWarning
from genloss.tracking import server, store
from tests.launch.conftest import experiment

pytestmark = pytest.mark.slow


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind((server.HOST, 0))
        return int(probe.getsockname()[1])


def test_a_study_on_a_server_ends_with_the_page_s_address(here: Path) -> None:
    store.connect(f"sqlite:///{here}/mlflow.db")
    port = unused_port()
    uri = f"http://{server.HOST}:{port}"
    with server.serving(f"sqlite:///{here}/mlflow.db", port):
        result = genloss.run(experiment("none", tracking={"uri": uri}))
        client = MlflowClient(uri)
        found = client.get_experiment_by_name("faults")
        assert found is not None
        (run,) = client.search_runs([found.experiment_id], "tags.`genloss.run` LIKE '%'")
        assert len(client.get_metric_history(run.info.run_id, "network/total")) == 40
    assert result.shipped
    assert result.page is not None
    assert result.page.startswith(f"{uri}/#/experiments/{found.experiment_id}/runs?")


class Notes(Silence):
    """Keeps what a person is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_a_server_that_is_not_there_stops_no_training(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genloss.launch.tracker_process.PATIENCE", 5.0)
    uri = f"http://{server.HOST}:{unused_port()}"
    notes = Notes()
    with pytest.warns(UnfinishedWarning, match="^MLflow has not got all of study `faults-"):
        result = genloss.run(experiment("none", tracking={"uri": uri}), display=notes)
    assert [run.status for run in result.runs] == ["FINISHED"]
    assert result.exit_code == 0
    assert not result.shipped
    assert notes.said == [
        f"MLflow at `{uri}` does not answer: connection refused; training goes on, and it is asked again",
        "waiting up to 5 s for MLflow; Ctrl-C stops waiting",
    ]
