"""Checking and writing blocks of values once they are on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from genloss.errors import MismatchError, NonFiniteError
from genloss.record.events import Column
from genloss.record.frame import Values


class Writer:
    """Compares blocks with what is recorded, looks for what is not finite, and writes them to the journal.

    Blocks are consecutive. The arguments are those of the `Recorder`.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        journal: Callable[[Values], None],
        *,
        fail_on_nonfinite: bool,
        on_block: Callable[[Values], None],
        recorded: Sequence[Values],
        tolerate: Callable[[str], None] | None,
    ) -> None:
        self._columns = columns
        self._journal = journal
        self._fail = fail_on_nonfinite
        self._on_block = on_block
        self._recorded_from = recorded[0].first_step if recorded else 0
        self._recorded = np.concatenate([block.values for block in recorded] or [np.empty((0, len(columns)))])
        self._tolerate = tolerate
        self._told = False
        self._before: Values | None = None

    def __call__(self, block: Values) -> None:
        """Write a block: where the run is to fail, up to the first row that is not finite.

        Raises:
            NonFiniteError: there is such a row; it has been written.
            MismatchError: a row that is recorded already is another one.
        """
        error = self._nonfinite(block) if self._fail else None
        if error is not None:
            block = rows(block, 0, error.step + 1 - block.first_step)
        known = self._compare(block)
        if known < len(block.values):
            self._journal(rows(block, known))
        self._on_block(block)
        self._before = block
        if error is not None:
            raise error

    def _compare(self, block: Values) -> int:
        """How many of these rows are recorded already."""
        start = block.first_step - self._recorded_from
        old = self._recorded[start : start + len(block.values)]
        new = block.values[: len(old)]
        same = (old.view(np.int64) == new.view(np.int64)) | (np.isnan(old) & np.isnan(new))
        if not same.all():
            row, column = np.argwhere(~same)[0]
            self._differs(
                f"`{self._columns[column].key}` at step {block.first_step + row} is "
                f"{float(new[row, column])!r}, and was {float(old[row, column])!r} when it was recorded"
            )
        return len(old)

    def _differs(self, message: str) -> None:
        if self._tolerate is None:
            raise MismatchError(
                message,
                hint="the checkpoint lacks something that decides the training, such as a generator or a "
                "counter that a plugin keeps for itself; `--allow-drift` goes on all the same",
            )
        if not self._told:
            self._told = True
            self._tolerate(message)

    def _nonfinite(self, block: Values) -> NonFiniteError | None:
        """The first row that is not finite, if there is one, as an error."""
        finite = np.isfinite(block.values)
        if finite.all():
            return None
        row, column = np.argwhere(~finite)[0]
        step = block.first_step + int(row)
        before = rows(block, 0, row) if row else self._before
        last = "" if before is None else self._last(before)
        return NonFiniteError(
            f"`{self._columns[column].key}` became {block.values[row, column]:g} at step {step}{last}",
            step=step,
            hint="lower the learning rate or clip gradients; "
            "`training.on_nonfinite: skip` or `continue` goes on",
        )

    def _last(self, block: Values) -> str:
        """What the last row says."""
        row = len(block.values) - 1
        values = ", ".join(
            f"`{column.key}` {value:.4g}"
            for column, value in zip(self._columns, block.values[row], strict=True)
            if row in block.rows(column)
        )
        return f"; the last finite values, at step {block.end - 1}, were {values}"


def rows(block: Values, start: int, end: int | None = None) -> Values:
    """A part of a block."""
    return Values(block.first_step + start, block.timestamps[start:end], block.values[start:end])
