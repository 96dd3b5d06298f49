"""The tracker's process: started again if it dies, and not for ever."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genloss.launch import subprocesses, tracker_process
from genloss.launch.tracker_process import TrackerProcess
from genloss.record.folder import StudyFolder

DIES = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
READY = {"event": "ready", "experiment_id": "1", "page": None}
ERROR = {"event": "error", "message": "it was deleted", "hint": "restore it"}


@pytest.fixture
def follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[TrackerProcess, list[str]]]:
    """Runs other programs in the tracker's place, one after the other, to the end."""
    monkeypatch.setattr(tracker_process, "REST", 0.01)
    monkeypatch.setattr(tracker_process, "PATIENCE", 5.0)

    def follow(*programs: str) -> tuple[TrackerProcess, list[str]]:
        left = list(programs)
        monkeypatch.setattr(
            subprocesses, "command", lambda *_: [sys.executable, "-c", left.pop(0) if left[1:] else left[0]]
        )
        said: list[str] = []
        with TrackerProcess(StudyFolder.create("gan", tmp_path / ".genloss"), said.append) as process:
            said.append(f"shipped: {process.finish(lambda: False)}")
        return process, said

    return follow


def says(*events: dict[str, Any]) -> str:
    """A program that says what a tracker might say."""
    return f"print({chr(10).join(map(json.dumps, events))!r})"


def test_one_that_dies_is_started_again(follow: Callable[..., tuple[TrackerProcess, list[str]]]) -> None:
    done = {"event": "done", "shipped": True}
    process, said = follow(DIES, f"{says(READY)}; raise SystemExit(3)", says(READY, done))
    assert said == [
        "the tracker was ended by SIGKILL; it is started again",
        "the tracker ended with exit code 3; it is started again",
        "shipped: True",
    ]
    assert process.error is None


def test_one_that_always_dies_is_left_alone(follow: Callable[..., tuple[TrackerProcess, list[str]]]) -> None:
    _, said = follow(DIES)
    assert said == [
        *["the tracker was ended by SIGKILL; it is started again"] * 4,
        "the tracker was ended by SIGKILL, for the 5th time; it is not started again",
        "shipped: False",
    ]


def test_what_death_cuts_off_is_passed_over(follow: Callable[..., tuple[TrackerProcess, list[str]]]) -> None:
    done = {"event": "done", "shipped": True}
    _, said = follow(f'print(\'{{"event": "shi\'); {DIES}', says(done))
    assert said[-1] == "shipped: True"


def test_a_store_that_cannot_be_used_is_an_error(
    follow: Callable[..., tuple[TrackerProcess, list[str]]],
) -> None:
    process, said = follow(f"{says(ERROR)}; raise SystemExit(1)")
    assert process.error is not None
    assert (process.error.message, process.error.hint) == ("it was deleted", "restore it")
    assert said == ["shipped: False"]


def test_a_store_that_fails_later_ends_no_training(
    follow: Callable[..., tuple[TrackerProcess, list[str]]],
) -> None:
    process, said = follow(f"{says(READY, ERROR)}; raise SystemExit(1)")
    assert process.error is None
    assert said == ["it was deleted; MLflow is sent no more of it", "  restore it", "shipped: False"]
