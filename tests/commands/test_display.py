"""What is shown while a study is trained, and afterwards."""

from __future__ import annotations

import io
import signal
from pathlib import Path

import pytest
from rich.console import Console

from genloss.commands.display import LiveDisplay, PlainDisplay, clock
from genloss.commands.results import print_answer, print_results
from genloss.comparison.comparison import compare_runs
from genloss.comparison.runs import Direction, RunResult
from genloss.launch.result import StudyResult
from genloss.launch.study import Study
from genloss.planning.plan import Plan, plan, runs
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


def console(*, terminal: bool, width: int = 110) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=terminal, width=width, color_system=None, highlight=False), file


def study(planned: Plan, finished: int = 0) -> Study:
    left = runs(planned, "small-1")[finished:]
    folder = StudyFolder(Path("small-1"))
    return Study(folder, planned.experiment, planned.catalogue, planned.data, planned.devices, left, finished)


def test_without_a_terminal_each_run_that_ends_is_a_line(planned: Plan) -> None:
    out, file = console(terminal=False)
    display = PlainDisplay(out)
    todo = runs(planned, "small-1")
    display.began(study(planned))
    display.progress(todo[0], {"step": 10, "values": {"network/total": 1.0}})
    display.ended(todo[0], "FINISHED", "")
    display.ended(todo[1], "FAILED", "planted at step 3")
    display.progress(todo[2], {"step": 10})
    display.ended(todo[2], "FAILED", "planted at step 7")
    display.close()
    lines = file.getvalue().splitlines()
    assert lines[0] == "study small-1"
    assert lines[1].startswith("device cpu (")
    assert lines[2] == "4 runs: 2 objectives × 2 seeds, 1,000 steps each"
    assert lines[3].startswith("[1/4] squared-0 finished after 0.")
    # It never began, so it has no time; another one that fails alike does not say so at length.
    assert lines[4] == "[2/4] absolute-0 failed: planted at step 3"
    assert lines[5].startswith("[3/4] squared-1 failed after 0.")
    assert lines[5].endswith(" s, as `absolute-0` did")


def test_one_run_is_no_runs() -> None:
    out, file = console(terminal=False)
    only = plan(EXPERIMENT, overrides=["seeds=1", "training.steps=1"], objectives=["squared"])
    PlainDisplay(out).began(study(only))
    assert file.getvalue().splitlines()[-1] == "1 run: 1 objective × 1 seed, 1 step each"


def test_a_study_that_is_resumed_says_what_is_left(planned: Plan) -> None:
    for finished, left in ((1, "3 to go"), (4, "nothing is left to train")):
        out, file = console(terminal=False)
        PlainDisplay(out).began(study(planned, finished))
        assert file.getvalue().splitlines()[-1] == f"{finished} of them finished before, {left}"


@pytest.fixture
def live(planned: Plan, monkeypatch: pytest.MonkeyPatch) -> Live:
    return Live(planned, monkeypatch)


class Live:
    """A live display, 4 s after the first of its runs began and 10 s after it did itself."""

    def __init__(self, planned: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("genloss.commands.display.time.monotonic", lambda: self.now)
        self.todo = runs(planned, "small-1")

    def display(self, width: int) -> tuple[LiveDisplay, io.StringIO]:
        out, file = console(terminal=True, width=width)
        display = LiveDisplay(out)
        display.total = len(self.todo)
        self.now += 6
        display.progress(self.todo[0], {"step": 0})
        self.now += 4
        display.progress(self.todo[0], {"step": 400, "values": {"network/total": 0.5}})
        display.progress(self.todo[1], {"step": 1000, "evaluating": "sampling"})
        return display, file

    @staticmethod
    def lines(display: LiveDisplay, width: int) -> list[str]:
        text, file = console(terminal=False, width=width)
        text.print(display._render())
        assert max(map(len, file.getvalue().splitlines())) <= width
        return [" ".join(line.split()) for line in file.getvalue().splitlines()]


def test_on_a_wide_terminal_each_running_run_has_a_line_with_a_bar_and_values(live: Live) -> None:
    display, _ = live.display(110)
    first, second, last = live.lines(display, 110)
    assert first.startswith("squared-0 ━")
    assert first.endswith("400/1,000 100 steps/s 0:06 network 0.5")
    assert second.endswith("1,000/1,000 evaluating")
    assert last == "0 of 4 runs done, 0:10 so far"


def test_on_a_narrow_terminal_a_line_keeps_what_can_be_read(live: Live) -> None:
    display, _ = live.display(80)
    assert live.lines(display, 80) == [
        "squared-0 400/1,000 100 steps/s 0:06",
        "absolute-0 1,000/1,000 evaluating",
        "0 of 4 runs done, 0:10 so far",
    ]


def test_before_anything_runs_it_says_so(live: Live) -> None:
    display = LiveDisplay(console(terminal=True)[0])
    assert live.lines(display, 110) == ["0 of 0 runs done, 0:00 so far, starting"]


def test_a_run_that_is_interrupted_has_not_failed_and_nothing_is_foretold(live: Live) -> None:
    display, file = live.display(80)
    display.ended(live.todo[1], "FINISHED", "")
    assert live.lines(display, 80)[-1] == "1 of 4 runs done, 0:10 so far, about 0:19 left"
    display.stopping()
    display.ended(live.todo[0], "INTERRUPTED", "stopped at step 400")
    assert file.getvalue() == "[2/4] squared-0 interrupted after 4.0 s: stopped at step 400\n"
    assert live.lines(display, 80) == ["2 of 4 runs done, 1 interrupted, 0:10 so far, ending"]


def test_times_read_as_times() -> None:
    assert [clock(seconds) for seconds in (0, 61, 3600)] == ["0:00", "1:01", "1:00:00"]


def test_results_end_with_what_failed_and_the_line_that_opens_the_comparison(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    reproduce = "genloss run small.yaml --objective b --set 'seeds=[0]'"
    done = [
        RunResult(name=f"a-{s}", objective="a", seed=s, status="FINISHED", metrics={"m": 1.0 + s})
        for s in (0, 1)
    ]
    failed = RunResult(
        name="b-0",
        objective="b",
        seed=0,
        status="FAILED",
        message="planted",
        hint="dig it up",
        reproduce=reproduce,
        folder=RunFolder(tmp_path / "b-0"),
    )
    comparison = compare_runs(
        [*done, failed],
        name="small-1",
        objectives=["a", "b"],
        baseline="a",
        metrics={"m": Direction(False, "nats")},
        references={"m": 0.25},
    )
    line = "genloss resume small-1"
    print_results(StudyResult("small-1", tmp_path, comparison, signal.SIGINT, resume=line))
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["objective", "seeds", "m,", "nats", "↓"],
        ["a", "2", "1.5", "±", "6.4"],
        ["b", "0", "of", "1", "–"],
        ["real", "data", "0.25"],
    ]
    assert lines[4:] == ["", *comparison.answer(), "", "genloss ui small-1"]
    assert err.splitlines() == [
        "mean ± half-width of the 95% confidence interval over seeds; ↓ lower is better, ↑ higher",
        "real data: the metric with real examples in place of samples",
        "warning: `b-0` failed: planted",
        "hint: dig it up",
        f"  traceback: {tmp_path}/b-0/artifacts/traceback.txt",
        f"  reproduce: {reproduce}",
        "warning: interrupted: 2 of 3 runs finished",
        "hint: what has finished is kept; the rest goes on from the newest checkpoints with",
        "  genloss resume small-1",
    ]


def test_where_nothing_finished_there_is_no_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    failed = [
        RunResult(
            name=f"a-{s}",
            objective="a",
            seed=s,
            status="FAILED",
            message=f"at step {s}",
            reproduce="again",
            folder=RunFolder(tmp_path / "a-0"),
        )
        for s in range(9)
    ]
    metrics = {"m": Direction(False, "nats")}
    comparison = compare_runs(failed, name="small-1", objectives=["a"], baseline="a", metrics=metrics)
    print_results(StudyResult("small-1", tmp_path, comparison))
    out, err = capsys.readouterr()
    assert out == "genloss ui small-1\n"
    assert err.splitlines()[0] == "warning: `a-0`, `a-1`, `a-2` and 6 more failed: at step 0"
    assert len(err.splitlines()) == 3  # with the first one's traceback and line


def test_on_a_terminal_the_answer_is_broken_between_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [
        RunResult(name=f"{o}-{s}", objective=o, seed=s, status="FINISHED", metrics={"m": 1.0 + s})
        for o in "ab"
        for s in range(3)
    ]
    comparison = compare_runs(
        runs, name="s", objectives="ab", baseline="a", metrics={"m": Direction(False, "1")}
    )
    monkeypatch.setattr(
        "genloss.commands.results.stdout", lambda: Console(width=50, force_terminal=True, color_system=None)
    )
    print_answer(comparison)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 50
    assert " ".join(filter(None, lines)) == " ".join(comparison.answer())
