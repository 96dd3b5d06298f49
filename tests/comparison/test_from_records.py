"""A study's runs from its records."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from genloss.comparison.from_records import comparison_of, read_study
from genloss.errors import RecordError
from tests.comparison.written import finish, objective, study
from tests.tracking.studies import begin


def test_all_that_is_compared_is_in_the_records(tmp_path: Path) -> None:
    players = {"generator": {"updates_per_step": 3}}
    sets = {"training.players.generator.updates_per_step": 3}
    own = [objective("a"), objective("b", sets=sets, players=players)]
    found = read_study(study(tmp_path, objectives=own))
    assert (found.name, found.baseline, found.objectives) == ("gan-losses", "a", ("a", "b"))
    assert found.references == {"frechet_distance": 0.5}
    assert [run.name for run in found.runs] == ["a-0", "b-0", "a-1", "b-1", "a-2", "b-2"]
    run = found.runs[1]
    assert (run.status, run.seed, run.study) == ("FINISHED", 0, "gan-losses")
    assert run.metrics == {"frechet_distance": 4.0, "recall": 0.2}
    assert {name: metric.version for name, metric in found.metrics.items()} == {
        "frechet_distance": "2",
        "recall": "1",
    }
    assert run.sets == sets
    assert run.configuration["generator.b.loss"] == "b_loss"
    assert run.data_digest == "0123456789abcdef" * 4
    assert (run.cost.steps, run.cost.updates, run.cost.peak_memory) == (20, {"generator": 60}, 1000)
    assert run.cost.device == "test"


def test_each_way_in_which_a_run_did_not_finish_is_told(tmp_path: Path) -> None:
    made = study(tmp_path, train=False, seeds=range(5), numbers={"a": [0.0] * 5})
    finish(made, "a-0", {"frechet_distance": math.inf})
    finish(made, "a-1", {"frechet_distance": 1.0}, status="FAILED", message="planted", hint="do something")
    with begin(made.run("a-2")):  # and its process dies
        pass
    damaged = made.run("a-3")
    finish(made, "a-3", {"frechet_distance": 1.0})
    content = bytearray(damaged.journal.read_bytes())
    content[60] ^= 1
    damaged.journal.write_bytes(content)
    runs = read_study(made).runs
    assert [run.status for run in runs] == ["FINISHED", "FAILED", "INTERRUPTED", "FAILED", "NOT STARTED"]
    assert math.isnan(runs[0].metrics["frechet_distance"])
    assert (runs[1].message, runs[1].hint) == ("planted", "do something")
    assert runs[2].message == "the worker died without reporting a status"
    assert "is damaged at byte" in runs[3].message
    assert runs[3].hint == "`genloss resume` trains it from scratch"
    assert (runs[4].metrics, runs[4].cost.steps) == ({}, 0)


def test_a_run_that_is_being_trained_runs(tmp_path: Path) -> None:
    made = study(tmp_path, train=False, seeds=[0], numbers={"a": [0.0]})
    folder = made.run("a-0")
    with folder.locked(), begin(folder):
        assert read_study(made).runs[0].status == "RUNNING"


@pytest.mark.parametrize("content", ["", "{", "[1]", "3", '{"frechet_distance": [1]}', '{"a": null}', "\x00"])
def test_references_that_are_damaged_are_told_and_nothing_else_is_lost(tmp_path: Path, content: str) -> None:
    made = study(tmp_path)
    made.references.write_text(content)
    comparison = comparison_of(made)
    assert comparison.references == {}
    (note,) = comparison.notes
    assert note.startswith(f"the references are not known, as `{made.references}` cannot be read: ")
    assert comparison.summaries["frechet_distance"]["a"].mean == 2.0


def test_references_that_are_no_text_are_told(tmp_path: Path) -> None:
    made = study(tmp_path)
    made.references.write_bytes(b"\xff\xfe")
    assert comparison_of(made).notes


@pytest.mark.parametrize("key", ["experiment", "runs", "metrics", "data", "created", "study"])
@pytest.mark.parametrize("wrong", [None, [1], "x"])
def test_a_damaged_study_is_an_error_that_says_so(tmp_path: Path, key: str, wrong: object) -> None:
    made = study(tmp_path, train=False)
    content = made.read()
    del content[key]
    if wrong is not None and key not in ("created", "study"):
        content[key] = wrong
    made.write(content)
    with pytest.raises(RecordError, match="is damaged"):
        read_study(made)
