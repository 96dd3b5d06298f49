"""Running the command line in this process."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from genloss import commands


@dataclass(frozen=True)
class Said:
    """What a command gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def genloss(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs `genloss …` and gives exit code, stdout and stderr."""

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["genloss", *map(str, arguments)])
        with pytest.raises(SystemExit) as ending:
            commands.main()
        gc.unfreeze()  # this process does not end with the command
        out, err = capsys.readouterr()
        return Said(ending.value.code or 0, out, err)  # type: ignore[arg-type]

    return run
