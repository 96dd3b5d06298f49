"""What a journal's frames are in MLflow, and what must be known of those before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from mlflow.entities import Metric

from genloss.record.events import Column, ColumnsDeclared, Evaluated, Event, Status
from genloss.record.frame import Series, Values
from genloss.record.state import RunState

NON_FINITE = "non_finite_values"
"""The metric that counts them. MLflow gets NaN for each; the journal has what it was."""

SECONDS, PEAK_MEMORY = "cost/seconds", "cost/peak_memory"
"""What a run took: seconds trained, without the pauses between attempts; bytes (see training/memory.py)."""


@dataclass(frozen=True)
class NonFinite:
    """Values of a frame that are NaN or infinite: how many, the first in words, where the last one stands."""

    count: int
    first: str
    step: int
    timestamp: int


def non_finite(frame: Event | Values, columns: Sequence[Column]) -> NonFinite | None:
    """The values of a frame that are not finite, if there are any."""
    if isinstance(frame, Values):
        found = [
            (step, index, value, timestamp)
            for index, column in enumerate(columns)
            for step, value, timestamp in _not_finite(frame.column(index, column))
        ]
        if not found:
            return None
        step, index, value, _ = min(found)
        *_, timestamp = last = max(found)
        return NonFinite(len(found), f"step {step}: {columns[index].key} = {value}", last[0], timestamp)
    if not isinstance(frame, Evaluated):
        return None
    listed = [f"{key} = {value}" for key, value in frame.values.items() if not np.isfinite(value)]
    first = f"step {frame.step}: {listed[0]}" if listed else ""
    return NonFinite(len(listed), first, frame.step, frame.time) if listed else None


def _not_finite(series: Series) -> Iterator[tuple[int, float, int]]:
    """Step, value and timestamp of each value that is NaN or infinite."""
    where = ~np.isfinite(series.values)
    return zip(
        series.steps[where].tolist(),
        series.values[where].tolist(),
        series.timestamps[where].tolist(),
        strict=True,
    )


def metrics(frame: Event | Values, columns: Sequence[Column]) -> Iterator[Metric]:
    """A frame's values as MLflow takes them, column by column."""
    if isinstance(frame, Values):
        for index, column in enumerate(columns):
            series = frame.column(index, column)
            values = np.where(np.isfinite(series.values), series.values, np.nan)
            for value, timestamp, step in zip(
                values.tolist(), series.timestamps.tolist(), series.steps.tolist(), strict=True
            ):
                yield Metric(column.key, value, timestamp, step)
    elif isinstance(frame, Evaluated):
        for key, value in frame.values.items():
            yield Metric(key, value if np.isfinite(value) else np.nan, frame.time, frame.step)


def number(frame: Event | Values, columns: Sequence[Column]) -> int:
    """How many values a frame has."""
    if isinstance(frame, Values):
        return frame.count(columns)
    return len(frame.values) if isinstance(frame, Evaluated) else 0


@dataclass
class Seen(RunState):
    """What a journal's frames said so far, with what MLflow needs besides; no values are kept.

    Attributes:
        keys: of all metrics, in the journal's order.
        lasts: the last step of each metric.
        pictures: the last step of each kind of picture.
        non_finite: how many values were NaN or infinite.
    """

    keys: dict[str, None] = field(default_factory=dict)
    lasts: dict[str, int] = field(default_factory=dict)
    pictures: dict[str, int] = field(default_factory=dict)
    non_finite: int = 0

    @property
    def ended(self) -> bool:
        """Whether the journal says how the run ended."""
        return self.status != Status.RUNNING

    def can_be_read(self, frame: Event | Values) -> bool:
        """Return whether it is known what a frame's values are: that frame, too, may have been damaged."""
        return isinstance(frame, Event) or frame.values.shape[1] == len(self.columns)

    def take(self, frame: Event | Values) -> None:
        """Advance by one frame."""
        super().take(frame)
        if found := non_finite(frame, self.columns):
            self.non_finite += found.count
        if isinstance(frame, Values):
            for column in self.columns:
                if rows := frame.rows(column):
                    self._reach(column.key, frame.first_step + rows[-1])
        elif isinstance(frame, ColumnsDeclared):
            self.keys |= {column.key: None for column in self.columns}
        elif isinstance(frame, Evaluated):
            self.keys |= dict.fromkeys(frame.values)
            for key in frame.values:
                self._reach(key, frame.step)
            if frame.image:
                self.pictures[frame.image.key] = frame.step

    def _reach(self, key: str, step: int) -> None:
        self.lasts[key] = max(step, self.lasts.get(key, step))

    def cost_metrics(self, when: int) -> list[Metric]:
        """What the run took, as metrics of its last step."""
        numbers = {SECONDS: self.seconds, PEAK_MEMORY: self.peak_memory}
        return [Metric(key, value, when, self.steps) for key, value in numbers.items() if value is not None]
