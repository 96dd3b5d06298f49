"""What a run has taken, as its journal says: time and memory, gone through all of its attempts."""

from __future__ import annotations

from dataclasses import dataclass

from genloss.record.journal import Event, Values


@dataclass
class RunCost:
    """What the frames of a journal say so far of what the run took.

    Attributes:
        last: when something was last recorded, in milliseconds since 1970.
        milliseconds: that it was trained; the time between two attempts is left out.
        peak_memory: bytes: the most of all attempts that could tell; None where none could.
        device: the name of the device that it was last trained on.
    """

    last: int = 0
    milliseconds: int = 0
    peak_memory: int | None = None
    device: str = ""

    @property
    def seconds(self) -> float:
        return self.milliseconds / 1000

    def take(self, frame: Event | Values) -> None:
        """Goes on by a frame."""
        name = frame.name if isinstance(frame, Event) else ""
        if self.last and name != "start":
            self.milliseconds += max(frame.last - self.last, 0)
        self.last = max(frame.last, self.last)
        if isinstance(frame, Event) and name == "start":
            self.device = frame.content.get("device_name", "")
        elif isinstance(frame, Event) and name == "status":
            peak = frame.content.get("peak_memory")
            if peak is not None:
                self.peak_memory = max(peak, self.peak_memory or 0)
