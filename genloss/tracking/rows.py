"""What a journal's frames are in MLflow, and what must be known of those before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from mlflow.entities import Metric

from genloss.record import journal
from genloss.record.cost import RunCost
from genloss.record.journal import Column, Event, Values

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
        steps = frame.first_step + np.arange(len(frame.values))
        present = steps[:, None] % [column.every for column in columns] == 0
        found = np.argwhere(present & ~np.isfinite(frame.values))
        if not len(found):
            return None
        row, column = found[0]
        first = f"step {steps[row]}: {columns[column].key} = {frame.values[row, column]}"
        last = found[-1][0]
        return NonFinite(len(found), first, int(steps[last]), int(frame.timestamps[last]))
    if frame.name != "evaluation":
        return None
    step = frame.content["step"]
    listed = [f"{key} = {value}" for key, value in frame.content["values"].items() if not np.isfinite(value)]
    return NonFinite(len(listed), f"step {step}: {listed[0]}", step, frame.time) if listed else None


def metrics(frame: Event | Values, columns: Sequence[Column]) -> Iterator[Metric]:
    """A frame's values as MLflow takes them, column by column."""
    if isinstance(frame, Values):
        values = np.where(np.isfinite(frame.values), frame.values, np.nan)
        for index, column in enumerate(columns):
            start = -frame.first_step % column.every
            rows = slice(start, None, column.every)
            steps = range(frame.first_step + start, frame.first_step + len(values), column.every)
            for value, timestamp, step in zip(
                values[rows, index].tolist(), frame.timestamps[rows].tolist(), steps, strict=True
            ):
                yield Metric(column.key, value, timestamp, step)
    elif frame.name == "evaluation":
        step = frame.content["step"]
        for key, value in frame.content["values"].items():
            yield Metric(key, value if np.isfinite(value) else np.nan, frame.time, step)


def number(frame: Event | Values, columns: Sequence[Column]) -> int:
    """How many values a frame has."""
    if isinstance(frame, Values):
        last = frame.first_step + len(frame.values) - 1
        return sum(last // column.every - (frame.first_step - 1) // column.every for column in columns)
    return len(frame.content["values"]) if frame.name == "evaluation" else 0


@dataclass
class Seen:
    """What the frames of a journal said so far; of its values nothing is kept.

    Attributes:
        columns: what the values are.
        keys: of all metrics, in the journal's order.
        lasts: the last step of each metric.
        pictures: the last step of each kind of picture.
        warnings: in the journal's order, each once.
        ended: whether it says how the run ended.
        last: the time of the last frame.
        cost: what the run took.
        steps: so many are recorded.
        non_finite: so many values were NaN or infinite.
    """

    columns: list[Column] = field(default_factory=list)
    keys: dict[str, None] = field(default_factory=dict)
    lasts: dict[str, int] = field(default_factory=dict)
    pictures: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)
    ended: bool = False
    last: int = 0
    steps: int = 0
    non_finite: int = 0
    cost: RunCost = field(default_factory=RunCost)

    def can_be_read(self, frame: Event | Values) -> bool:
        """Whether it is known what a frame's values are: that frame, too, may have been damaged."""
        return isinstance(frame, Event) or frame.values.shape[1] == len(self.columns)

    def take(self, frame: Event | Values) -> NonFinite | None:
        """Keeps what later frames need; says which of this one's values are not finite."""
        if isinstance(frame, Values):
            self.last = int(frame.timestamps[-1])
            self.steps = frame.first_step + len(frame.values)
            for column in self.columns:
                step = (self.steps - 1) // column.every * column.every
                if step >= frame.first_step:
                    self._reach(column.key, step)
        else:
            self.last = frame.time
            self._event(frame)
        self.cost.take(frame)
        found = non_finite(frame, self.columns)
        self.non_finite += found.count if found else 0
        return found

    def _reach(self, key: str, step: int) -> None:
        self.lasts[key] = max(step, self.lasts.get(key, step))

    def cost_metrics(self, when: int) -> list[Metric]:
        """What the run took, as metrics of its last step."""
        numbers = {SECONDS: self.cost.seconds, PEAK_MEMORY: self.cost.peak_memory}
        return [Metric(key, value, when, self.steps) for key, value in numbers.items() if value is not None]

    def _event(self, event: Event) -> None:
        content = event.content
        if event.name == "columns":
            self.columns = journal.columns(event)
            self.keys |= {column.key: None for column in self.columns}
        elif event.name == "evaluation":
            self.keys |= dict.fromkeys(content["values"])
            for key in content["values"]:
                self._reach(key, content["step"])
            if "image" in content:
                self.pictures[content["image"]["key"]] = content["step"]
        elif event.name == "warning":
            self.warnings[content["message"]] = None
        elif event.name in ("start", "status"):
            self.ended = event.name == "status"
