"""Starting child processes of a study."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import IO


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of ours; the working folder is not searched for modules first."""
    return [sys.executable, "-P", "-m", module, *arguments]


def parent() -> list[str]:
    """Tell a child whose death is not to be outlived: asked for by the child itself, it may be another's."""
    return ["--parent", str(os.getpid())]


def environment(**more: str) -> dict[str, str]:
    """This process's environment; a child finds the modules that this process would find."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path), **more}


def log(path: Path) -> IO[bytes]:
    """A file for what a child prints, to be added to; what it prints is lost where the disk is full."""
    try:
        return path.open("ab")
    except OSError:
        return Path(os.devnull).open("ab")


def signal_name(code: int) -> str:
    """The signal that ended a process, by its return code, which is negative."""
    try:
        return signal.Signals(-code).name
    except ValueError:  # those for real time have numbers alone
        return f"signal {-code}"
