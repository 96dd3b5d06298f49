"""What is shown suits whoever reads it: a terminal, a dumb one, a log, an ssh session."""

from __future__ import annotations

import os
from contextlib import redirect_stderr

import pytest

from genloss.commands import ui
from genloss.commands.display import LiveDisplay, for_terminal
from genloss.commands.terminal import stderr, stdout


def test_lines_are_drawn_anew_on_a_terminal_alone_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal, redirect_stderr(terminal):
        monkeypatch.setenv("TERM", "xterm")
        assert isinstance(for_terminal(), LiveDisplay)
        monkeypatch.setenv("TERM", "dumb")
        assert not isinstance(for_terminal(), LiveDisplay)
    os.close(master)


@pytest.mark.parametrize("name", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_a_log_may_be_coloured_and_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv(name, "1")
    monkeypatch.setenv("TERM", "xterm")
    assert not isinstance(for_terminal(), LiveDisplay)
    with stderr().status("drawn again"):
        pass
    stderr().print("said", style="bold")
    stdout().print("said", style="bold")
    out, err = capsys.readouterr()
    assert "drawn again" not in err
    assert out == err
    assert "\x1b[1msaid" in out
    assert "\r" not in err


def test_over_ssh_the_line_of_a_tunnel_is_shown_in_place_of_a_browser(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("SSH_CONNECTION", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not ui._is_remote()
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 50000 192.0.2.1 22")
    monkeypatch.setenv("USER", "ada")
    monkeypatch.setenv("LOGNAME", "ada")
    assert ui._is_remote()
    ui._tell_of_a_tunnel("127.0.0.1", 5001)
    assert "`ssh -N -L 5001:127.0.0.1:5001 ada@192.0.2.1`" in capsys.readouterr().err
    monkeypatch.setenv("DISPLAY", ":10")  # its windows are shown there
    assert not ui._is_remote()
