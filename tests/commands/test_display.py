"""What is shown while a study is trained, and afterwards."""

from __future__ import annotations

import io
import signal
from pathlib import Path

import pytest
from rich.console import Console

from genloss.commands.display import LiveDisplay, PlainDisplay, clock
from genloss.commands.results import print_results
from genloss.comparison.table import Direction, RunResult, Table
from genloss.experiment.plan import Plan, plan, runs
from genloss.launch.study import StudyResult
from genloss.record.folder import RunFolder, StudyFolder

EXPERIMENT = {
    "name": "small",
    "data": {"name": "two_moons", "size": 300},
    "model": {"name": "autoencoder", "latent_dim": 1, "hidden": [4]},
    "objectives": {"squared": {"network": "squared_error"}, "absolute": {"network": "absolute_error"}},
    "training": {"steps": 1000, "batch_size": 16},
    "seeds": 2,
}


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan(EXPERIMENT)


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=terminal, width=110, color_system=None, highlight=False), file


def test_without_a_terminal_each_run_that_ends_is_a_line(planned: Plan) -> None:
    out, file = console(terminal=False)
    display = PlainDisplay(out)
    todo = runs(planned, "small-1")
    display.began(StudyFolder(Path("small-1")), planned, todo)
    display.progress(todo[0], {"step": 10, "values": {"network/total": 1.0}})
    display.ended(todo[0], "FINISHED", "")
    display.ended(todo[1], "FAILED", "planted")
    display.close()
    lines = file.getvalue().splitlines()
    assert lines[0] == "study small-1"
    assert lines[1].startswith("device cpu (")
    assert lines[2] == "4 runs: 2 objectives × 2 seeds, 1,000 steps each"
    assert lines[3].startswith("[1/4] squared-0 finished after 0.")
    assert lines[4] == "[2/4] absolute-0 failed after 0.0 s: planted"


def test_on_a_terminal_each_running_run_has_a_line(planned: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("genloss.commands.display.time.monotonic", lambda: now[0])
    out, _ = console(terminal=True)
    display = LiveDisplay(out)
    todo = runs(planned, "small-1")
    display.total = len(todo)
    display.progress(todo[0], {"step": 0})
    now[0] += 4
    display.progress(todo[0], {"step": 400, "values": {"network/total": 0.5}})
    display.progress(todo[1], {"step": 1000, "evaluating": True})
    text, file = console(terminal=False)
    text.print(display._render())
    first, second, last = (" ".join(line.split()) for line in file.getvalue().splitlines())
    assert first.startswith("squared-0 ")
    assert first.endswith("400/1,000 100 steps/s network 0.5 0:06")
    assert second.endswith("1,000/1,000 evaluating")
    assert last == "0 of 4 runs, 0:04 so far"


def test_times_read_as_times() -> None:
    assert [clock(seconds) for seconds in (0, 61, 3600)] == ["0:00", "1:01", "1:00:00"]


def test_results_end_with_what_failed_and_the_line_that_opens_the_comparison(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "b-0")
    reproduce = "genloss run small.yaml --objective b --set 'seeds=[0]'"
    done = [RunResult(f"a-{s}", "a", s, "FINISHED", "", {"m": 1.0 + s}, 1.0, "", folder) for s in (0, 1)]
    failed = RunResult("b-0", "b", 0, "FAILED", "planted", {}, 1.0, reproduce, folder)
    table = Table("small-1", ("a", "b"), {"m": Direction(False, "nats")}, (*done, failed), {"m": 0.25})
    print_results(StudyResult("small-1", tmp_path, table, signal.SIGINT))
    out, err = capsys.readouterr()
    assert [line.split() for line in out.splitlines()] == [
        ["objective", "seeds", "m,", "nats", "↓"],
        ["a", "2", "1.5", "±", "0.7071"],
        ["b", "0", "of", "1", "–"],
        ["floor:", "data", "against", "data", "0.25"],
        ["genloss", "ui", "small-1"],
    ]
    assert "warning: `b-0` failed: planted" in err
    assert f"reproduce: {reproduce}" in err
    assert "interrupted: 2 of 3 runs finished" in err
