"""Numbers as people read them."""

from __future__ import annotations


def size(count: int) -> str:
    """So many bytes: `512 bytes`, `1.4 kB`, `230 MB`."""
    if count < 1000:
        return f"{count} bytes"
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"


def age(seconds: float) -> str:
    """So much time, in its largest unit: `40 s`, `3 h`, `12 days`."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"
