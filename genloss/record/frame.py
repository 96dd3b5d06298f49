"""The frames of a journal: an event, or the values of consecutive steps."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genloss.errors import RecordError
from genloss.record import events
from genloss.record.events import Column, Event
from genloss.record.parsing import LARGEST, LATEST

EVENT_KIND, VALUES_KIND = 1, 2
VALUES = struct.Struct("<QII")


@dataclass(frozen=True)
class Series:
    """One value over the steps: `values[i]` is that of step `steps[i]`, and was recorded at `timestamps[i]`.

    Attributes:
        steps: ascending.
        values: exact, infinities and NaN included.
        timestamps: milliseconds since 1970, as MLflow has them.
    """

    steps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    timestamps: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class Values:
    """Consecutive steps: `values[row, column]` belongs to step `first_step + row`.

    A step has a column if it is a multiple of the column's `every`; what stands in the other rows means
    nothing.
    """

    first_step: int
    timestamps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    @property
    def end(self) -> int:
        """The step after the last one."""
        return self.first_step + len(self.values)

    @property
    def last(self) -> int:
        """When the last of them was recorded; 0 if there are none."""
        return int(self.timestamps[-1]) if len(self.timestamps) else 0

    def rows(self, column: Column) -> range:
        """The rows whose steps have the column."""
        return range(-self.first_step % column.every, len(self.values), column.every)

    def column(self, index: int, column: Column) -> Series:
        """The values of the column with that index."""
        rows = self.rows(column)
        part = slice(rows.start, None, rows.step)
        steps = np.arange(self.first_step, self.end, dtype=np.int64)
        return Series(steps[part], self.values[part, index], self.timestamps[part])

    def count(self, columns: Sequence[Column]) -> int:
        """How many values there are."""
        return sum(len(self.rows(column)) for column in columns)


def decode(kind: int, payload: bytes) -> Event | Values:
    """The frame from its payload.

    A frame whose checksum holds may still say anything, as anybody may have written it: it is checked here,
    once, and what is read from a journal is what its readers expect.

    Raises:
        RecordError: it is not what a frame may say.
    """
    if kind == EVENT_KIND:
        return events.decode(payload)
    if kind == VALUES_KIND:
        return _values(payload)
    raise RecordError(f"there is no frame of kind {kind}")


def _values(payload: bytes) -> Values:
    if len(payload) < VALUES.size:
        raise RecordError("its values are cut off")
    first_step, rows, columns = VALUES.unpack_from(payload)
    if not rows or not columns or len(payload) != VALUES.size + 8 * rows * (columns + 1):
        raise RecordError("its values are not as many as it says")
    if first_step + rows > LARGEST:
        raise RecordError(f"there is no step {first_step}")
    timestamps = np.frombuffer(payload, "<i8", rows, VALUES.size)
    if timestamps.min() < 0 or timestamps.max() > LATEST:
        raise RecordError("the times of its values are none")
    values = np.frombuffer(payload, "<f8", rows * columns, VALUES.size + timestamps.nbytes)
    return Values(first_step, timestamps.astype(np.int64), values.reshape(rows, columns).astype(np.float64))
