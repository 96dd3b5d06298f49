"""Numbers that change from step to step."""

from __future__ import annotations

import math
from collections.abc import Callable

from genloss.experiment.schema import Number, Schedule


def at(number: Number) -> Callable[[int], float]:
    """A function from the step (from 0) to the value. A plain number is constant.

    linear: from + (to − from)·min(step/steps, 1). cosine: the same with ½(1 − cos π·progress) as progress.
    cyclical (Fu et al. 2019, 1903.10145, with a whole-period ramp): linear in each period, then back.
    """
    if not isinstance(number, Schedule):
        constant = float(number)
        return lambda _: constant
    if number.linear is not None:
        ramp = number.linear
        return lambda step: ramp.start + (ramp.to - ramp.start) * min(step / ramp.steps, 1.0)
    if number.cosine is not None:
        wave = number.cosine
        return lambda step: (
            wave.start + (wave.to - wave.start) * 0.5 * (1 - math.cos(math.pi * min(step / wave.steps, 1.0)))
        )
    cycle = number.cyclical
    if cycle is None:
        raise ValueError("a schedule has one of `linear`, `cosine`, `cyclical`")
    return lambda step: cycle.start + (cycle.to - cycle.start) * (step % cycle.period) / cycle.period
