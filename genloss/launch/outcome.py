"""How an attempt at a run ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """How an attempt at a run ended.

    Attributes:
        status: FINISHED, FAILED, KILLED or PRUNED.
        message: why it did not finish, in one line.
        hint: what to do about it.
        recorded: whether the journal has it; a full disk takes no word of itself.
    """

    status: str
    message: str = ""
    hint: str = ""
    recorded: bool = True
