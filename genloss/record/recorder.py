"""The recorder: keeps every value of every step on the device, and hands blocks of them to the journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from genloss.errors import NonFiniteError
from genloss.record.journal import Column, Values, now

BLOCK_ROWS = 1024
FLUSH_SECONDS = 1.0


class Recorder:
    """Takes one row of values a step, without reading the device.

    The device is read once a block: when it is full, or a second after it was begun. Values that are not
    finite are noticed then, with their exact step.

    Args:
        columns: what a row holds.
        journal: where blocks go.
        device: where the values are.
        dtype: of the values.
        fail_on_nonfinite: whether a value that is not finite ends the run.
        on_block: told of each block once it is in the journal.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        journal: Callable[[Values], None],
        *,
        device: torch.device,
        dtype: torch.dtype,
        fail_on_nonfinite: bool = True,
        on_block: Callable[[Values], None] = lambda _: None,
    ) -> None:
        self.columns = tuple(columns)
        self._journal = journal
        self._fail = fail_on_nonfinite
        self._on_block = on_block
        self._block = torch.zeros(BLOCK_ROWS, len(self.columns), device=device, dtype=dtype)
        self._rows = self._block.unbind()
        self._absent = torch.zeros((), device=device, dtype=dtype)
        self._last_finite: tuple[int, np.ndarray] | None = None
        self._since = 0
        self._begin(0)

    def begin(self, step: int) -> None:
        """Says which step the next row belongs to."""
        self.flush()
        self._begin(step)

    def _begin(self, step: int) -> None:
        self._first_step = step
        self._count = 0
        self._since = max(now(), self._since)
        self._deadline = time.monotonic() + FLUSH_SECONDS

    def write(self, values: Sequence[Tensor | None]) -> None:
        """Keeps one step's values, scalars in the columns' order; None where the step has no such value."""
        present = [self._absent if value is None else value for value in values]
        with torch.no_grad():
            torch.stack(present, out=self._rows[self._count])
        self._count += 1
        if self._count == BLOCK_ROWS or time.monotonic() >= self._deadline:
            self.flush()

    def flush(self) -> None:
        """Hands over what has been kept.

        Raises:
            NonFiniteError: a value is not finite, and the run is to fail then. The rows up to that step are
                in the journal.
        """
        count, first = self._count, self._first_step
        if not count:
            return
        # MPS has no float64: the values are widened on this side.
        values = self._block[:count].cpu().to(torch.float64).numpy()
        # One clock reading a block; the rows between are spread evenly, and never run backwards, even where
        # the clock was put back.
        began, self._since = self._since, max(now(), self._since)
        timestamps = np.linspace(began, self._since, count + 1)[1:].astype(np.int64)
        self._begin(first + count)
        finite = np.isfinite(values)
        bad_row = -1 if finite.all() else int(np.argmin(finite.all(axis=1)))
        kept = bad_row + 1 if bad_row >= 0 and self._fail else count
        block = Values(first, timestamps[:kept], values[:kept].copy())
        self._journal(block)
        self._on_block(block)
        if bad_row >= 0 and self._fail:
            raise self._nonfinite(first, bad_row, values, finite)
        self._last_finite = (first + count - 1, values[-1].copy())

    def _nonfinite(self, first: int, row: int, values: np.ndarray, finite: np.ndarray) -> NonFiniteError:
        column = int(np.argmin(finite[row]))
        last = (first + row - 1, values[row - 1]) if row else self._last_finite
        before = ""
        if last is not None:
            step, numbers = last
            listed = ", ".join(
                f"`{c.key}` {number:.4g}"
                for c, number in zip(self.columns, numbers, strict=True)
                if step % c.every == 0
            )
            before = f"; the last finite values, at step {step}, were {listed}"
        return NonFiniteError(
            f"`{self.columns[column].key}` became {values[row, column]:g} at step {first + row}{before}",
            hint="lower the learning rate or clip gradients; "
            "`training.on_nonfinite: skip` or `continue` goes on",
        )
