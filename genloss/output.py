"""Standard output and error that never fail, even without a reader.

Whoever reads them may go away (`| head -1`, a `tee` that dies, a terminal that is closed), and the disk
beneath may be full. What is trained goes on, and so does a command to its end and its exit code.
"""

from __future__ import annotations

import errno
import io
import select
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Patient(io.FileIO):
    """A descriptor to write to, on which no writing fails.

    Attributes:
        error: the first error, if not all was written, and not for want of a reader.
    """

    error: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        size = memoryview(data).nbytes
        try:
            while (written := super().write(data)) is None:  # the descriptor does not wait by itself
                select.select([], [self], [], 1.0)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):  # EIO: the terminal is gone
                self.error = self.error or error
            return size
        return written


def protect() -> None:
    """Make printing in this process never fail."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # Not what somebody has put in their place.
        if stream is not getattr(sys, f"__{name}__") or not isinstance(stream, io.TextIOWrapper):
            continue
        raw = Patient(stream.fileno(), "w", closefd=False)
        new = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=stream.encoding,
            errors=stream.errors,
            # Unbuffered (`python -u`): a buffer is between, since a descriptor may take a part alone.
            line_buffering=stream.line_buffering or stream.write_through,
            write_through=stream.write_through,
        )
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


def unwritten() -> OSError | None:
    """The error because of which not all of standard output was written, unless nobody was reading it."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.error if isinstance(raw, Patient) else None
