"""Finding the definition responsible for an error, and the line in the plugin's own files."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING

from genloss.contracts.definition import BLAMED
from genloss.errors import told
from genloss.registry import neighbours
from genloss.text import one_line

if TYPE_CHECKING:
    from genloss.contracts.definition import Definition

CORE = str(Path(__file__).parents[1]) + os.sep


@dataclass(frozen=True)
class Culprit:
    """A definition in whose code an error was raised, and the line: `my_losses.py:12`.

    There is no line where it is what the definition gave that nothing can be done with.
    """

    definition: Definition
    place: str

    def __str__(self) -> str:
        return f"{self.definition.kind} `{self.definition.name}`" + (f" ({self.place})" if self.place else "")


def culprit(error: BaseException, definitions: Iterable[Definition]) -> Culprit | None:
    """The one of these definitions that an error was raised in, or in what its plugin called.

    The line is the innermost one in the files of their plugins, not that in a library beneath.
    """
    known = [(definition, _files(definition)) for definition in definitions]
    found, place = None, ""
    for frame, line in _frames(error.__traceback__):
        code = frame.f_code
        for definition, files in known:
            if not code.co_filename.startswith(files):
                continue
            place = f"{_short(code.co_filename)}:{line}"
            if _is_of(definition, frame):
                found = definition
    if found is None and (blamed := getattr(error, BLAMED, None)) is not None:
        found, place = blamed, ""
    return Culprit(found, place) if found is not None else None


def describe(error: BaseException) -> str:
    """The error in one line, as Python ends a traceback with: `KeyError: 'x'`."""
    return one_line(told(error), 300)


def from_plugin(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the core's frames that it begins with."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(CORE) and trace.tb_next:
        trace = trace.tb_next
    return trace


def _frames(trace: TracebackType | None) -> Iterable[tuple[FrameType, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _files(definition: Definition) -> tuple[str, ...]:
    """What the names of its plugin's files begin with: a folder, or the files of a plugin file."""
    name = definition.implementation.__module__
    if files := neighbours.files(name):
        return files
    module = sys.modules[name]
    root = sys.modules.get(module.__name__.partition(".")[0], module)
    file = root.__file__ or ""
    return (file.removesuffix("__init__.py") if file.endswith(f"{os.sep}__init__.py") else file,)


def _is_of(definition: Definition, frame: FrameType) -> bool:
    """Return whether it runs the definition's function or class; or, for a model, one of its turns."""
    from genloss.contracts.model import Turn

    code = definition.implementation
    if inspect.isclass(code):
        own = frame.f_locals.get("self")
        return isinstance(own, code) or (definition.kind == "model" and isinstance(own, Turn))
    running: CodeType | None = getattr(inspect.unwrap(code), "__code__", None)
    return frame.f_code is running


def _short(file: str) -> str:
    """The path as it may be opened from here: relative where it lies below the working folder."""
    relative = os.path.relpath(file)
    return file if relative.startswith(os.pardir) else relative
