"""What a run took, from its journal."""

from __future__ import annotations

from typing import Any

import numpy as np

from genloss.record.cost import RunCost
from genloss.record.journal import Event, Values


def spent(*frames: Event | Values) -> RunCost:
    found = RunCost()
    for frame in frames:
        found.take(frame)
    return found


def event(name: str, when: int, **content: Any) -> Event:
    return Event(name, when, content)


def values(first: int, last: int) -> Values:
    return Values(0, np.array([first, last]), np.ones((2, 1)))


def test_the_pauses_between_attempts_are_left_out_and_the_largest_peak_is_kept() -> None:
    found = spent(
        event("start", 1000, device_name="cpu"),
        values(1200, 1500),
        event("status", 2000, status="KILLED", peak_memory=300),
        event("start", 50_000, device_name="a card"),
        event("status", 50_250, status="FINISHED", peak_memory=200),
    )
    assert found == RunCost(last=50_250, milliseconds=1250, peak_memory=300, device="a card")
    assert found.seconds == 1.25


def test_an_attempt_that_was_killed_counts_up_to_its_last_word() -> None:
    found = spent(event("start", 1000), values(1200, 1500), event("start", 9000), values(9100, 9500))
    assert (found.seconds, found.peak_memory) == (1.0, None)


def test_records_of_an_older_genloss_say_no_memory() -> None:
    assert spent(event("start", 1), event("status", 2, status="FINISHED")).peak_memory is None
    assert spent(event("status", 2, status="FINISHED", peak_memory=None)).peak_memory is None


def test_a_clock_that_was_put_back_takes_no_time_off() -> None:
    assert spent(event("start", 5000), values(1000, 2000), event("status", 6000)).milliseconds == 1000
