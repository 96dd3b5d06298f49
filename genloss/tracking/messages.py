"""What the tracker tells its launcher, one line of JSON per message: `{"event": KIND, …}`."""

from __future__ import annotations

from enum import StrEnum


class Message(StrEnum):
    """The kinds of messages, with their fields."""

    READY = "ready"
    """`experiment_id`; `page`: the comparison's address, on a server."""
    SHIPPED = "shipped"
    """`values`: shipped in all; `left`: bytes of the journals."""
    WAITING = "waiting"
    """`why`: MLflow does not answer; it is tried again."""
    ANSWERED = "answered"
    """MLflow answers again."""
    NOTE = "note"
    """`text`: for the user."""
    ERROR = "error"
    """`message`, `hint`: the store cannot be used, and the tracker ends."""
    DONE = "done"
    """`shipped`: whether MLflow has everything."""
