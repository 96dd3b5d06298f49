"""How a run stands, from its journal's frames: the time and memory that it took."""

from __future__ import annotations

import numpy as np

from genloss.record.events import Ended, Event, Started, Status
from genloss.record.frame import Values
from genloss.record.state import RunState


def after(*frames: Event | Values) -> RunState:
    found = RunState()
    for frame in frames:
        found.take(frame)
    return found


def started(when: int, device_name: str = "") -> Started:
    return Started(time=when, device_name=device_name)


def ended(when: int, status: Status = Status.FINISHED, peak_memory: int | None = None) -> Ended:
    return Ended(time=when, status=status, peak_memory=peak_memory)


def values(first: int, last: int) -> Values:
    return Values(0, np.array([first, last]), np.ones((2, 1)))


def test_the_pauses_between_attempts_are_left_out_and_the_largest_peak_is_kept() -> None:
    found = after(
        started(1000, "cpu"),
        values(1200, 1500),
        ended(2000, Status.INTERRUPTED, 300),
        started(50_000, "a card"),
        ended(50_250, peak_memory=200),
    )
    assert (found.last, found.milliseconds, found.seconds) == (50_250, 1250, 1.25)
    assert (found.peak_memory, found.device) == (300, "a card")


def test_an_attempt_that_was_killed_counts_up_to_its_last_word() -> None:
    found = after(started(1000), values(1200, 1500), started(9000), values(9100, 9500))
    assert (found.seconds, found.peak_memory) == (1.0, None)


def test_a_run_that_does_not_report_its_memory_has_none() -> None:
    assert after(started(1), ended(2)).peak_memory is None


def test_a_clock_that_was_put_back_takes_no_time_off() -> None:
    assert after(started(5000), values(1000, 2000), ended(6000)).milliseconds == 1000
