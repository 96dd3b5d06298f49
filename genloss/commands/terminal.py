"""What people see: results on stdout, everything else on stderr, readable without colour."""

from __future__ import annotations

import json
import traceback
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, TextIO
from unicodedata import category

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genloss.errors import GenlossError, PluginError
from genloss.registry import PluginWarning

PIPE_WIDTH = 160
"""Columns of a table that is read by no terminal."""


def stdout() -> Console:
    """The console for results."""
    console = Console(highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)


def stderr() -> Console:
    """The console for all else."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def complain(error: GenlossError) -> None:
    """Prints an error: what, where, and what to do next."""
    console = stderr()
    console.print(Text.assemble(("error", "bold red"), (": ", "bold"), printable(error.message)))
    if error.where is not None:
        console.print(Text.assemble(("  --> ", "blue"), printable(str(error.where))))
    if error.hint:
        hint(error.hint)
    if isinstance(error, PluginError) and (cause := error.__cause__) is not None:
        from genloss.experiment.blame import from_plugin

        lines = traceback.format_exception(type(cause), cause, from_plugin(cause.__traceback__))
        console.print(Text(printable("".join(lines).rstrip()), "dim"))


def printable(text: str) -> str:
    """The text without what would command the terminal: names and messages may come from anywhere."""
    return "".join(c if category(c)[0] != "C" or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def hint(text: str) -> None:
    """Prints what to do next."""
    stderr().print(Text.assemble(("hint", "bold cyan"), (": ", "bold"), printable(text)))


def warn(text: str) -> None:
    """Prints a warning."""
    stderr().print(Text.assemble(("warning", "bold yellow"), (": ", "bold"), printable(text)))


def show_plugin_warnings() -> None:
    """Lets `PluginWarning` read as a warning of ours, not as Python's."""
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


def number_of(count: int, thing: str) -> str:
    """`1 run`, `1,000 runs`."""
    return f"{count:,} {thing}" + ("s" if count != 1 else "")


def print_json(value: Any) -> None:
    """Prints a value as JSON, for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Prints columns, the first one bold; the last one wraps, the others keep their width."""
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
        table.add_row(*(Text(cell) for cell in row))
    stdout().print(table)
