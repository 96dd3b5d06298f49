"""Text for people: numbers, units, counts and lists in a sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

NUMBER = re.compile(r"(?<!\w)-?\d[\d.,]*(e[-+]?\d+)?|\b(nan|inf)\b")
NONE = "–"


def joined(names: Sequence[str], most: int = 3) -> str:
    """A list in a sentence; of many, the first and how many more."""
    if len(names) > most + 1:
        names = [*names[:most], f"{len(names) - most} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def one_line(text: str, length: int = 60) -> str:
    """The text without line breaks and control characters, cut where it is too long."""
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= length else text[: length - 1] + "…"


def without_numbers(message: str) -> str:
    """A message that is the same for runs that failed alike."""
    return NUMBER.sub("#", message)


def number(value: float) -> str:
    """Four significant digits, without an exponent where that can be read; a dash for NaN."""
    return NONE if math.isnan(value) else f"{value:.4g}"


def spread(mean: float, half_width: float) -> str:
    """`2.31 ± 0.55`: two significant digits of the half-width, and the mean to the same decimal."""
    if math.isnan(half_width):
        return number(mean)
    if not math.isfinite(mean) or not math.isfinite(half_width) or half_width == 0:
        return f"{number(mean)} ± {number(half_width)}"
    decimals = 1 - math.floor(math.log10(float(f"{half_width:.1e}")))
    if decimals > 6 or abs(mean) >= 1e6:
        return f"{number(mean)} ± {half_width:.2g}"
    shown = max(decimals, 0)
    return f"{round(mean, decimals):.{shown}f} ± {round(half_width, decimals):.{shown}f}"


def p_value(p: float) -> str:
    """Two significant digits; a dash where no test was made."""
    return NONE if math.isnan(p) else f"{p:.2g}"


def count_of(count: int, thing: str) -> str:
    """`1 seed`, `1,000 seeds`."""
    return f"{count:,} {thing}" + ("s" if count != 1 else "")


def needed(seeds: float) -> str:
    """How many seeds are needed; a dash where that cannot be said."""
    if math.isnan(seeds):
        return NONE
    return f"{seeds:,.0f}" if math.isfinite(seeds) else "more than 1,000"


def duration(seconds: float) -> str:
    """`41 s`, `12 min`, `1.3 h`: two significant digits where there are more; a dash for NaN."""
    if math.isnan(seconds):
        return NONE
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{rounded(seconds / size)} {unit}"
    return f"{rounded(seconds)} s"


def memory(size: int | None) -> str:
    """`512 MiB`, `1.2 GiB`; a dash where it is not known."""
    if size is None:
        return NONE
    return f"{rounded(size / 2**30)} GiB" if size >= 2**30 else f"{rounded(size / 2**20)} MiB"


def rounded(value: float) -> str:
    """One decimal below ten, none above."""
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def file_size(count: int) -> str:
    """A number of bytes: `512 bytes`, `1.4 kB`, `230 MB`."""
    if count < 1000:
        return f"{count} bytes"
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"


def age(seconds: float) -> str:
    """A duration in its largest unit: `40 s`, `3 h`, `12 days`."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"
