"""The run that bears a study's report: made once, found again, seen by no search for a study's runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genloss.comparison.from_records import comparison_of
from genloss.record.folder import StudyFolder
from genloss.tracking.from_mlflow import Reader
from genloss.tracking.note import TAG
from genloss.tracking.tracker import Tracker
from tests.tracking.conftest import Shipped

REFERENCES = {"frechet_distance": 0.25, "recall": float("nan")}


@pytest.fixture
def whole(shipped: Shipped) -> Shipped:
    """A study that has ended, with its report."""
    shipped.record()
    report(shipped.study, "one")
    shipped.study.references.write_text(json.dumps(REFERENCES))
    return shipped


def report(study: StudyFolder, text: str) -> None:
    """Writes a report as the end of a study does."""
    study.report.write_text(text)
    plots = study.path / "plots"
    plots.mkdir(exist_ok=True)
    (plots / "intervals.png").write_bytes(text.encode())


def comparisons(shipped: Shipped) -> list[Any]:
    """The comparison runs that were not deleted."""
    ids = [found.experiment_id for found in shipped.client.search_experiments()]
    return list(shipped.client.search_runs(ids, "tags.`genloss.comparison` LIKE '%'"))


def content(shipped: Shipped, artifact: str) -> str:
    (run,) = comparisons(shipped)
    return Path(shipped.client.download_artifacts(run.info.run_id, artifact)).read_text()


def test_it_bears_the_report_and_is_no_run_of_the_study(whole: Shipped) -> None:
    assert whole.ship()
    (run,) = comparisons(whole)
    assert (run.info.run_name, run.info.status) == ("comparison", "FINISHED")
    assert run.data.tags["genloss.comparison"] == whole.study.name
    assert json.loads(run.data.tags["genloss.floors"]) == {"frechet_distance": 0.25}
    assert run.data.tags["mlflow.user"] == "ada"
    assert "genloss.study" not in run.data.tags
    assert run.data.params == run.data.metrics == {}
    assert content(whole, "report.html") == content(whole, "plots/intervals.png") == "one"
    (study,) = Reader(whole.client.tracking_uri).find(whole.study.name)
    assert [found.name for found in study.runs] == ["minimax-0"]
    assert study.references == {"frechet_distance": 0.25}


def test_the_notes_say_what_the_comparison_says_and_lead_to_the_report(whole: Shipped) -> None:
    whole.ship()
    (run,) = comparisons(whole)
    experiment = whole.client.get_experiment(run.info.experiment_id)
    answer = comparison_of(whole.study).answer()[0]
    page = f"#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}/artifacts/report.html"
    for note in (run.data.tags[TAG], experiment.tags[TAG]):
        assert answer in note
        assert "| minimax&emsp; | 1&emsp; |" in note
        assert f"[report]({page}?workflowType=machine_learning)" in note
        assert "[samples]" not in note


def test_twice_gives_one_run_with_the_newer_report(whole: Shipped) -> None:
    whole.ship()
    (before,) = comparisons(whole)
    whole.ship()
    report(whole.study, "two")
    assert whole.study.pending() == len("two")
    whole.ship()
    (after,) = comparisons(whole)
    assert after.info.run_id == before.info.run_id
    assert after.info.end_time == before.info.end_time
    assert content(whole, "report.html") == content(whole, "plots/intervals.png") == "two"
    assert whole.study.pending() == 0


def test_deleted_it_is_made_anew(whole: Shipped) -> None:
    whole.ship()
    (before,) = comparisons(whole)
    whole.client.delete_run(before.info.run_id)
    assert whole.study.pending() == 0  # that was done on purpose
    whole.ship()
    (after,) = comparisons(whole)
    assert after.info.run_id != before.info.run_id
    assert content(whole, "report.html") == "one"


def test_a_tracker_that_died_before_it_was_done_leaves_it_to_the_next(whole: Shipped) -> None:
    tracker = whole.tracker()
    while tracker.ship_due(at_once=True):
        pass
    assert whole.study.pending() == len("one")
    assert comparisons(whole) == []
    whole.ship()
    assert whole.study.pending() == 0


def test_without_a_report_it_has_the_note_and_no_link_to_one(shipped: Shipped) -> None:
    shipped.record()
    shipped.ship()
    (run,) = comparisons(shipped)
    assert "| minimax&emsp; |" in run.data.tags[TAG]
    assert "[report]" not in run.data.tags[TAG]
    assert shipped.client.list_artifacts(run.info.run_id) == []


def test_where_nothing_began_there_is_none(shipped: Shipped) -> None:
    shipped.ship()
    assert comparisons(shipped) == []


def test_a_comparison_that_cannot_be_made_is_no_reason_to_lose_the_study_s_end(whole: Shipped) -> None:
    def fails(_: StudyFolder) -> Any:
        raise ZeroDivisionError("no seeds")

    tracker = Tracker(whole.study, fails, whole._hear)
    tracker.open()
    tracker.finish()
    assert whole.said[-1] == {"event": "done", "shipped": True}
    (run,) = comparisons(whole)
    assert "The table cannot be made: ZeroDivisionError: no seeds" in run.data.tags[TAG]
    assert content(whole, "report.html") == "one"


def test_a_report_that_leads_out_of_the_study_is_not_sent(whole: Shipped, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    whole.study.report.unlink()
    whole.study.report.symlink_to(tmp_path / "secret")
    assert not whole.ship()
    (run,) = comparisons(whole)
    assert [file.path for file in whole.client.list_artifacts(run.info.run_id)] == ["plots"]
    assert any("`report.html` is not sent" in said for said in whole.notes())
