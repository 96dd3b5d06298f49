"""The journal: the append-only file of a record.

    file   = magic, frame…
    frame  = length of the payload (u32), kind (u8), CRC-32 of the payload (u32),
             CRC-32 of the three before (u32), payload
    event  = JSON: {"event": …, "time": milliseconds, …}
    values = first step (u64), rows (u32), columns (u32), timestamps (i64, one a row), values (f64)

Each frame is one write. A frame that a crash tore off at the end is cut away when the journal is opened to
append; one that is damaged in the middle is an error (were the length not checked by itself, a damaged one
would look torn off, and all behind it would be cut away). The timestamps are MLflow's, made once: shipping a
frame twice leaves one row there.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from genloss.errors import RecordError

MAGIC = b"genloss journal 1\n"
HEADER = struct.Struct("<IBI")
CHECK = struct.Struct("<I")
VALUES = struct.Struct("<QII")
EVENT_KIND, VALUES_KIND = 1, 2
SYNC_SECONDS = 5.0


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


@dataclass(frozen=True)
class Event:
    """Something that happened: `columns`, `evaluation`, `artifact`, `image`, `status` …"""

    name: str
    time: int
    content: Mapping[str, Any]


def now() -> int:
    """The time in milliseconds since 1970, as MLflow wants it."""
    return time.time_ns() // 1_000_000


class Journal:
    """A journal that is open to append.

    Raises:
        RecordError: the file is there and damaged, or is no journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        end = len(MAGIC)
        if path.exists():
            for _, end in read(path):  # noqa: B007 - the last frame's end is what is wanted
                continue
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        if os.fstat(self._file).st_size < len(MAGIC):
            os.ftruncate(self._file, 0)
            os.write(self._file, MAGIC)
        else:
            os.ftruncate(self._file, end)
        self._synced = time.monotonic()

    def event(self, name: str, **content: Any) -> None:
        """Appends an event with the present time."""
        payload = json.dumps({"event": name, "time": now(), **content}, default=str).encode()
        self._append(EVENT_KIND, payload)

    def values(self, block: Values) -> None:
        """Appends a block of values."""
        rows, columns = block.values.shape
        self._append(
            VALUES_KIND,
            VALUES.pack(block.first_step, rows, columns)
            + block.timestamps.astype("<i8").tobytes()
            + block.values.astype("<f8").tobytes(),
        )

    def sync(self) -> None:
        """Waits until all is on the disk."""
        os.fsync(self._file)
        self._synced = time.monotonic()

    def close(self) -> None:
        self.sync()
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, kind: int, payload: bytes) -> None:
        header = HEADER.pack(len(payload), kind, zlib.crc32(payload))
        frame = header + CHECK.pack(zlib.crc32(header)) + payload
        start = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, frame)
        except OSError as error:
            raise RecordError(f"the journal `{self.path}` could not be written: {error.strerror}") from error
        if written != len(frame):
            os.ftruncate(self._file, start)
            raise RecordError(f"the journal `{self.path}` could not be written: is the disk full?")
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()


def read(path: Path, offset: int = 0) -> Iterator[tuple[Event | Values, int]]:
    """The frames from an offset on, each with the offset of the next; ends before a frame that is not whole.

    Raises:
        RecordError: the file is no journal, or a frame's checksum is wrong.
    """
    with path.open("rb") as file:
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            if MAGIC.startswith(magic):
                return
            raise RecordError(f"`{path}` is no journal of this version of genloss")
        file.seek(max(offset, len(MAGIC)))
        while True:
            start = file.tell()
            header, check = file.read(HEADER.size), file.read(CHECK.size)
            if len(check) < CHECK.size:
                return
            length, kind, checksum = HEADER.unpack(header)
            whole = CHECK.unpack(check)[0] == zlib.crc32(header)
            payload = file.read(length) if whole else b""
            if whole and len(payload) < length:
                return
            if not whole or zlib.crc32(payload) != checksum:
                raise RecordError(
                    f"the journal `{path}` is damaged at byte {start}",
                    hint="what stands before it can be read",
                )
            yield _decode(kind, payload), file.tell()


def _decode(kind: int, payload: bytes) -> Event | Values:
    if kind == EVENT_KIND:
        content = json.loads(payload)
        return Event(content.pop("event"), content.pop("time"), content)
    first_step, rows, columns = VALUES.unpack_from(payload)
    timestamps = np.frombuffer(payload, "<i8", rows, VALUES.size)
    values = np.frombuffer(payload, "<f8", rows * columns, VALUES.size + timestamps.nbytes)
    return Values(first_step, timestamps.astype(np.int64), values.reshape(rows, columns).astype(np.float64))


def columns(event: Event) -> list[Column]:
    """The columns that a `columns` event declares, for all values after it."""
    return [Column(**column) for column in event.content["columns"]]
