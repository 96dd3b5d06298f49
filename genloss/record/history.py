"""The exact record of a run's values, by key, from its journal."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from genloss.record import journal
from genloss.record.events import Column, ColumnsDeclared, Evaluated
from genloss.record.frame import Series, Values
from genloss.record.journal import Damaged


class DamagedWarning(UserWarning):
    """A part of a journal cannot be read."""


def read_history(path: Path) -> dict[str, Series]:
    """All values of a journal, or of a compressed copy, by key; what is damaged is left out with a warning.

    Raises:
        RecordError: the file is not a journal.
    """
    columns: tuple[Column, ...] = ()
    parts: dict[str, list[Series]] = {}
    try:
        for _ in journal.read(path):
            continue
    except Damaged as damage:
        warnings.warn(damage.message, DamagedWarning, stacklevel=3)
    for frame, _ in journal.read(path, salvage=True):
        match frame:
            case Values():
                for index, column in enumerate(columns):
                    parts.setdefault(column.key, []).append(frame.column(index, column))
            case ColumnsDeclared():
                columns = frame.columns
            case Evaluated():
                for key, value in frame.values.items():
                    parts.setdefault(key, []).append(_point(frame, value))
    return {key: _joined(series) for key, series in parts.items()}


def _point(evaluation: Evaluated, value: float) -> Series:
    return Series(
        np.array([evaluation.step], dtype=np.int64),
        np.array([value], dtype=np.float64),
        np.array([evaluation.time], dtype=np.int64),
    )


def _joined(series: list[Series]) -> Series:
    return Series(
        np.concatenate([part.steps for part in series]),
        np.concatenate([part.values for part in series]),
        np.concatenate([part.timestamps for part in series]),
    )
