"""Checkpoints that are damaged, missing, of another version or no checkpoints at all.

The run goes on from the one before, or from its beginning, and ends with the bits of a run that was never
interrupted.
"""

from __future__ import annotations

import pytest

from tests.faults import damages, support
from tests.faults.conftest import DAMAGES, Resumed

GOES_ON_FROM = {
    "nothing": 20,
    "checkpoint_truncated": 15,
    "checkpoint_flipped": 15,
    "checkpoint_empty": 15,
    "checkpoint_newer": 15,
    "checkpoint_undigested": 15,
    "checkpoint_pickle": 0,
    "checkpoints_damaged": 0,
    "checkpoints_gone": 0,
}
REASONS = {
    "checkpoint_truncated": "step-000000020.pt: its digest is another",
    "checkpoint_flipped": "step-000000020.pt: its digest is another",
    "checkpoint_empty": "step-000000020.pt: its digest is another",
    "checkpoint_newer": "step-000000020.pt: its format is 2, and this genloss reads 1",
    "checkpoint_undigested": "step-000000020.pt: it has no digest",
    "checkpoint_pickle": "step-000000015.pt: it is not a file of tensors",
    "checkpoints_damaged": "step-000000015.pt: its digest is another",
}
every_damage = pytest.mark.parametrize("damage", GOES_ON_FROM)


def test_what_is_damaged_is_all_that_can_be(resumed: Resumed) -> None:
    """That no damage is without a test."""
    assert {name for name in DAMAGES if "journal" not in name} == {*GOES_ON_FROM}
    assert resumed.failed.code == 1
    assert resumed.done.code == 0


@every_damage
def test_the_store_and_the_weights_are_those_of_a_run_without_a_fault(resumed: Resumed, damage: str) -> None:
    assert support.statuses(resumed.here, f"{damage}-0") == {"FINISHED": 1}
    assert support.finished(resumed.here, f"{damage}-0") == support.finished(resumed.here, "none-0")
    assert support.final_weights(resumed.run(damage)) == support.final_weights(resumed.run("none"))


@every_damage
def test_the_run_says_where_it_went_on_and_why(resumed: Resumed, damage: str) -> None:
    said = support.tags(resumed.here, f"{damage}-0")
    assert said["genloss.resumed_from"] == str(GOES_ON_FROM[damage])
    assert said["genloss.attempt"] == "2"
    assert REASONS.get(damage, "") in said.get("genloss.passed_over", "")


@every_damage
def test_a_finished_run_no_longer_says_why_it_failed(resumed: Resumed, damage: str) -> None:
    assert not support.tags(resumed.here, f"{damage}-0").get("genloss.message")


def test_no_pickle_was_opened(resumed: Resumed) -> None:
    assert not (resumed.here / damages.OPENED).exists()
