"""The events of a journal, and how a run stands.

An event is JSON in the journal, `{"event": NAME, "time": MILLISECONDS, …}`, and one of the classes below
everywhere else. A frame whose checksum holds may still hold anything, since anybody may have written it:
events are checked here, once, when they are decoded.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar, Self

from genloss.errors import RecordError
from genloss.record.parsing import Fields, parse_json


class Status(StrEnum):
    """How a run stands. The journal holds the last four; MLflow has KILLED for INTERRUPTED and PRUNED."""

    NOT_STARTED = "NOT STARTED"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"
    PRUNED = "PRUNED"

    def __repr__(self) -> str:
        return repr(self.value)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to resume: it finished, or a search pruned it."""
        return self in (Status.FINISHED, Status.PRUNED)


KILLED = "KILLED"
"""What MLflow calls a run that was interrupted, and what journals called it once."""

SILENT = "the worker died without reporting a status"
"""The message of a run whose process died without writing one."""


@dataclass(frozen=True)
class Column:
    """A recorded value: its MLflow key, and the interval in steps at which it is recorded."""

    key: str
    every: int = 1


@dataclass(frozen=True)
class Picture:
    """A picture of samples: its key in MLflow, and its path in the run's folder."""

    key: str
    path: str


_EVENTS: dict[str, type[Event]] = {}
"""The classes of events by their names in the journal."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a run.

    Attributes:
        time: in milliseconds since 1970; the journal sets it.
    """

    NAME: ClassVar[str] = ""
    time: int = 0

    def __init_subclass__(cls) -> None:
        _EVENTS[cls.NAME] = cls

    @property
    def last(self) -> int:
        """When it happened."""
        return self.time

    def at(self, time: int) -> Self:
        """The same event at another time."""
        return replace(self, time=time)

    def content(self) -> dict[str, Any]:
        """Its fields as JSON has them, without the time and what is empty."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name != "time" and value is not None and value != ""
        }

    @classmethod
    def read(cls, said: Fields) -> Self:
        """The event from its JSON.

        Raises:
            RecordError: a field is missing, or is not what it should be.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    """An attempt began.

    Attributes:
        device: as torch names it.
        device_name: the hardware's name.
        threads: of the worker.
        attempt: from 1.
        resumed_from: the checkpoint's step, if the attempt resumes another.
        drift: what has changed since the study began, if that was accepted.
        passed_over: checkpoints that could not be read.
    """

    NAME = "start"
    device: str = ""
    device_name: str = ""
    threads: int | None = None
    attempt: int | None = None
    resumed_from: int | None = None
    drift: str = ""
    passed_over: str = ""

    @classmethod
    def read(cls, said: Fields) -> Self:
        numbers = {
            name: said.count(name) if name in said else None
            for name in ("threads", "attempt", "resumed_from")
        }
        texts = {name: said.text(name, "") for name in ("device", "device_name", "drift", "passed_over")}
        return cls(**numbers, **texts)  # type: ignore[arg-type]  # as they were read


@dataclass(frozen=True, kw_only=True)
class ColumnsDeclared(Event):
    """What all values after it are."""

    NAME = "columns"
    columns: tuple[Column, ...]

    @classmethod
    def read(cls, said: Fields) -> Self:
        columns = []
        for each in said.list("columns"):
            column = Fields(each, "a column")
            if column.names() - {"key", "every"}:
                raise RecordError("a column says something else than `key` and `every`")
            columns.append(Column(column.text("key"), column.count("every", 1, least=1)))
        if not columns or len({column.key for column in columns}) != len(columns):
            raise RecordError("its columns are not told apart")
        return cls(columns=tuple(columns))


@dataclass(frozen=True, kw_only=True)
class Evaluated(Event):
    """An evaluation.

    Attributes:
        step: that it followed.
        values: metrics and held-out losses by MLflow key.
        image: a picture of samples.
        text: the path of sampled text in the run's folder.
    """

    NAME = "evaluation"
    step: int
    values: dict[str, float] = field(default_factory=dict)
    image: Picture | None = None
    text: str = ""

    def content(self) -> dict[str, Any]:
        content = super().content()
        return {**content, "text": {"path": self.text}} if self.text else content

    @classmethod
    def read(cls, said: Fields) -> Self:
        image = said.fields("image") if "image" in said else None
        return cls(
            step=said.count("step"),
            values=said.numbers("values"),
            image=None if image is None else Picture(image.text("key"), image.text("path")),
            text=said.fields("text").text("path") if "text" in said else "",
        )


@dataclass(frozen=True, kw_only=True)
class ArtifactWritten(Event):
    """A file or folder was written: its path in the run's folder, and its folder among the artifacts."""

    NAME = "artifact"
    path: str
    to: str = ""

    def content(self) -> dict[str, Any]:
        return {"path": self.path, "to": self.to}

    @classmethod
    def read(cls, said: Fields) -> Self:
        return cls(path=said.text("path"), to=said.text("to"))


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """A warning for the user."""

    NAME = "warning"
    message: str

    @classmethod
    def read(cls, said: Fields) -> Self:
        return cls(message=said.text("message"))


@dataclass(frozen=True, kw_only=True)
class Ended(Event):
    """An attempt ended.

    Attributes:
        status: FINISHED, FAILED, INTERRUPTED or PRUNED.
        message: why it did not finish.
        hint: what to do about it.
        weights: the digest of the weights that were kept.
        weights_step: their step, if it is not the last one.
        peak_memory: in bytes, if it is known.
    """

    NAME = "status"
    status: Status
    message: str = ""
    hint: str = ""
    weights: str = ""
    weights_step: int | None = None
    peak_memory: int | None = None

    @classmethod
    def read(cls, said: Fields) -> Self:
        name = said.text("status")
        status = Status.INTERRUPTED if name == KILLED else name
        if status not in (Status.FINISHED, Status.FAILED, Status.INTERRUPTED, Status.PRUNED):
            raise RecordError(f"there is no status {name[:60]!r}")
        return cls(
            status=Status(status),
            message=said.text("message", ""),
            hint=said.text("hint", ""),
            weights=said.text("weights", ""),
            weights_step=said.count("weights_step") if "weights_step" in said else None,
            peak_memory=said.count("peak_memory") if "peak_memory" in said else None,
        )


@dataclass(frozen=True, kw_only=True)
class Unknown(Event):
    """An event of another version of genloss, which nothing here reads."""

    name: str

    def content(self) -> dict[str, Any]:
        return {}


def encode(event: Event) -> bytes:
    """The event as the journal holds it."""
    name = event.name if isinstance(event, Unknown) else event.NAME
    return json.dumps({"event": name, "time": event.time, **event.content()}, default=str).encode()


def decode(payload: bytes) -> Event:
    """The event from the journal.

    Raises:
        RecordError: it is not one.
    """
    try:
        content = parse_json(payload)
    except ValueError as error:
        raise RecordError(f"its event is not JSON: {error}") from error
    said = Fields(content, "its event")
    name, time = said.text("event"), said.time("time")
    kind = _EVENTS.get(name) if name else None
    return (Unknown(name=name) if kind is None else kind.read(said)).at(time)
