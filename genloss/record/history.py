"""The exact record of a run's values, by key, from its journal."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genloss.record import journal
from genloss.record.journal import Column, Damaged, Event, Values


class DamagedWarning(UserWarning):
    """A part of a journal cannot be read."""


@dataclass(frozen=True)
class Series:
    """How one value went: `values[i]` is that of step `steps[i]`, and was recorded at `timestamps[i]`.

    Attributes:
        steps: in their order.
        values: exact, infinities and NaN included.
        timestamps: milliseconds since 1970, as MLflow has them.
    """

    steps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    timestamps: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.steps)


def read_history(path: Path) -> dict[str, Series]:
    """All values of a journal, or of a compressed copy, by key; what is damaged is left out with a warning.

    Raises:
        RecordError: the file is no journal.
    """
    columns: list[Column] = []
    parts: dict[str, list[Series]] = {}
    try:
        for _ in journal.read(path):
            continue
    except Damaged as damage:
        warnings.warn(damage.message, DamagedWarning, stacklevel=3)
    for frame, _ in journal.read(path, salvage=True):
        if isinstance(frame, Values):
            for index, column in enumerate(columns):
                parts.setdefault(column.key, []).append(_column(frame, index, column.every))
        elif frame.name == "columns":
            columns = journal.columns(frame)
        elif frame.name == "evaluation":
            for key, value in frame.content["values"].items():
                parts.setdefault(key, []).append(_point(frame, value))
    return {key: _joined(series) for key, series in parts.items()}


def _column(block: Values, index: int, every: int) -> Series:
    rows = slice(-block.first_step % every, None, every)
    steps = block.first_step + np.arange(len(block.values), dtype=np.int64)
    return Series(steps[rows], block.values[rows, index], block.timestamps[rows])


def _point(evaluation: Event, value: float) -> Series:
    return Series(
        np.array([evaluation.content["step"]], dtype=np.int64),
        np.array([value], dtype=np.float64),
        np.array([evaluation.time], dtype=np.int64),
    )


def _joined(series: list[Series]) -> Series:
    return Series(
        np.concatenate([part.steps for part in series]),
        np.concatenate([part.values for part in series]),
        np.concatenate([part.timestamps for part in series]),
    )
