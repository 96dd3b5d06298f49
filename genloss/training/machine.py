"""What this process may use of the machine: the limits of a container count, which torch does not know."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

OWN = Path("/proc/self/cgroup")
TREE = Path("/sys/fs/cgroup")


def cores() -> int:
    """The processor cores that this process may use, at least one.

    Those that it is bound to, or as many as its control groups' quota lasts for, if that is less.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, math.floor(_quota() + 0.01)) if _quota() < bound else bound)


def memory() -> int | None:
    """The bytes of memory that this process may use; None where the system does not say."""
    found = [limit for limit in _limits("memory", "memory.max", "memory.limit_in_bytes") if limit > 0]
    with suppress(OSError, ValueError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(found) if found else None


def _quota() -> float:
    """Cores by the control groups' quota of processor time; infinite where there is none."""
    least = math.inf
    for folder in _groups("cpu"):
        with suppress(OSError, ValueError):
            if (folder / "cpu.max").exists():
                share, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
            else:
                share = (folder / "cpu.cfs_quota_us").read_text(encoding="utf-8")
                period = (folder / "cpu.cfs_period_us").read_text(encoding="utf-8")
            if int(share) > 0:  # `max` is not an integer, and version 1 has −1 for it
                least = min(least, int(share) / int(period))
    return least


def _limits(controller: str, *names: str) -> Iterator[int]:
    """The values of a limit in the process's control groups, where it is set."""
    for folder in _groups(controller):
        for name in names:
            with suppress(OSError, ValueError):
                yield int((folder / name).read_text(encoding="utf-8"))


def _groups(controller: str) -> Iterator[Path]:
    """The folders of the process's control groups, from its own up; those of version 2, and of version 1.

    In a container its own group often is the root of what can be seen, whatever its path is said to be.
    """
    if sys.platform != "linux":
        return
    lines = []
    with suppress(OSError):
        lines = OWN.read_text(encoding="utf-8").splitlines()
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        root = TREE / controllers if controllers else TREE
        if controllers and not root.is_dir():
            root = TREE / controller
        folder = root / path.lstrip("/")
        while folder != root and root in folder.parents:
            yield folder
            folder = folder.parent
        yield root
