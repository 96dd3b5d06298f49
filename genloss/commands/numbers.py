"""Tables of numbers that stay complete on narrow terminals."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from genloss.commands.terminal import Printer, printable, stdout

GAP = 2


def print_numbers(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows, whose first cell says what they are of, on stdout.

    Where they are too wide for the terminal, headings are broken; where that is not enough, there are several
    tables below each other, each without the rows that have nothing in it.
    """
    console = stdout()
    columns, rows = [*map(printable, columns)], [[*map(printable, row)] for row in rows]
    cells = [max(len(row[index]) for row in rows) for index in range(len(columns))]
    headings = [[heading] for heading in columns]
    sizes = _sizes(headings, cells)
    if console.is_terminal and _width(sizes) > console.width:
        headings = [broken(heading, size) for heading, size in zip(columns, cells, strict=True)]
        sizes = _sizes(headings, cells)
    for part in _parts(sizes, console.width) if console.is_terminal else [range(len(columns))]:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, GAP, 0, 0))
        for index in part:
            table.add_column(
                Text("\n".join(headings[index])),
                style="" if index else "bold",
                justify="right" if index else "left",
                vertical="bottom",
                no_wrap=True,
            )
        for row in rows:
            if any(row[index] for index in part[1:]) or len(part) == len(columns):
                table.add_row(*(Text(row[index]) for index in part))
        Printer(highlight=False, width=_width(sizes) + GAP).print(table)


def broken(heading: str, size: int) -> list[str]:
    """A heading wrapped to a width, broken after `_` and at spaces where possible."""
    lines: list[str] = []
    for part in re.findall(r"[^_ ]+[_ ]?|[_ ]", heading):
        if lines and len((lines[-1] + part).rstrip()) <= size:
            lines[-1] += part
        else:
            lines.append(part)
    return [line.rstrip() for line in lines]


def _sizes(headings: Sequence[Sequence[str]], cells: Sequence[int]) -> list[int]:
    """Each column's width."""
    return [max(cell, *map(len, lines)) for lines, cell in zip(headings, cells, strict=True)]


def _width(sizes: Sequence[int]) -> int:
    return sum(sizes) + GAP * (len(sizes) - 1)


def _parts(sizes: Sequence[int], width: int) -> list[list[int]]:
    """The columns of each table: the first one again, and as many others as there is room for."""
    parts = [[0]]
    for index in range(1, len(sizes)):
        if len(parts[-1]) > 1 and _width([sizes[i] for i in [*parts[-1], index]]) > width:
            parts.append([0])
        parts[-1].append(index)
    return parts
