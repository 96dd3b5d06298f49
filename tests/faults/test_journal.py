"""Journals that are torn, changed, emptied or gone.

What a crash tears off at the end is computed again. A journal that cannot be what was written is set aside,
and its run starts over, as a run of its own in MLflow; what can be read of the old one is told.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genloss.record import journal
from genloss.record.events import Ended, Started, Status
from genloss.record.frame import Values
from genloss.record.journal import Damaged, Journal
from tests.faults import damages, support
from tests.faults.conftest import ANEW, DAMAGES, Resumed

every_damage = pytest.mark.parametrize("damage", [name for name in DAMAGES if "journal" in name])


@every_damage
def test_the_store_and_the_weights_are_those_of_a_run_without_a_fault(resumed: Resumed, damage: str) -> None:
    """In the one run of that name that finished."""
    assert support.statuses(resumed.here, f"{damage}-0")["FINISHED"] == 1
    assert support.finished(resumed.here, f"{damage}-0") == support.finished(resumed.here, "none-0")
    assert support.final_weights(resumed.run(damage)) == support.final_weights(resumed.run("none"))


@every_damage
def test_a_run_that_begins_anew_is_another_one_in_mlflow(resumed: Resumed, damage: str) -> None:
    """The old one has the name of the folder that it was moved to, and has ended."""
    anew = damage in ANEW
    aside = resumed.study.path / f"{damage}-0.damaged-1"
    assert support.statuses(resumed.here, f"{damage}-0") == {"FINISHED": 1}
    ended = {"KILLED": 1} if damage == "journal_short" else {"FAILED": 1}
    assert support.statuses(resumed.here, aside.name) == (ended if anew else {})
    assert aside.exists() == anew
    told = f"it starts over, and what is left of it is in `{aside.relative_to(resumed.here)}`"
    assert (told in resumed.done.err) == anew


def test_what_can_be_read_of_a_changed_journal_is_told(resumed: Resumed) -> None:
    told = "the values of the steps 5 to 20 can be read; it starts over, and what is left of it is in"
    assert told in resumed.done.err
    left = resumed.study.path / "journal_flipped-0.damaged-1" / "journal"
    assert journal.readable_steps(left) == [range(5, 21)]


def test_no_pickle_was_opened(resumed: Resumed) -> None:
    assert not (resumed.here / damages.OPENED).exists()


def write(path: Path) -> list[int]:
    """A journal with events and values; gives where its frames end."""
    with Journal(path) as opened:
        opened.event(Started(device="cpu"))
        for first in (0, 3, 6):
            steps = np.arange(first, first + 3)
            opened.values(Values(first, 1000 + steps, steps[:, None] / 7))
        opened.event(Ended(status=Status.FINISHED))
    return [end for _, end in journal.read(path)]


def test_torn_at_any_byte_of_its_last_frame_it_has_all_frames_before_and_takes_new_ones(
    tmp_path: Path,
) -> None:
    ends = write(tmp_path / "journal")
    content = (tmp_path / "journal").read_bytes()
    path = tmp_path / "torn"
    for size in range(ends[-2], ends[-1]):
        path.write_bytes(content[:size])
        assert [end for _, end in journal.read(path)] == ends[:-1]
        with Journal(path) as opened:
            opened.event(Ended(status=Status.INTERRUPTED))
        *before, (last, _) = journal.read(path)
        assert [end for _, end in before] == ends[:-1]
        assert last.status == Status.INTERRUPTED


def test_torn_in_its_head_it_is_begun_again(tmp_path: Path) -> None:
    write(tmp_path / "journal")
    content = (tmp_path / "journal").read_bytes()
    path = tmp_path / "torn"
    for size in range(journal.HEAD.size):
        path.write_bytes(content[:size])
        with Journal(path) as opened:
            opened.event(Ended(status=Status.INTERRUPTED))
        assert [frame.NAME for frame, _ in journal.read(path)] == ["status"]


def test_any_byte_of_a_frame_in_the_middle_that_changes_is_found(tmp_path: Path) -> None:
    """And all other frames can still be read."""
    ends = write(tmp_path / "journal")
    content = (tmp_path / "journal").read_bytes()
    path = tmp_path / "flipped"
    for byte in range(ends[1], ends[2]):
        changed = bytearray(content)
        changed[byte] ^= 1 << byte % 8
        path.write_bytes(changed)
        with pytest.raises(Damaged, match=f"at byte {ends[1]}; .* steps 0 to 2 and 6 to 8 can be read"):
            list(journal.read(path))
        with pytest.raises(Damaged):
            Journal(path)
        assert [end for _, end in journal.read(path, salvage=True)] == [*ends[:2], *ends[3:]]
    assert path.read_bytes() == bytes(changed)
