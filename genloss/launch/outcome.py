"""How an attempt at a run ended."""

from __future__ import annotations

from dataclasses import dataclass

from genloss.record.events import Status


@dataclass(frozen=True)
class Outcome:
    """How an attempt at a run ended.

    Attributes:
        status: FINISHED, FAILED, INTERRUPTED or PRUNED.
        message: why it did not finish, in one line.
        hint: what to do about it.
        recorded: whether the journal has it; a full disk takes no word of itself.
    """

    status: Status
    message: str = ""
    hint: str = ""
    recorded: bool = True
