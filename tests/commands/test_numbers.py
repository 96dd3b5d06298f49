"""A table of numbers at any width."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from genloss.commands import numbers
from genloss.commands.numbers import broken

COLUMNS = [
    "objective",
    "seeds",
    "frechet_distance ↓",
    "precision ↑",
    "mean_squared_error, data ↓",
    "nll, nats ↓",
]
ROWS = [
    ["non_saturating", "8", "2.31 ± 0.55", "0.547 ± 0.044", "0.0231 ± 0.0012", "–"],
    ["real data", "", "0.2275", "0.931", "–", "1.5"],
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(monkeypatch: pytest.MonkeyPatch, width: int | None) -> list[str]:
    """The lines on a terminal of that width, or in a pipe."""
    file = io.StringIO() if width is None else Terminal()
    monkeypatch.setattr("sys.stdout", file)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width or 20))
    numbers.print_numbers(COLUMNS, ROWS)
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", file.getvalue()).splitlines()]
    assert width is None or max(map(len, lines)) <= width
    for row in ROWS:
        for cell in row:
            assert any(cell in line for line in lines)
    return lines


@pytest.mark.parametrize("width", [None, 200, 110])
def test_where_there_is_room_each_row_is_a_line(monkeypatch: pytest.MonkeyPatch, width: int | None) -> None:
    lines = printed(monkeypatch, width)
    assert len(lines) == 3
    assert lines[0].split("  ")[0] == "objective"
    for heading in COLUMNS:
        assert heading in lines[0]


def test_where_there_is_less_headings_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(monkeypatch, 80)
    assert len(lines) == 5
    assert [line.split() for line in lines[:3]] == [
        ["nll,"],
        ["frechet_", "mean_squared_", "nats"],
        ["objective", "seeds", "distance", "↓", "precision", "↑", "error,", "data", "↓", "↓"],
    ]


def test_where_there_is_little_there_are_several_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(monkeypatch, 40)
    assert sum(line.startswith("non_saturating") for line in lines) >= 2


def test_a_row_that_has_nothing_in_one_of_the_tables_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "stdout", lambda: Console(width=30, force_terminal=True))
    file = io.StringIO()
    monkeypatch.setattr("sys.stdout", file)
    numbers.print_numbers(
        ["of", "a" * 20, "b" * 20], [["one", "1", "2"], ["reference", "3", ""], ["none", "", ""]]
    )
    first = [line.split()[0] for line in file.getvalue().splitlines() if line.strip()]
    assert first == ["of", "one", "reference", "of", "one"]


@pytest.mark.parametrize(
    ("heading", "size", "lines"),
    [
        ("precision ↑", 13, ["precision ↑"]),
        ("frechet_distance ↓", 11, ["frechet_", "distance ↓"]),
        ("a_b_c ↓", 1, ["a_", "b_", "c", "↓"]),
        ("__x", 3, ["__x"]),
    ],
)
def test_a_heading_is_broken_where_it_can_be(heading: str, size: int, lines: list[str]) -> None:
    assert broken(heading, size) == lines
