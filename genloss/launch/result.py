"""The result of a study."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genloss.comparison.comparison import Comparison
from genloss.comparison.runs import RunResult
from genloss.errors import TrackingError

if TYPE_CHECKING:
    from genloss.comparison.trials import Best


class UnfinishedWarning(UserWarning):
    """Not all runs of a study finished, or MLflow has not got all of them."""


@dataclass(frozen=True)
class StudyResult:
    """What a study came to.

    Attributes:
        name: the study's name.
        folder: its records.
        comparison: the results.
        signal: what ended it early: SIGINT or SIGTERM.
        shipped: whether MLflow has all of it.
        page: the comparison's address, if MLflow is a server.
        problem: why MLflow's store cannot be used, if it cannot; what was trained is in the folder then.
        resume: the shell's line that finishes what is missing, if something is.
        report: the page that compares the objectives; None where there is none, as after an interruption.
    """

    name: str
    folder: Path
    comparison: Comparison
    signal: signal.Signals | None = None
    shipped: bool = True
    page: str | None = None
    problem: TrackingError | None = None
    resume: str | None = None
    report: Path | None = None

    def __repr__(self) -> str:
        done = len(self.runs) - len(self.comparison.unfinished())
        return f"<study {self.name}: {done} of {len(self.runs)} runs finished, in {self.folder}>"

    def _repr_html_(self) -> str:
        return self.comparison._repr_html_()

    @property
    def best(self) -> tuple[Best, ...]:
        """Of a search, the best trial of each objective."""
        return self.comparison.best()

    @property
    def runs(self) -> tuple[RunResult, ...]:
        return self.comparison.runs

    def summary(self) -> str:
        """What is missing, in a sentence; nothing if all runs finished and MLflow has them."""
        unfinished = self.comparison.unfinished()
        said = []
        if unfinished:
            said.append(f"{len(unfinished)} of {len(self.runs)} runs of study `{self.name}` did not finish")
            failures = self.comparison.failures()[:3]
            said += [f"{self.comparison.named(alike)} failed: {alike[0].message}" for alike in failures]
        if self.problem is not None:
            said.append(self.problem.message)
        elif not self.shipped:
            said.append(f"MLflow has not got all of study `{self.name}`; its records are in `{self.folder}`")
        return "; ".join(said)

    @property
    def exit_code(self) -> int:
        """0 if all runs finished, 1 if one failed, 130 or 143 if it was interrupted or terminated."""
        if self.signal is not None:
            return 128 + self.signal
        return 1 if self.problem or self.comparison.unfinished() else 0
