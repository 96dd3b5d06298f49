"""The recorder: keeps every value of every step on the device, and hands blocks of them to the journal.

    the training's thread                      the writer's thread
    keep one row per step in a block;              wait until the host has it;
    hand it over when it is full,        ──▶   compare, look, write: see writer.py
    or a second after it was begun;
    go on in the next block              ◀──   the block is free again

The training waits for the disk only when all blocks are with the writer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from genloss.record import block
from genloss.record.block import Block
from genloss.record.events import Column
from genloss.record.frame import Values
from genloss.record.journal import now
from genloss.record.writer import Writer

BLOCKS = 8
BLOCK_ROWS = block.ROWS
FLUSH_SECONDS = 1.0


class Recorder:
    """Takes one row of values a step, without reading the device and without waiting for the disk.

    The device is read once a block: when it is full, or a second after it was begun if the writer has
    nothing else to do. Values that are not finite are noticed then, with their exact step. What goes wrong
    in the writer is raised when the next block is handed over, or by `flush`.

    Args:
        columns: what a row holds.
        journal: where blocks go; called in the writer's thread.
        device: where the values are.
        dtype: of the values.
        fail_on_nonfinite: whether a value that is not finite ends the run.
        on_block: told of each block once it is in the journal; called in the writer's thread.
        recorded: what the journal has already: consecutive, from the step on at which training goes on. What
            is computed again is compared with it, bit for bit, and not written again.
        since: the last timestamp in the journal; no later one is before it.
        tolerate: told of the first value that is not the recorded one; without it, that is an error.
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
        recorded: Sequence[Values] = (),
        since: int = 0,
        tolerate: Callable[[str], None] | None = None,
    ) -> None:
        self.columns = tuple(columns)
        self._writer = Writer(
            self.columns,
            journal,
            fail_on_nonfinite=fail_on_nonfinite,
            on_block=on_block,
            recorded=recorded,
            tolerate=tolerate,
        )
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")
        self._error: BaseException | None = None
        stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._blocks = [Block(len(self.columns), device, dtype, stream) for _ in range(BLOCKS)]
        self._handed: deque[Future[None]] = deque()
        self._absent = torch.zeros((), device=device, dtype=dtype)
        self._since = max(now(), since)
        self._begin(0)

    def begin(self, step: int) -> None:
        """Report which step the next row belongs to, and that it is computed from now on."""
        self.flush()
        self._since = max(now(), self._since)
        self._begin(step)

    def write(self, values: Sequence[Tensor | None]) -> None:
        """Keep one step's values, scalars in the columns' order; None where the step has no such value.

        Waits only while all blocks are with the writer.
        """
        present = [self._absent if value is None else value for value in values]
        with torch.no_grad():
            torch.stack(present, out=self._rows[self._count])
        self._count += 1
        if self._count == BLOCK_ROWS or (time.monotonic() >= self._deadline and self._is_idle()):
            self._hand_over()

    def flush(self) -> None:
        """Wait until all that has been kept is in the journal.

        Raises:
            NonFiniteError: a value is not finite, and the run is to fail then. The rows up to that step are
                in the journal.
            MismatchError: a value is not the recorded one.
        """
        if self._count:
            self._hand_over()
        self._wait(0)

    def close(self) -> None:
        """End the writer's thread when it has written what was handed to it; raises nothing."""
        self._thread.shutdown()

    def _begin(self, step: int) -> None:
        self._rows = self._blocks[0].rows
        self._first_step = step
        self._count = 0
        self._deadline = time.monotonic() + FLUSH_SECONDS

    def _is_idle(self) -> bool:
        return not self._handed or self._handed[-1].done()

    def _hand_over(self) -> None:
        """Leave the block to the writer, and go on with the one that was left to it first."""
        block = self._blocks.pop(0)
        block.copy(self._count)
        began, self._since = self._since, max(now(), self._since)
        # One reading of the clock a block: the rows between are spread evenly, and never run backwards, even
        # where the clock was put back.
        timestamps = np.linspace(began, self._since, self._count + 1)[1:].astype(np.int64)
        self._handed.append(self._thread.submit(self._write, block, self._first_step, timestamps))
        self._blocks.append(block)
        self._begin(self._first_step + self._count)
        self._wait(BLOCKS - 1)

    def _wait(self, most: int) -> None:
        """Wait until the writer has at most this many blocks; raise its error, if it has one."""
        while len(self._handed) > most:
            self._handed[0].result()
            self._handed.popleft()
        if self._error is not None:
            raise self._error

    def _write(self, block: Block, first_step: int, timestamps: np.ndarray) -> None:
        """What the writer's thread does with a block; nothing once something went wrong."""
        if self._error is None:
            try:
                self._writer(Values(first_step, timestamps, block.read(len(timestamps))))
            except BaseException as error:  # raised where the training can notice it
                self._error = error
