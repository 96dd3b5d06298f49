"""What can go wrong, as a tree.

    GenlossError                 says what, where and what to do next; shown without a traceback
    ├── RequestError             the request was wrong (exit code 2)
    │   ├── ExperimentError      the YAML file or a `--set`
    │   ├── DefinitionError      a plugin's loss, model, dataset or metric breaks its contract
    │   │   └── PluginError      its code raised an error, whose traceback is shown as well
    │   ├── CatalogueError       a name that no plugin, or more than one, offers
    │   └── DeviceError          a device that is not there
    ├── RunError                 a run failed while training
    │   ├── ContractError        a loss got or gave tensors that its signature does not allow
    │   ├── NonFiniteError       a loss value that is not finite
    │   └── MismatchError        a value computed again that is not the recorded one
    ├── RecordError              a run's folder that is missing, damaged or in use
    └── TrackingError            MLflow's store cannot be used
        └── MissingStoreError    there is none yet

Anything else that is raised is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Location:
    """A place in what the user wrote: a file with line and column (from 1), or a command-line option."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.source, self.line, self.column) if part is not None)


def described(message: str, where: Location | None, hint: str | None) -> str:
    """What is shown of an error or a remark: its sentence, its place and what to do next, a line each."""
    lines = [message]
    if where is not None:
        lines.append(f"  --> {where}")
    if hint:
        lines.append(f"hint: {hint}")
    return "\n".join(lines)


class GenlossError(Exception):
    """The base of all errors that a person is meant to read.

    Args:
        message: one sentence without a full stop, names in backticks.
        where: the place of the mistake, if it has one.
        hint: what to do next.
        subject: what it is about, such as a file or a device, for callers that know its place.
    """

    def __init__(
        self, message: str, *, where: Location | None = None, hint: str | None = None, subject: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.subject = subject

    def __str__(self) -> str:
        return described(self.message, self.where, self.hint)


class CalledWhileLoading(BaseException):
    """A plugin's code called what itself loads plugins: it would be loaded again, without end.

    No `Exception`, so that it comes to whoever loads the plugin.
    """


class RequestError(GenlossError):
    """The request was wrong; nothing was trained."""


class ExperimentError(RequestError):
    """The experiment's YAML, or an override of it, is wrong."""


class DefinitionError(RequestError):
    """A plugin's definition breaks its contract."""


class PluginError(DefinitionError):
    """A plugin's code raised an error: the one that this is raised from."""


class CatalogueError(RequestError, KeyError):
    """A name that no installed plugin offers, or that several do; a KeyError, as of any mapping."""


class DeviceError(RequestError):
    """A device that does not exist here."""


class RunError(GenlossError):
    """A run failed while training."""


class ContractError(RunError):
    """A loss was given, or gave, tensors that its signature does not allow."""


class NonFiniteError(RunError):
    """A loss value became NaN or infinite.

    Attributes:
        step: when it did.
    """

    def __init__(
        self, message: str, *, step: int = 0, where: Location | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.step = step


class MismatchError(RunError):
    """A resumed run computed a value that is not the one which its journal has."""


class RecordError(GenlossError):
    """A run's folder is missing, damaged or in use."""


class TrackingError(GenlossError):
    """MLflow's store cannot be used."""


class MissingStoreError(TrackingError):
    """There is no such MLflow store yet."""


FOREIGN: tuple[type[BaseException], ...] = (Exception, SystemExit)
"""What a plugin's code may raise that is its own mistake; `sys.exit` in a loss ends no process of genloss."""


def said(error: BaseException) -> str:
    """What an error says, as text that can be written: its `__str__` may raise, or give half characters."""
    try:
        text = str(error)
    except FOREIGN as failure:
        return f"(its message cannot be made: its `__str__` raises {type(failure).__name__})"
    return writable(text)


def told(error: BaseException) -> str:
    """An error as Python ends a traceback with: `KeyError: 'x'`."""
    return f"{type(error).__name__}: {said(error)}".removesuffix(": ")


def writable(text: str) -> str:
    """The text without what no encoding has: halves of surrogate pairs."""
    return text.encode(errors="backslashreplace").decode()


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint that names the nearest known names, or lists them all when none is near."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(f"`{match}`" for match in near) + "?"
    if known and len(known) <= 12:
        return "known here: " + ", ".join(f"`{match}`" for match in known)
    return None
