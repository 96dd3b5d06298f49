"""The report that a study ends with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from genloss.comparison import report
from genloss.experiment.schema import Run
from genloss.launch.forkserver import ForkServers
from genloss.launch.progress import Silence
from genloss.launch.result import StudyResult
from genloss.launch.run import launch
from genloss.planning.plan import plan
from tests.launch.conftest import experiment

EVALUATED = {"evaluation": {"every": 20, "samples": 50, "metrics": ["maximum_mean_discrepancy"]}}


class Listening(Silence):
    """Keeps the notes; interrupts the study when it hears of a run's progress, if it is to."""

    def __init__(self, *, interrupt: bool = False) -> None:
        self.notes: list[str] = []
        self._interrupt = interrupt

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, run: Run, message: Mapping[str, Any]) -> None:  # noqa: ARG002
        if self._interrupt:
            self._interrupt = False
            os.kill(os.getpid(), signal.SIGINT)


def ran(display: Listening, **more: Any) -> StudyResult:
    with ForkServers() as servers:
        return launch(plan(experiment("none", "wander", **more)), display, servers)


def test_a_study_ends_with_its_report(here: Path) -> None:
    display = Listening()
    result = ran(display, seeds=2, **EVALUATED)
    assert result.report == result.folder / "report.html"
    page = result.report.read_text()
    for said in (
        "none",
        "wander",
        "maximum_mean_discrepancy",
        "data:image/webp;base64,",
        f"genloss ui {result.name}",
    ):
        assert said in page
    plots = {path.name for path in (result.folder / "plots").iterdir()}
    assert {"intervals.png", "differences.png", "losses.png"} <= plots
    assert not [note for note in display.notes if "report" in note]


def test_a_report_that_fails_takes_nothing_with_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "REPORT", "no such folder/report.html")
    display = Listening()
    result = ran(display)
    assert result.report is None
    assert result.exit_code == 0
    (note,) = [note for note in display.notes if "report" in note]
    assert note.startswith("the report could not be made: FileNotFoundError: ")


def test_a_study_that_is_interrupted_has_none(here: Path) -> None:
    result = ran(Listening(interrupt=True), steps=100_000)
    assert result.signal is signal.SIGINT
    assert result.report is None
    assert not (result.folder / "report.html").exists()


def test_nothing_of_it_is_imported_before() -> None:
    code = (
        "import sys, genloss.launch.run, genloss.commands.run, genloss.launch.worker\n"
        "found = {'jinja2', 'matplotlib', 'pandas', 'scipy', 'statsmodels', 'genloss.comparison.report'}\n"
        "assert not found & set(sys.modules), found & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
