"""The journal: the append-only file of a record.

    file   = magic, the journal's id (16 bytes), CRC-32 of the id (u32), frame…
    frame  = length of the payload (u32), kind (u8), CRC-32 of the payload (u32),
             CRC-32 of the three before (u32), payload
    event  = JSON: {"event": …, "time": milliseconds, …}
    values = first step (u64), rows (u32), columns (u32), timestamps (i64, one a row), values (f64)

Each frame is one write. What a crash tore off at the end is cut away when the journal is opened to append; a
frame that is damaged with whole ones behind it is an error (were the length not checked by itself, a damaged
one would look torn off, and all behind it would be cut away). The timestamps are MLflow's, made once:
shipping a frame twice leaves one row there.

A copy under a name that ends in `.gz` is read like the journal itself.
"""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import struct
import threading
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from genloss.errors import RecordError
from genloss.record import events, files
from genloss.record.events import ColumnsDeclared, Event
from genloss.record.frame import EVENT_KIND, VALUES, VALUES_KIND, Values, decode

MAGIC = b"genloss journal 2\n"
HEAD = struct.Struct(f"<{len(MAGIC)}s16sI")
HEADER = struct.Struct("<IBI")
CHECK = struct.Struct("<I")
SYNC_SECONDS = 5.0
UNWRITABLE = (errno.EINVAL, errno.EROFS)
"""What a file system says to `fsync` that only reads: there is nothing to wait for."""


NO_LOSSES = ("/gradient_norm", "/skipped_updates")
"""What the keys of columns end with that are no values of losses."""


def now() -> int:
    """The time in milliseconds since 1970, as MLflow wants it."""
    return time.time_ns() // 1_000_000


class Damaged(RecordError):
    """A frame of a journal is damaged, with whole ones behind it."""


class Journal:
    """A journal that is open to append; several threads may.

    Attributes:
        id: the journal's own, made when it began.

    Raises:
        Damaged: a frame in its middle is not what was written.
        RecordError: the file is not a journal, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        begun = path.exists() and identity(path)
        end = self._last = 0
        if begun:
            end = HEAD.size
            for frame, end in read(path):  # noqa: B007 - where the last one ends is wanted
                self._last = max(frame.last, self._last)
        try:
            self._file = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, files.PRIVATE_FILE
            )
            self._descriptor = files.Descriptor(self._file)
            os.ftruncate(self._file, end)
        except OSError as error:
            raise RecordError(f"the journal `{path}` cannot be written: {error.strerror}") from error
        self._synced = time.monotonic()
        self.id = begun or uuid.uuid4().hex
        if not begun:
            identifier = bytes.fromhex(self.id)
            self._write(HEAD.pack(MAGIC, identifier, zlib.crc32(identifier)))
            files.sync(path.parent)  # the name, too

    def event(self, event: Event) -> None:
        """Append an event with the current time, or the latest one here if the clock was set back."""
        self._last = max(now(), self._last)
        self._write(_framed(EVENT_KIND, events.encode(event.at(self._last))))

    def values(self, block: Values) -> None:
        """Append a block of values."""
        self._last = max(block.last, self._last)
        rows, columns = block.values.shape
        self._write(
            _framed(
                VALUES_KIND,
                VALUES.pack(block.first_step, rows, columns)
                + block.timestamps.astype("<i8").tobytes()
                + block.values.astype("<f8").tobytes(),
            )
        )

    def sync(self) -> None:
        """Wait until all is on the disk.

        Raises:
            RecordError: the disk does not take it.
        """
        self._expect_own()
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._failure(error.strerror) from error
        self._synced = time.monotonic()

    def close(self) -> None:
        try:
            self.sync()
        finally:
            if self._descriptor.is_own():
                os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, content: bytes) -> None:
        with self._lock:
            self._expect_own()
            start = os.fstat(self._file).st_size
            try:
                written = os.write(self._file, content)
            except OSError as error:
                raise self._failure(error.strerror) from error
            if written != len(content):
                os.ftruncate(self._file, start)
                raise self._failure("is the disk full?")
            if time.monotonic() - self._synced > SYNC_SECONDS:
                self.sync()

    def _expect_own(self) -> None:
        if not self._descriptor.is_own():
            raise RecordError(
                f"the journal `{self.path}` was closed by code that had not opened it",
                hint="a plugin closes files that are not its own, as `os.closerange` does",
            )

    def _failure(self, why: str | None) -> RecordError:
        return RecordError(
            f"the journal `{self.path}` could not be written: {why}",
            hint="make room; what is written already is safe, and `genloss resume` goes on from there",
        )


def read(path: Path, offset: int = 0, *, salvage: bool = False) -> Iterator[tuple[Event | Values, int]]:
    """The frames from an offset on, each with where it ends; what is torn off at the end is left out.

    Args:
        path: the journal, or a compressed copy of it.
        offset: where to begin: 0, or where a frame ended.
        salvage: passes over damaged frames.

    Raises:
        Damaged: a frame in the middle is damaged, and is not to be passed over.
        RecordError: the file is not a journal.
    """
    number = None
    for kind, payload, start, end in _frames(path, offset, salvage=salvage):
        try:
            frame = decode(kind, payload)
            if isinstance(frame, Values) and number not in (None, frame.values.shape[1]):
                raise RecordError("its values are not those of the columns")
        except RecordError as error:
            if not salvage:
                raise _damaged(path, start, error.message) from None
            continue
        if isinstance(frame, ColumnsDeclared):
            number = len(frame.columns)
        yield frame, end


def identity(path: Path) -> str | None:
    """The id of the journal; None where a crash left less than that.

    Raises:
        Damaged: the id is not what was written.
        RecordError: the file is not a journal.
    """
    with _opened(path) as file:
        return _identity(path, file)


def sync(path: Path) -> int:
    """Sync a journal to disk, whichever process writes it; return its size.

    Raises:
        RecordError: the disk does not take it.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise RecordError(f"the journal `{path}` cannot be kept: {error.strerror}") from error
    return size


def compress(path: Path, to: Path) -> None:
    """Write a compressed copy of a journal; it is there whole or not at all."""
    part = to.with_name(f"{to.name}.part")
    # Noise is what loss values mostly are: more effort makes it no smaller.
    with path.open("rb") as source, gzip.GzipFile(part, "wb", compresslevel=1, mtime=0) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    part.replace(to)


def readable_steps(path: Path) -> list[range]:
    """The steps whose values can be read, damaged frames passed over."""
    found: list[range] = []
    for frame, _ in read(path, salvage=True):
        if isinstance(frame, Values):
            steps = range(frame.first_step, frame.end)
            if found and found[-1].stop == steps.start:
                steps = range(found.pop().start, steps.stop)
            found.append(steps)
    return found


def _framed(kind: int, payload: bytes) -> bytes:
    header = HEADER.pack(len(payload), kind, zlib.crc32(payload))
    return header + CHECK.pack(zlib.crc32(header)) + payload


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, or what is compressed in it.

    Raises:
        Damaged: it is compressed, and that is damaged.
        RecordError: it cannot be read.
    """
    with ExitStack() as stack:
        try:
            opened = gzip.GzipFile(path, "rb") if path.suffix == ".gz" else path.open("rb")
            yield cast(BinaryIO, stack.enter_context(opened))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Damaged(f"the journal `{path}` is damaged, and cannot be unpacked: {error}") from error
        except OSError as error:
            raise RecordError(f"the journal `{path}` cannot be read: {error.strerror or error}") from error


def _frames(path: Path, offset: int = 0, *, salvage: bool = False) -> Iterator[tuple[int, bytes, int, int]]:
    """Kind, payload, begin and end of each whole frame; of a compressed file, up to where it is damaged."""
    begun = False
    try:
        with _opened(path) as file:
            begun = _identity(path, file) is not None
            if begun:
                file.seek(max(offset, HEAD.size))
                yield from _whole_frames(path, file, salvage=salvage)
    except Damaged:
        if not (salvage and begun):
            raise


def _whole_frames(path: Path, file: BinaryIO, *, salvage: bool) -> Iterator[tuple[int, bytes, int, int]]:
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
        if whole and zlib.crc32(payload) == checksum:
            yield kind, payload, start, file.tell()
            continue
        file.seek(start + 1)
        behind = _next_frame(file.read())
        if behind is None:
            return  # a power cut leaves such an end, of zeros perhaps
        if not salvage:
            raise _damaged(path, start)
        file.seek(start + 1 + behind)


def _identity(path: Path, file: BinaryIO) -> str | None:
    head = file.read(HEAD.size)
    if not head.startswith(MAGIC) and not MAGIC.startswith(head):
        raise RecordError(f"`{path}` is not a journal of this version of genloss")
    if len(head) < HEAD.size:
        return None
    _, identifier, checksum = HEAD.unpack(head)
    if zlib.crc32(identifier) != checksum:
        raise Damaged(f"the journal `{path}` is damaged at byte {len(MAGIC)}, in its id")
    return bytes(identifier).hex()


def _next_frame(content: bytes) -> int | None:
    """Where the first whole frame begins."""
    for start in range(len(content) - HEADER.size - CHECK.size + 1):
        header = content[start : start + HEADER.size]
        body = start + HEADER.size + CHECK.size
        if CHECK.unpack_from(content, start + HEADER.size)[0] == zlib.crc32(header):
            length, _, checksum = HEADER.unpack(header)
            if body + length <= len(content) and zlib.crc32(content[body : body + length]) == checksum:
                return start
    return None


def _damaged(path: Path, start: int, why: str = "") -> Damaged:
    listed = " and ".join(f"{steps.start} to {steps.stop - 1}" for steps in readable_steps(path))
    said = f"the values of the steps {listed} can be read" if listed else "none of its values can be read"
    because = f": {why}" if why else ""
    return Damaged(f"the journal `{path}` is damaged at byte {start}{because}; {said}")
