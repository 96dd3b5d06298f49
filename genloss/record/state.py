"""How a run stands: the one reducer of a journal's frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from genloss.record.events import Column, ColumnsDeclared, Ended, Evaluated, Event, Started, Status, Warned
from genloss.record.frame import Values


@dataclass
class RunState:
    """How a run stands after the frames that were taken; of the values, only the last row is kept.

    Attributes:
        status: RUNNING, or how the last attempt ended.
        message: why it did not finish.
        hint: what to do about it.
        attempts: how often it was started.
        columns: what the values are.
        steps: how many are recorded.
        row: the values of the last step.
        evaluations: metrics and held-out losses by step.
        warnings: in the journal's order, each once.
        last: when something was last recorded, in milliseconds since 1970.
        milliseconds: of training, without the pauses between attempts.
        peak_memory: in bytes, the largest of all attempts that reported it; None if none did.
        device: the name of the device that it was last trained on.
    """

    status: Status = Status.RUNNING
    message: str = ""
    hint: str = ""
    attempts: int = 0
    columns: tuple[Column, ...] = ()
    steps: int = 0
    row: Sequence[float] = ()
    evaluations: dict[int, dict[str, float]] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)
    last: int = 0
    milliseconds: int = 0
    peak_memory: int | None = None
    device: str = ""

    @property
    def seconds(self) -> float:
        """Of training, without the pauses between attempts."""
        return self.milliseconds / 1000

    @property
    def skipped(self) -> dict[str, int]:
        """How many updates of each player were skipped, where they are counted."""
        return skipped_updates({c.key: v for c, v in zip(self.columns, self.row, strict=False)})

    @property
    def final(self) -> dict[str, float]:
        """The numbers of the last evaluation."""
        return self.evaluations[max(self.evaluations)] if self.evaluations else {}

    def take(self, frame: Event | Values) -> None:
        """Advance by one frame."""
        if self.last and not isinstance(frame, Started):
            self.milliseconds += max(frame.last - self.last, 0)
        self.last = max(frame.last, self.last)
        match frame:
            case Values():
                self.steps = frame.end
                if len(frame.values):
                    self.row = frame.values[-1]
            case Started():
                self.attempts += 1
                self.status, self.message, self.hint = Status.RUNNING, "", ""
                self.device = frame.device_name
            case ColumnsDeclared():
                self.columns = frame.columns
            case Evaluated():
                self.evaluations.setdefault(frame.step, {}).update(frame.values)
            case Warned():
                self.warnings[frame.message] = None
            case Ended():
                self.status, self.message, self.hint = frame.status, frame.message, frame.hint
                if frame.peak_memory is not None:
                    self.peak_memory = max(frame.peak_memory, self.peak_memory or 0)


def skipped_updates(numbers: Mapping[str, float]) -> dict[str, int]:
    """How many updates of each player were skipped, from the last values of a run by key."""
    end = "/skipped_updates"
    return {
        key.removesuffix(end): int(value) for key, value in numbers.items() if key.endswith(end) and value > 0
    }
