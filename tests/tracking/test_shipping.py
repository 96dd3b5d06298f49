"""What is in MLflow of a journal, and of one that is not as it should be."""

from __future__ import annotations

import numpy as np
import pytest

from genloss.errors import TrackingError
from genloss.record import journal
from genloss.record.events import ColumnsDeclared, Ended, Status
from genloss.record.folder import RunFolder
from tests.tracking.conftest import Shipped
from tests.tracking.studies import begin, block, columns


def test_what_is_not_finite_is_nan_and_told(shipped: Shipped) -> None:
    values = np.ones((20, 1))
    values[7], values[9] = np.inf, np.nan
    with begin(shipped.folder) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        journal.values(block(0, values))
        journal.event(Ended(status=Status.FAILED, message="planted"))
    shipped.ship()
    run = shipped.run
    history = shipped.client.get_metric_history(run.info.run_id, "generator/total")
    assert sorted(metric.step for metric in history if np.isnan(metric.value)) == [7, 9]
    assert run.data.metrics["non_finite_values"] == 2
    assert run.data.tags["genloss.first_non_finite"] == "step 7: generator/total = inf"


def test_nothing_is_shipped_that_a_power_cut_could_take_from_the_journal(
    shipped: Shipped, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable, ends = 0, [0]
    with begin(shipped.folder) as opened:
        opened.event(ColumnsDeclared(columns=columns("generator/total")))
        for first in (0, 5):
            opened.values(block(first, np.ones((5, 1))))
            ends.append(shipped.folder.journal.stat().st_size)
        on_the_disk = iter(ends)
        monkeypatch.setattr(journal, "sync", lambda _: durable)
        tracker = shipped.tracker()
        with shipped.folder.locked():
            durable = next(on_the_disk)
            tracker.ship_due(at_once=True)
            assert not shipped.runs()
            for steps in (5, 10):
                durable = next(on_the_disk)
                tracker.ship_due(at_once=True)
                assert shipped.steps(shipped.run.info.run_id) == list(range(steps))


def test_a_value_that_mlflow_rejects_takes_no_other_with_it(shipped: Shipped) -> None:
    with begin(shipped.folder) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total", "generator/a|b")))
        journal.values(block(0, np.ones((50, 2))))
        journal.event(Ended(status=Status.FINISHED))
    assert not shipped.ship()
    run = shipped.run
    assert run.info.status == "FINISHED"
    assert shipped.steps(run.info.run_id) == list(range(50))
    assert "generator/a|b" in run.data.tags["genloss.rejected"]
    (said,) = shipped.notes()
    assert said.startswith("run `gan-losses/minimax-0`: MLflow did not take `generator/a|b`: Invalid value")


def test_a_run_deleted_in_mlflow_is_left_alone_until_it_is_asked_for(shipped: Shipped) -> None:
    with begin(shipped.folder) as journal, shipped.folder.locked():
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        journal.values(block(0, np.ones((5, 1))))
        tracker = shipped.tracker()
        tracker.ship_due(at_once=True)
        deleted = shipped.run.info.run_id
        shipped.client.delete_run(deleted)
        journal.values(block(5, np.ones((5, 1))))
        journal.event(Ended(status=Status.FINISHED))
        tracker.finish()
    (said,) = shipped.notes()
    assert "`gan-losses/minimax-0` was deleted in MLflow" in said
    assert "`genloss sync gan-losses --deleted`" in said
    assert shipped.study.pending() == 0
    assert shipped.ship()
    assert shipped.runs() == []
    assert shipped.ship(deleted=True)
    assert shipped.run.info.run_id != deleted
    assert shipped.run.info.status == "FINISHED"
    assert shipped.steps(shipped.run.info.run_id) == list(range(10))


def test_a_deleted_run_that_is_restored_gets_the_rest(shipped: Shipped) -> None:
    with begin(shipped.folder) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        journal.values(block(0, np.ones((5, 1))))
    shipped.ship()
    run_id = shipped.run.info.run_id
    shipped.client.delete_run(run_id)
    shipped.record()
    shipped.ship()
    shipped.client.restore_run(run_id)
    assert shipped.ship()
    assert shipped.steps(run_id) == list(range(10))
    assert shipped.run.info.status == "FINISHED"


def test_a_deleted_experiment_is_said_and_loses_nothing_once_it_is_restored(shipped: Shipped) -> None:
    with begin(shipped.folder) as journal, shipped.folder.locked():
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        journal.values(block(0, np.ones((5, 1))))
        tracker = shipped.tracker()
        tracker.ship_due(at_once=True)
        experiment = shipped.run.info.experiment_id
        shipped.client.delete_experiment(experiment)
        journal.values(block(5, np.ones((5, 1))))
        journal.event(Ended(status=Status.FINISHED))
        with pytest.raises(TrackingError, match="was deleted, and a deleted experiment keeps its name"):
            tracker.finish()
    assert shipped.study.pending() > 0
    shipped.client.restore_experiment(experiment)
    assert shipped.ship()
    assert shipped.steps(shipped.run.info.run_id) == list(range(10))


def test_a_lost_cursor_costs_no_row(shipped: Shipped) -> None:
    shipped.record()
    shipped.ship()
    run_id = shipped.run.info.run_id
    shipped.folder.shipped.write_text("{")
    assert shipped.study.pending() > 0
    assert shipped.ship()
    assert shipped.study.pending() == 0
    assert shipped.run.info.run_id == run_id
    assert shipped.steps(run_id) == list(range(5))


def test_another_journal_is_another_run(shipped: Shipped) -> None:
    shipped.record()
    shipped.ship()
    first = shipped.run.info.run_id
    shipped.folder.journal.unlink()
    shipped.record(8)
    shipped.ship()
    (second,) = [run.info.run_id for run in shipped.runs() if run.info.run_id != first]
    assert shipped.steps(first) == list(range(5))
    assert shipped.steps(second) == list(range(8))


def damage(shipped: Shipped, *, at: int) -> None:
    """Writes a journal of three frames of values, and flips a bit in one of them."""
    with begin(shipped.folder) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        for first in (0, 5, 10):
            if first == at:
                begins = shipped.folder.journal.stat().st_size
            journal.values(block(first, np.ones((5, 1))))
        journal.event(Ended(status=Status.FINISHED))
    content = bytearray(shipped.folder.journal.read_bytes())
    content[begins + 20] ^= 1
    shipped.folder.journal.write_bytes(content)


def test_what_stands_behind_damage_is_shipped_too(shipped: Shipped) -> None:
    damage(shipped, at=5)
    assert shipped.ship()
    run = shipped.run
    assert shipped.steps(run.info.run_id) == [*range(5), *range(10, 15)]
    assert run.info.status == "FAILED"
    message = run.data.tags["genloss.message"]
    assert "is damaged at byte" in message
    assert message.endswith(
        "the values of the steps 0 to 4 and 10 to 14 can be read; what can be read is here"
    )
    assert shipped.study.pending() == 0
    shipped.ship()
    assert shipped.run.info.status == "FAILED"
    assert shipped.steps(run.info.run_id) == [*range(5), *range(10, 15)]


def test_values_whose_columns_are_lost_are_not_guessed(shipped: Shipped) -> None:
    with begin(shipped.folder) as journal:
        size = shipped.folder.journal.stat().st_size
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        journal.values(block(0, np.ones((5, 1))))
        journal.event(Ended(status=Status.FINISHED))
    content = bytearray(shipped.folder.journal.read_bytes())
    content[size + 20] ^= 1
    shipped.folder.journal.write_bytes(content)
    shipped.ship()
    assert set(shipped.run.data.metrics) == {"cost/seconds"}
    assert shipped.run.info.status == "FAILED"
    assert shipped.tags()["genloss.message"].endswith("what the values are of is lost")


def set_aside(shipped: Shipped) -> RunFolder:
    """Does what a launcher does with a run that has to start over."""
    aside = RunFolder(shipped.folder.path.with_name(f"{shipped.folder.path.name}.damaged-1"))
    shipped.folder.path.rename(aside.path)
    shipped.folder.artifacts.mkdir(parents=True)
    shipped.folder.run.write_bytes(aside.run.read_bytes())
    return aside


def test_a_damaged_run_that_began_anew_is_another_run(shipped: Shipped) -> None:
    damage(shipped, at=5)
    shipped.ship()
    set_aside(shipped)
    shipped.record(20)
    assert shipped.ship()
    runs = {run.info.run_name: run for run in shipped.runs()}
    assert {name: run.info.status for name, run in runs.items()} == {
        "minimax-0": "FINISHED",
        "minimax-0.damaged-1": "FAILED",
    }
    assert shipped.steps(runs["minimax-0"].info.run_id) == list(range(20))
    aside = runs["minimax-0.damaged-1"]
    assert shipped.steps(aside.info.run_id) == [*range(5), *range(10, 15)]
    assert aside.data.tags["genloss.study"] == "gan-losses.damaged"
    assert "0 to 4 and 10 to 14 can be read" in aside.data.tags["genloss.message"]
    assert shipped.study.pending() == 0


def test_a_run_whose_journal_is_lost_says_what_was_shipped(shipped: Shipped) -> None:
    with begin(shipped.folder) as journal, shipped.folder.locked():
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        journal.values(block(0, np.ones((5, 1))))
        shipped.tracker().ship_due(at_once=True)
    shipped.folder.journal.unlink()
    set_aside(shipped)
    shipped.record(20)
    assert shipped.ship()
    assert shipped.ship()
    runs = {run.info.run_name: run for run in shipped.runs()}
    assert runs["minimax-0"].info.status == "FINISHED"
    aside = runs["minimax-0.damaged-1"]
    assert aside.info.status == "FAILED"
    message = aside.data.tags["genloss.message"]
    assert message.endswith("/journal` is missing; the values of the steps 0 to 4 are here")
    assert shipped.steps(aside.info.run_id) == list(range(5))
    assert shipped.study.pending() == 0
