"""Processor time, which a machine that others use changes little."""

from __future__ import annotations

import resource


def of_children() -> float:
    """Seconds that processes of this one have used which have ended, with those that they have waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
