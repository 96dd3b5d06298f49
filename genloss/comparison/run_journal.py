"""What a report shows of a run's journal: evaluations, samples, and averaged loss curves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from genloss.errors import RecordError
from genloss.record import journal
from genloss.record.events import Column, ColumnsDeclared, Evaluated, Event
from genloss.record.frame import Values
from genloss.record.parsing import whole

if TYPE_CHECKING:
    from genloss.comparison.runs import RunResult

Line = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Steps and values."""

PARTS = 150
"""Into how many equal parts a run's steps are divided for the curve of a loss."""


@dataclass
class RunJournal:
    """What a report shows of a run's journal.

    Attributes:
        numbers: of the evaluations, by step and key; the last of two at one step.
        shown: the files that show samples, by step.
        losses: mean steps and values over equal parts of the planned steps, by key.
    """

    numbers: dict[int, dict[str, float]] = field(default_factory=dict)
    shown: dict[int, str] = field(default_factory=dict)
    losses: Mapping[str, Line] = field(default_factory=dict)
    _columns: tuple[Column, ...] = ()

    @classmethod
    def of(cls, path: Path, run: RunResult) -> RunJournal:
        """As much of a run's journal as can be read."""
        planned = whole(run.configuration.get("training.steps", ""))
        return cls.read(path, run.cost.steps if planned is None else planned)

    @classmethod
    def read(cls, path: Path, planned: int) -> RunJournal:
        """Read as much of a journal as possible; `planned` is the number of steps of the run."""
        reading = cls()
        with suppress(RecordError, OSError, EOFError):  # what cannot be read is among the runs that failed
            blocks = reading._blocks(path)
            first = next(blocks, None)
            if first is not None and planned:
                lines = means(chain([first], blocks), reading._columns, planned)
                reading.losses = dict(zip([column.key for column in reading._columns], lines, strict=True))
            for _ in blocks:
                pass  # without curves, the evaluations are still read
        return reading

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add numbers of an evaluation."""
        self.numbers.setdefault(step, {}).update(numbers)

    def evaluations(self) -> Mapping[str, tuple[Sequence[int], Sequence[float]]]:
        """The numbers of the evaluations by key: steps in their order, and values."""
        by_key: dict[str, tuple[list[int], list[float]]] = {}
        for step, numbers in sorted(self.numbers.items()):
            for key, value in numbers.items():
                steps, values = by_key.setdefault(key, ([], []))
                steps.append(step)
                values.append(value)
        return by_key

    def _blocks(self, path: Path) -> Iterator[Values]:
        """The values that fit the columns; what else there is is kept on the way."""
        for frame, _ in journal.read(path, salvage=True):
            if not isinstance(frame, Values):
                self._hear(frame)
            elif frame.values.shape[1] == len(self._columns):
                yield frame

    def _hear(self, event: Event) -> None:
        if isinstance(event, ColumnsDeclared):
            self._columns = event.columns
        elif isinstance(event, Evaluated):
            self.add(event.step, event.values)
            if path := event.text or (event.image.path if event.image else ""):
                self.shown[event.step] = path


def means(
    blocks: Iterable[Values], columns: Sequence[Column], steps: int, parts: int = PARTS
) -> list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """For each column the means of its steps and values, over equal parts of all steps.

    Only one block is looked at at a time: a long run's values are more than a process should hold.

    Args:
        blocks: of the run's values.
        columns: what a row holds.
        steps: of the run.
        parts: how many, if there are as many steps.
    """
    parts = min(parts, steps)
    # Of each column and part: how many values, the sum of their steps, and their own sum.
    counted, stepped, summed = np.zeros((3, len(columns), parts))
    for block in blocks:
        for index, column in enumerate(columns):
            series = block.column(index, column)
            part = series.steps * parts // steps
            counted[index] += np.bincount(part, minlength=parts)
            stepped[index] += np.bincount(part, series.steps, parts)
            with np.errstate(invalid="ignore"):  # +inf and -inf in one part are NaN
                summed[index] += np.bincount(part, series.values, parts)
    return [
        (places[many > 0] / many[many > 0], sums[many > 0] / many[many > 0])
        for many, places, sums in zip(counted, stepped, summed, strict=True)
    ]
