"""The trainer's cost stays within its bounds."""

from __future__ import annotations

import pytest

from tests.benchmarks.trainer import measure

TRIES = 5
"""On a machine that others use, one measurement in a few is off."""


@pytest.mark.slow
def test_the_trainer_costs_no_more_than_hand_written_loops() -> None:
    seen = []
    for _ in range(TRIES):
        medians = measure(steps=100, rounds=40)
        ratios = {name: medians["genloss"] / medians[name] for name in ("usual", "leanest")}
        seen.append(ratios)
        if ratios["usual"] <= 0.95 and ratios["leanest"] <= 1.06:
            return
    raise AssertionError(f"genloss takes longer than it should: {seen}")
