"""Ending a process and all that it started, at once, as a power cut would."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress


def kill_everything(root: int) -> None:
    """SIGKILL for a process and its descendants, but for this one; none can start another meanwhile."""
    stopped: list[int] = []
    while found := [process for process in family(root) if process not in (*stopped, os.getpid())]:
        for process in found:
            _send(process, signal.SIGSTOP)
        stopped += found
    for process in stopped:
        _send(process, signal.SIGKILL)


def family(root: int) -> list[int]:
    """A process and its descendants that live."""
    with subprocess.Popen(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True
    ) as listing:
        lines = [line.split(maxsplit=2) for line in listing.communicate()[0].splitlines()]
    parents = {int(process): int(parent) for process, parent, state in lines if not state.startswith("Z")}
    parents.pop(listing.pid, None)
    found = [root] if root in parents else []
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def _send(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)
