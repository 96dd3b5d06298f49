"""A block of rows, filled on the device by training and read on the host."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

ROWS = 1024


class Block:
    """Rows of values on the device, with a place for their copy on the host.

    Args:
        columns: values in a row.
        device: where they are.
        dtype: of the values.
        stream: on CUDA, the stream that copies them; the training's own goes on meanwhile.

    Attributes:
        rows: one tensor a row, `[columns]` each.
    """

    def __init__(
        self, columns: int, device: torch.device, dtype: torch.dtype, stream: torch.cuda.Stream | None
    ) -> None:
        self._values = torch.zeros(ROWS, columns, device=device, dtype=dtype)
        self.rows = self._values.unbind()
        self._host = self._values
        if device.type != "cpu":
            self._host = torch.zeros(ROWS, columns, dtype=dtype, pin_memory=stream is not None)
        self._stream = stream
        self._copied = None if stream is None else torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def copy(self, count: int) -> None:
        """Begin to copy the first rows to the host; they must not be written until `read` has given them."""
        if self._stream is not None and self._copied is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
            with torch.cuda.stream(self._stream):
                self._host[:count].copy_(self._values[:count], non_blocking=True)
                self._copied.record()
        elif self._host is not self._values:
            self._host[:count].copy_(self._values[:count])

    def read(self, count: int) -> npt.NDArray[np.float64]:
        """The first rows, once their copy is there; may be called by another thread."""
        if self._copied is not None:
            self._copied.synchronize()
        # MPS has no float64: the values are widened on this side.
        return self._host[:count].numpy().astype(np.float64)
