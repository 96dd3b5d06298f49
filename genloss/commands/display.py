"""The display of a running study: live lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from genloss.commands.terminal import stderr
from genloss.record.events import Status
from genloss.text import count_of, without_numbers

if TYPE_CHECKING:
    from genloss.experiment.schema import Experiment, Run
    from genloss.launch.progress import Display
    from genloss.launch.study import Study


WIDE = 100
"""Columns of a terminal that has room for a bar and the values of the objectives."""


def for_terminal() -> Display:
    """The display that suits stderr."""
    console = stderr()
    return (
        LiveDisplay(console)
        if console.is_terminal and not console.is_dumb_terminal
        else PlainDisplay(console)
    )


class PlainDisplay:
    """A line when the study begins, and one for each run that ends."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.total = self.done = 0
        self._began: dict[str, float] = {}
        self._failures: dict[str, str] = {}

    def began(self, study: Study) -> None:
        experiment = study.experiment
        self.total = len(study.runs)
        steps = max(objective.training.steps for objective in experiment.objectives)
        self.console.print(Text.assemble(("study ", "dim"), (study.folder.name, "bold")))
        for device in study.devices:
            self.console.print(Text(str(device)))
        self.console.print(f"{counted(experiment)}, {count_of(steps, 'step')} each")
        if study.finished:
            left = f"{self.total} to go" if self.total else "nothing is left to train"
            self.console.print(f"{study.finished} of them finished before, {left}")

    def progress(self, run: Run, message: Mapping[str, Any]) -> None:
        self._began.setdefault(run.name, time.monotonic())

    def stopping(self) -> None:
        """The runs that end now say so themselves."""

    def ended(self, run: Run, status: Status, message: str) -> None:
        self.done += 1
        self.total = max(self.total, self.done)  # a run that is tried again comes on top
        style = {Status.FINISHED: "green", Status.FAILED: "bold red"}.get(status, "yellow")
        count = f"[{self.done:>{len(str(self.total))}}/{self.total}]"
        line = Text.assemble((count, "dim"), f" {run.name} ", (status.lower(), style))
        if run.name in self._began:
            line.append(f" after {time.monotonic() - self._began.pop(run.name):.1f} s")
        first = run.name
        if status == Status.FAILED:
            first = self._failures.setdefault(without_numbers(message), run.name)
        if message:
            line.append(f": {message}" if first == run.name else f", as `{first}` did")
        self.console.print(line)

    def note(self, text: str) -> None:
        self.console.print(text, markup=False)

    def close(self) -> None:
        """Nothing is left to do."""


class LiveDisplay(PlainDisplay):
    """One line a running run, beneath the lines of those that ended badly."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._running: dict[str, tuple[Run, float, int, Mapping[str, Any]]] = {}
        self._failed = self._killed = 0
        self._stopping = False
        self._start = time.monotonic()
        self._live = Live(console=console, transient=True, refresh_per_second=4, get_renderable=self._render)

    def began(self, study: Study) -> None:
        super().began(study)
        self._live.start()

    def progress(self, run: Run, message: Mapping[str, Any]) -> None:
        super().progress(run, message)
        now = time.monotonic()
        if run.name not in self._running:
            self._running[run.name] = (run, now, message["step"], message)
        else:
            _, since, first, previous = self._running[run.name]
            self._running[run.name] = (run, since, first, {**previous, "evaluating": "", **message})

    def ended(self, run: Run, status: Status, message: str) -> None:
        self._running.pop(run.name, None)
        if status == Status.FINISHED:
            self.done += 1
            self._began.pop(run.name, None)
            return
        super().ended(run, status, message)
        self._failed += status == Status.FAILED
        self._killed += status == Status.INTERRUPTED

    def stopping(self) -> None:
        self._stopping = True

    def close(self) -> None:
        self._live.stop()

    def _render(self) -> Group:
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        for _ in range(6 if self.console.width >= WIDE else 4):
            table.add_column(no_wrap=True)
        for run, since, first, message in list(self._running.values()):
            table.add_row(*self._line(run, since, first, message))
        return Group(table, self._summary())

    def _line(self, run: Run, since: float, first: int, message: Mapping[str, Any]) -> list[Any]:
        steps, step = run.objective.training.steps, message["step"]
        elapsed = time.monotonic() - since
        speed = (step - first) / elapsed if step > first and elapsed > 0 else 0.0
        if evaluating := bool(message.get("evaluating")):
            speed = 0.0  # the time that evaluation takes is not training's
        left = "evaluating" if evaluating else clock((steps - step) / speed) if speed else ""
        line: list[Any] = [
            Text(run.name, "bold"),
            Text(f"{step:,}/{steps:,}"),
            Text(f"{speed:,.0f} steps/s" if speed else ""),
            Text(left),
        ]
        if self.console.width < WIDE:
            return line
        values = [f"{key.split('/')[0]} {value:.3g}" for key, value in message.get("values", {}).items()]
        return [line[0], ProgressBar(steps, step, width=20), *line[1:], Text("  ".join(values), "dim")]

    def _summary(self) -> Text:
        elapsed = time.monotonic() - self._start
        failed = f", {self._failed} failed" if self._failed else ""
        failed += f", {self._killed} interrupted" if self._killed else ""
        left = ""
        if self._stopping:
            left = ", ending"
        elif not self.done and not self._running:
            left = ", starting"
        elif 0 < self.done < self.total:
            running = [
                (r.objective.training.steps, first, m["step"])
                for r, _, first, m in list(self._running.values())
            ]
            # A run that is resumed did not begin with step 0.
            rate = (self.done + sum((step - first) / steps for steps, first, step in running)) / elapsed
            ahead = self.total - self.done - sum(step / steps for steps, _, step in running)
            left = f", about {clock(ahead / rate)} left"
        done = f"{self.done} of {count_of(self.total, 'run')} done"
        return Text(f"{done}{failed}, {clock(elapsed)} so far{left}", "dim", no_wrap=True)


def counted(experiment: Experiment) -> str:
    """How many runs an experiment has, and why: `6 runs: 2 objectives × 3 seeds`."""
    objectives, seeds = len(experiment.objectives), len(experiment.seeds)
    trials = ""
    if experiment.search is not None:
        objectives = len({objective.base or objective.name for objective in experiment.objectives})
        trials = f"{count_of(experiment.search.trials, 'trial')} × "
    runs = count_of(experiment.run_count, "run")
    return f"{runs}: {count_of(objectives, 'objective')} × {trials}{count_of(seeds, 'seed')}"


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    whole = max(0, round(seconds))
    return (
        f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"
        if whole >= 3600
        else f"{whole // 60}:{whole % 60:02}"
    )
