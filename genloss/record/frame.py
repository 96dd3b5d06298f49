"""What a frame of a journal says: an event, or the values of some steps.

A frame whose checksum holds may still say anything, as anybody may have written it: it is checked here, once,
and what is read from a journal is what its readers expect.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genloss.errors import RecordError
from genloss.record.parsing import LARGEST, LATEST, Fields, parse_json

EVENT_KIND, VALUES_KIND = 1, 2
VALUES = struct.Struct("<QII")
STATUSES = ("FINISHED", "FAILED", "KILLED", "PRUNED")


@dataclass(frozen=True)
class Column:
    """One value a step: its MLflow key, and each how many steps there is one."""

    key: str
    every: int = 1


@dataclass(frozen=True)
class Values:
    """Consecutive steps: `values[row, column]` belongs to step `first_step + row`."""

    first_step: int
    timestamps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    @property
    def last(self) -> int:
        """When the last of them was recorded; 0 if there are none."""
        return int(self.timestamps[-1]) if len(self.timestamps) else 0


@dataclass(frozen=True)
class Event:
    """Something that happened.

    `start`, `columns`, `evaluation`, `artifact`, `warning`, `status`: see attempt.py and failure.py, which
    write them.
    """

    name: str
    time: int
    content: Mapping[str, Any]

    @property
    def last(self) -> int:
        """When it happened."""
        return self.time


def columns(event: Event) -> list[Column]:
    """The columns that a `columns` event declares, for all values after it."""
    return [Column(**column) for column in event.content["columns"]]


def decode(kind: int, payload: bytes) -> Event | Values:
    """What a frame says.

    Raises:
        RecordError: it is not what a frame may say.
    """
    if kind == EVENT_KIND:
        return _event(payload)
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


def _event(payload: bytes) -> Event:
    try:
        content = parse_json(payload)
    except ValueError as error:
        raise RecordError(f"its event is no JSON: {error}") from error
    said = Fields(content, "its event")
    name, time = said.text("event"), said.time("time")
    check = _CHECKS.get(name)
    if check is not None:
        check(said)
    return Event(name, time, {key: value for key, value in content.items() if key not in ("event", "time")})


def _check_start(said: Fields) -> None:
    said.text("device", "")
    said.text("device_name", "")


def _check_columns(said: Fields) -> None:
    keys = set()
    for each in said.list("columns"):
        column = Fields(each, "a column")
        if column.names() - {"key", "every"}:
            raise RecordError("a column says something else than `key` and `every`")
        keys.add(column.text("key"))
        column.count("every", 1, least=1)
    if len(keys) != len(said.list("columns")) or not keys:
        raise RecordError("its columns are not told apart")


def _check_evaluation(said: Fields) -> None:
    said.count("step")
    said.numbers("values")
    if "image" in said:
        said.fields("image").text("key")
        said.fields("image").text("path")
    if "text" in said:
        said.fields("text").text("path")


def _check_artifact(said: Fields) -> None:
    said.text("path")
    said.text("to")


def _check_warning(said: Fields) -> None:
    said.text("message")


def _check_status(said: Fields) -> None:
    if said.text("status") not in STATUSES:
        raise RecordError(f"there is no status {said.text('status')[:60]!r}")
    for name in ("message", "hint", "weights"):
        said.text(name, "")
    said.count("weights_step", 0)
    if "peak_memory" in said:
        said.count("peak_memory")


_CHECKS = {
    "start": _check_start,
    "columns": _check_columns,
    "evaluation": _check_evaluation,
    "artifact": _check_artifact,
    "warning": _check_warning,
    "status": _check_status,
}
"""By the name of the event; what else there may be is not read."""
