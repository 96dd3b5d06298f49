"""Axis scales: from values to positions, and their ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DECADES = 2.0
"""Positive values that span as many decades are shown on a logarithmic axis."""

LARGEST = 1e300
"""Ends of an axis that leave room for sums."""


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic axis from `low` to `high`."""

    low: float
    high: float
    log: bool = False

    def __call__(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Where values stand, 0 at `low` and 1 at `high`."""
        at = np.asarray(values, np.float64)
        if not self.log:
            return (at - self.low) / (self.high - self.low)
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = math.log(self.low), math.log(self.high)
            return (np.log(at) - low) / (high - low)

    def ticks(self, most: int = 6) -> list[float]:
        """Between one and `most` round values."""
        return self._decades(most) if self.log else self._round(most)

    def _round(self, most: int) -> list[float]:
        power = 10.0 ** math.floor(math.log10((self.high - self.low) / most))
        for factor in (1, 2, 2.5, 5, 10, 20, 25, 50, 100):
            step = power * factor
            first = math.ceil(self.low / step - 1e-9)
            last = math.floor(self.high / step + 1e-9)
            if last - first < most:
                break
        return [float(f"{index * step:.12g}") for index in range(first, last + 1)]

    def _decades(self, most: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        choices = [((1, 2, 3, 5, 7), 1), ((1, 2, 5), 1), ((1, 3), 1)]
        for factors, every in [*choices, *(((1,), every) for every in range(1, last - first + 1))]:
            powers = [power for power in range(first, last + 1) if power % every == 0]
            found = [float(f"{f}e{power}") for power in powers for f in factors]
            found = [tick for tick in found if self.low <= tick <= self.high]
            if len(found) <= most:
                break
        return found or self._round(most)


def around(values: Iterable[float], *, margin: float = 0.06, log: bool | None = None) -> Scale:
    """An axis that has room for all finite values.

    Args:
        values: what it shows.
        margin: share of its length that is left free at each end.
        log: whether it is logarithmic; where that is None, if positive values span two decades.
    """
    shown = np.array([value for value in values if math.isfinite(value)]).clip(-LARGEST, LARGEST)
    if not len(shown):
        return Scale(0.0, 1.0)
    low, high = float(shown.min()), float(shown.max())
    if log is None:
        log = low > 0 and math.log10(high / low) >= DECADES
    if log and high / low > 1 + 1e-9:
        room = (high / low) ** margin
        return Scale(max(low / room, 1 / LARGEST), min(high * room, LARGEST), log=True)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        room = 0.1 * abs(high) or 1.0
    else:
        room = margin * (high - low)
    return Scale(low - room, high + room)


def tick(value: float) -> str:
    """A tick's number, short."""
    size = abs(value)
    if value != 0 and (size >= 1e5 or size < 1e-3):
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.6g}"
