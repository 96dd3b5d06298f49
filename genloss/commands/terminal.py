"""Terminal output: results on stdout, everything else on stderr, readable without colour."""

from __future__ import annotations

import json
import traceback
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, TextIO
from unicodedata import category

import click
from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from genloss.errors import GenlossError, Location, PluginError
from genloss.planning.remarks import Remark
from genloss.registry.catalogue import PluginWarning

PIPE_WIDTH = 160
"""Columns of a table that is read by no terminal."""


class Printer(Console):
    """A console that prints no character that would command the terminal: texts may come from anywhere."""

    def render(self, *args: Any, **kwargs: Any) -> Iterable[Segment]:
        return map(_printable, super().render(*args, **kwargs))


def _printable(segment: Segment) -> Segment:
    if segment.control:  # rich's own
        return segment
    return segment._replace(text=printable(segment.text))


def stdout() -> Console:
    """The console for results."""
    console = _console()
    return console if console.is_terminal else _console(width=PIPE_WIDTH)


def stderr() -> Console:
    """The console for all else."""
    return _console(stderr=True, soft_wrap=True)


def _console(**how: Any) -> Console:
    """A console that takes nothing for a terminal but a terminal: FORCE_COLOR colours a log, and no more."""
    console = Printer(highlight=False, **how)
    if console.file.isatty() or not console.is_terminal:
        return console
    system: Any = console.color_system
    return Printer(highlight=False, force_terminal=False, color_system=system, **how)


def say(text: str = "") -> None:
    """Print a line on stdout as it is, however long, but for what would command the terminal."""
    print(printable(text), flush=True)  # as when `genloss ui`, which goes on, writes to a file


def complain(error: GenlossError) -> None:
    """Print an error: what, where, and what to do next."""
    console = stderr()
    console.print(Text.assemble(("error", "bold red"), (": ", "bold"), printable(error.message)))
    _place_and_hint(error.where, error.hint)
    if isinstance(error, PluginError) and (cause := error.__cause__) is not None:
        from genloss.registry.origin import from_plugin

        lines = traceback.format_exception(type(cause), cause, from_plugin(cause.__traceback__))
        console.print(Text(printable("".join(lines).rstrip()), "dim"))


def remark(remarks: Iterable[Remark]) -> None:
    """Print a plan's remarks as warnings: what, where, and what to do if it was not meant."""
    for each in remarks:
        warn(each.message)
        _place_and_hint(each.where, each.hint)


def _place_and_hint(where: Location | None, then: str | None) -> None:
    if where is not None:
        stderr().print(Text.assemble(("  --> ", "blue"), printable(str(where))))
    if then:
        hint(then)


def printable(text: str) -> str:
    """The text without what would command the terminal: names and messages may come from anywhere."""
    return "".join(c if category(c)[0] != "C" or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def hint(text: str) -> None:
    """Print what to do next."""
    stderr().print(Text.assemble(("hint", "bold cyan"), (": ", "bold"), printable(text)))


def warn(text: str) -> None:
    """Print a warning."""
    stderr().print(Text.assemble(("warning", "bold yellow"), (": ", "bold"), printable(text)))


def show_plugin_warnings() -> None:
    """Let `PluginWarning` read as a warning of ours, not as Python's."""
    original = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, PluginWarning):
            warn(str(message))
        else:
            original(message, category, filename, lineno, file, line)

    warnings.showwarning = show


def print_json(value: Any) -> None:
    """Print a value as JSON, for programs."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    click.echo("".join(c if c == "\n" or category(c)[0] != "C" else json.dumps(c)[1:-1] for c in text))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Print columns, the first one bold; the last one wraps, the others keep their width."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    last = len(columns) - 1
    for index, column in enumerate(columns):
        table.add_column(
            column,
            style="bold" if index == 0 else "",
            justify="right" if index in right else "left",
            no_wrap=index != last,
        )
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    stdout().print(table)
