"""The queue of runs that wait for a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from genloss.experiment.schema import Run
from genloss.record.events import Status


class Queue:
    """Runs that wait for a worker of their device, in the order in which they were given.

    Args:
        runs: what is left to train.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._waiting = list(runs)

    def next(self, device: str) -> Run | None:
        """Take the next run for a worker of a device, if there is one."""
        run = next((run for run in self._waiting if run.device == device), None)
        if run is not None:
            self._waiting.remove(run)
        return run

    def again(self, run: Run) -> None:
        """Put a run that failed at the end."""
        self._waiting.append(run)

    def clear(self) -> None:
        """Return up what waits."""
        self._waiting.clear()

    def ended(self, run: Run, status: Status, /) -> None:
        """Record how a run ended."""

    def is_prunable(self, _run: Run, /) -> bool:
        """Return whether the run waits after each evaluation until it is told to continue."""
        return False

    def is_pruned(self, _run: Run, _step: int, _numbers: Mapping[str, float], /) -> bool:
        """Return whether a run is pruned after this evaluation."""
        return False
