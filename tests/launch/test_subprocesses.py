"""How child processes are started, and how their end is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from genloss.launch import subprocesses


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (15, "SIGTERM"), (37, "signal 37")])
def test_a_signal_has_its_name(number: int, name: str) -> None:
    assert subprocesses.signal_name(-number) == name


def test_what_is_printed_is_added_to_a_file_or_lost(tmp_path: Path) -> None:
    for _ in range(2):
        with subprocesses.log(tmp_path / "log") as log:
            log.write(b"more\n")
    assert (tmp_path / "log").read_bytes() == b"more\nmore\n"
    with subprocesses.log(tmp_path / "gone" / "log") as log:
        log.write(b"lost\n")
    assert not (tmp_path / "gone").exists()
