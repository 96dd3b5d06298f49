"""How a study is shown while it is trained: live lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from genloss.commands.terminal import stderr

if TYPE_CHECKING:
    from genloss.experiment.plan import Plan
    from genloss.experiment.schema import Run
    from genloss.launch.study import Display
    from genloss.record.folder import StudyFolder


def for_terminal() -> Display:
    """The display that suits stderr."""
    console = stderr()
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


class PlainDisplay:
    """A line when the study begins, and one for each run that ends."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.total = self.done = 0
        self._began: dict[str, float] = {}

    def began(self, folder: StudyFolder, plan: Plan, runs: Sequence[Run]) -> None:
        experiment = plan.experiment
        self.total = len(runs)
        steps = max(objective.training.steps for objective in experiment.objectives)
        self.console.print(Text.assemble(("study ", "dim"), (folder.name, "bold")))
        for device in plan.devices:
            self.console.print(Text(str(device)))
        self.console.print(
            f"{len(runs)} runs: {len(experiment.objectives)} objectives × {len(experiment.seeds)} seeds, "
            f"{steps:,} steps each"
        )

    def progress(self, run: Run, message: Mapping[str, Any]) -> None:
        self._began.setdefault(run.name, time.monotonic())

    def ended(self, run: Run, status: str, message: str) -> None:
        self.done += 1
        self.total = max(self.total, self.done)  # a run that is tried again comes on top
        style = {"FINISHED": "green", "FAILED": "bold red"}.get(status, "yellow")
        now = time.monotonic()
        seconds = now - self._began.pop(run.name, now)
        count = f"[{self.done:>{len(str(self.total))}}/{self.total}]"
        line = Text.assemble(
            (count, "dim"), f" {run.name} ", (status.lower(), style), f" after {seconds:.1f} s"
        )
        if message:
            line.append(f": {message}")
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
        self._failed = 0
        self._start = time.monotonic()
        self._live = Live(console=console, transient=True, refresh_per_second=4, get_renderable=self._render)

    def began(self, folder: StudyFolder, plan: Plan, runs: Sequence[Run]) -> None:
        super().began(folder, plan, runs)
        self._live.start()

    def progress(self, run: Run, message: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if run.name not in self._running:
            self._running[run.name] = (run, now, message["step"], message)
        else:
            _, since, first, previous = self._running[run.name]
            self._running[run.name] = (run, since, first, {**previous, "evaluating": False, **message})

    def ended(self, run: Run, status: str, message: str) -> None:
        self._running.pop(run.name, None)
        if status == "FINISHED":
            self.done += 1
        else:
            self._failed += 1
            super().ended(run, status, message)

    def close(self) -> None:
        self._live.stop()

    def _render(self) -> Group:
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        for run, since, first, message in list(self._running.values()):
            table.add_row(*self._line(run, since, first, message))
        return Group(table, self._summary())

    def _line(self, run: Run, since: float, first: int, message: Mapping[str, Any]) -> list[Any]:
        steps, step = run.objective.training.steps, message["step"]
        elapsed = time.monotonic() - since
        speed = (step - first) / elapsed if step > first and elapsed > 0 else 0.0
        values = "  ".join(
            f"{key.split('/')[0]} {value:.3g}" for key, value in message.get("values", {}).items()
        )
        left = "evaluating" if message.get("evaluating") else clock((steps - step) / speed) if speed else ""
        return [
            Text(run.name, "bold"),
            ProgressBar(steps, step, width=20),
            Text(f"{step:,}/{steps:,}"),
            Text(f"{speed:,.0f} steps/s" if speed else ""),
            Text(values, "dim"),
            Text(left),
        ]

    def _summary(self) -> Text:
        elapsed = time.monotonic() - self._start
        failed = f", {self._failed} failed" if self._failed else ""
        left = ""
        if self.done:
            partial = sum(
                m["step"] / r.objective.training.steps for r, _, _, m in list(self._running.values())
            )
            rate = (self.done + partial) / elapsed
            left = f", about {clock((self.total - self.done - partial) / rate)} left"
        return Text(f"{self.done} of {self.total} runs{failed}, {clock(elapsed)} so far{left}", "dim")


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    whole = max(0, round(seconds))
    return (
        f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"
        if whole >= 3600
        else f"{whole // 60}:{whole % 60:02}"
    )
