"""Texts from anywhere do not command the terminal, whichever way they reach it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from rich.table import Table
from rich.text import Text

from genloss.commands import terminal
from genloss.commands.numbers import print_numbers
from genloss.errors import GenlossError, Location
from genloss.record.folder import ROOT
from tests.commands.conftest import Said

HOSTILE = "a\x1b]0;title\x07b\x9b31mc\u202ed\re\x08f"
SHOWN = "a\N{REPLACEMENT CHARACTER}]0;title"
COMMANDS = {"\x1b", "\x07", "\x9b", "\u202e", "\r", "\x08"}


def table() -> Table:
    found = Table()
    found.add_column(Text(HOSTILE))
    found.add_row(Text(HOSTILE))
    return found


PRINTS: dict[str, Callable[[], object]] = {
    "text": lambda: terminal.stdout().print(Text(HOSTILE)),
    "words": lambda: terminal.stderr().print(HOSTILE, markup=False),
    "a table": lambda: terminal.stdout().print(table()),
    "our table": lambda: terminal.print_table([HOSTILE, ""], [[HOSTILE, HOSTILE]]),
    "numbers": lambda: print_numbers([HOSTILE, "x"], [[HOSTILE, HOSTILE]]),
    "a line": lambda: terminal.say(HOSTILE),
    "an error": lambda: terminal.complain(GenlossError(HOSTILE, where=Location(HOSTILE), hint=HOSTILE)),
    "a warning": lambda: terminal.warn(HOSTILE),
}


@pytest.mark.parametrize("print_it", PRINTS.values(), ids=PRINTS)
def test_nothing_commands_the_terminal(
    print_it: Callable[[], object], capsys: pytest.CaptureFixture[str]
) -> None:
    print_it()
    said = "".join(capsys.readouterr())
    assert SHOWN in said
    assert not COMMANDS & set(said)


def test_json_says_the_same_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_json({HOSTILE: [HOSTILE, "é"]})
    said = capsys.readouterr().out
    assert not COMMANDS & set(said)
    assert json.loads(said) == {HOSTILE: [HOSTILE, "é"]}
    assert "é" in said


def test_names_of_folders(
    genloss: Callable[..., Said], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    folder = ROOT / HOSTILE
    folder.mkdir(parents=True)
    (folder / "study.json").write_text("{}")
    for arguments in (["clean"], ["sync"], ["clean", HOSTILE, "--yes"]):
        said = genloss(*arguments)
        assert not COMMANDS & set(said.out + said.err)
        assert "title" in said.out + said.err
