"""Searches that run, are interrupted, are killed and go on: no trial is lost, none is there twice."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import genloss
from genloss.commands.searched import print_best
from genloss.errors import RequestError
from genloss.experiment.schema import Experiment, Run
from genloss.launch.result import StudyResult, UnfinishedWarning
from genloss.planning.suggest import Trial, next_point
from genloss.record.folder import StudyFolder, read_state
from tests.faults import support
from tests.faults.traps.killing import kill_everything
from tests.launch.conftest import experiment
from tests.launch.records import events
from tests.launch.test_resume import CtrlC

LR = "training.optimizer.lr"
PARAM = "training.optimizer.options.lr"
METRIC = "mean_squared_error"


def searching(trials: int = 8, fault: str = "none", **more: Any) -> dict[str, Any]:
    """A search in which many trials learn nothing, and are pruned at half time."""
    content = experiment(fault, steps=40)
    content["training"]["optimizer"] = {"name": "adam", "lr": 1e-3}
    content["evaluation"] = {"every": 20, "samples": 40, "metrics": ["reconstruction_error"]}
    search = {
        "trials": trials,
        "metric": METRIC,
        "sampler": "random",
        "seed": 1,
        "space": {LR: {"choice": [0.03, 0.02, 1e-9]}, "model.hidden": {"choice": [[4], [4, 4]]}},
    }
    return {**content, "workers": 1, "search": search, **more}


def points(folder: StudyFolder) -> dict[str, Any]:
    """The values of each trial, by its name."""
    return {run["name"]: run["objective"]["point"] for run in folder.read()["runs"]}


def outcome(folder: StudyFolder) -> dict[str, tuple[str, str, Any]]:
    """How each run ended, with all of its evaluations."""
    records = {name: read_state(folder.run(name)) for name in folder.names()}
    return {name: (record.status, record.message, record.evaluations) for name, record in records.items()}


def tags_and_params(here: Path) -> dict[str, tuple[str, dict[str, str], dict[str, str]]]:
    """Each run of a study in MLflow: its status, tags and params."""
    with closing(sqlite3.connect(here / "mlflow.db")) as store:
        runs = store.execute(
            "SELECT run_uuid, name, status FROM runs JOIN tags USING (run_uuid) WHERE key = 'genloss.study'"
        ).fetchall()
        assert len({name for _, name, _ in runs}) == len(runs)
        return {
            name: (
                status,
                dict(store.execute("SELECT key, value FROM tags WHERE run_uuid = ?", [run])),
                dict(store.execute("SELECT key, value FROM params WHERE run_uuid = ?", [run])),
            )
            for run, name, status in runs
        }


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, fresh_store: bytes) -> tuple[Path, StudyResult]:
    """A search that nobody interrupts."""
    here = tmp_path_factory.mktemp("search")
    (here / "mlflow.db").write_bytes(fresh_store)
    before = Path.cwd()
    os.chdir(here)
    try:
        return here, genloss.run(searching())
    finally:
        os.chdir(before)


def folder_of(done: tuple[Path, StudyResult]) -> StudyFolder:
    return StudyFolder(done[0] / done[1].folder)


def test_each_trial_is_a_run_with_values_of_its_own(done: tuple[Path, StudyResult]) -> None:
    _, result = done
    assert result.exit_code == 0
    assert result.resume is None
    assert [run.name for run in result.runs] == [f"none,trial={number}-0" for number in range(8)]
    assert {run.base for run in result.runs} == {"none"}
    assert all(set(run.point) == {LR, "model.hidden"} for run in result.runs)
    for run in result.runs:
        assert run.folder is not None
        own = Run.model_validate_json((done[0] / run.folder.run).read_text())
        assert own.objective.training.optimizer.options["lr"] == run.point[LR]
        assert own.objective.model.options["hidden"] == run.point["model.hidden"]
        assert own.objective.trial == int(run.objective.partition("=")[2])


def test_a_trial_that_is_worse_than_the_median_is_pruned_at_that_evaluation(
    done: tuple[Path, StudyResult],
) -> None:
    ended = outcome(folder_of(done))
    pruned = {name: record for name, record in ended.items() if record[0] == "PRUNED"}
    assert 0 < len(pruned) < 4
    assert set(list(ended)[:5]).isdisjoint(pruned)  # the first five are what others are compared with
    run_points = points(folder_of(done))
    for name, (_, message, evaluations) in pruned.items():
        assert run_points[name][LR] == 1e-9
        assert message == "pruned at step 20"
        assert list(evaluations) == [20]
        run = folder_of(done).run(name)
        assert read_state(run).steps == 20
        assert not run.checkpoints.exists()
    assert all(status == "FINISHED" for name, (status, _, _) in ended.items() if name not in pruned)


def test_pruned_trials_are_no_failures(done: tuple[Path, StudyResult]) -> None:
    _, result = done
    assert result.summary() == ""
    assert not result.comparison.unfinished()
    assert not folder_of(done).unfinished()


def test_the_best_trial_is_told_with_what_it_is_worth(
    done: tuple[Path, StudyResult], capsys: pytest.CaptureFixture[str]
) -> None:
    _, result = done
    (best,) = result.best
    finished = {run.objective: run.metrics[METRIC] for run in result.runs if run.status == "FINISHED"}
    assert best.value == min(finished.values()) == finished[f"none,trial={best.trial}"]
    assert (best.objective, best.metric, best.seeds) == ("none", METRIC, (0,))
    assert result.comparison.metric == METRIC
    assert (len(best.trials.names), len(best.trials.finished) + len(best.trials.pruned)) == (8, 8)
    assert list(best.trials.finished.items()) == sorted(finished.items(), key=lambda pair: pair[1])
    point = points(folder_of(done))[f"none,trial={best.trial}-0"]
    own = "objectives.none.with."
    assert best.overrides == (f"{own}{LR}={point[LR]}", f"{own}model.hidden={point['model.hidden']}")
    print_best(result.best)
    said = capsys.readouterr()
    assert f"`none`, trial {best.trial}:\n" in said.out
    first, second = result.comparison.answer()
    assert f"of `none` is trial {best.trial} with {best.value:.4g} (" in first
    assert f"8 trials ({len(best.trials.pruned)} pruned) of" in first
    assert "optimistic" in second
    assert not result.comparison.differences
    assert f"--set {own}{LR}={point[LR]} --set '{own}model.hidden={point['model.hidden']}'" in said.out
    assert "fresh seeds" in said.err
    assert "'seeds=[1, 2, 3, 4, 5, 6, 7, 8]'" in said.err
    assert "--set search=null" in said.err


def test_mlflow_holds_each_trial_s_values(done: tuple[Path, StudyResult]) -> None:
    here, result = done
    there = tags_and_params(here)
    for run in result.runs:
        status, tags, params = there[run.name]
        assert status == ("KILLED" if run.status == "PRUNED" else "FINISHED")
        assert tags["genloss.trial"] == run.objective.partition("=")[2]
        assert tags["genloss.base"] == "none"
        assert json.loads(tags["genloss.point"]) == run.point
        assert params[PARAM] == str(run.point[LR])
        assert params["objective"] == run.objective
        assert tags.get("genloss.message", "") == run.message


def test_a_comparison_is_the_same_from_the_records_and_from_mlflow(
    done: tuple[Path, StudyResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, result = done
    monkeypatch.chdir(here)
    read = genloss.compare(result.name, tracking_uri=f"sqlite:///{here}/mlflow.db")
    assert [(run.name, run.status, run.base, run.point) for run in read.runs] == [
        (run.name, run.status, run.base, run.point) for run in result.runs
    ]
    assert not read.unfinished()
    assert str(read) == str(genloss.compare(result.name))
    assert read.is_search
    assert read.best() == result.best
    assert read.answer() == result.comparison.answer()


@pytest.mark.slow
def test_the_line_of_a_trial_gives_its_bits(done: tuple[Path, StudyResult], here: Path) -> None:
    own = folder_of(done).run("none,trial=1-0")
    run = Run.model_validate_json(own.run.read_text())
    content = {key: value for key, value in searching().items() if key != "search"}
    again = genloss.run(content, overrides=run.objective.point)
    (same,) = again.runs
    assert same.folder is not None
    assert events(same.folder, "status")[-1]["weights"] == events(own, "status")[-1]["weights"]


@pytest.mark.slow
def test_an_interrupted_search_ends_as_if_it_had_not_been(here: Path, done: tuple[Path, StudyResult]) -> None:
    content = searching(fault="slow")
    del content["evaluation"]["every"]  # what is told of below is not a matter of pruning
    content["search"] |= {"trials": 3}
    with pytest.warns(UnfinishedWarning, match="of 3 runs"):
        first = genloss.run(content, display=CtrlC(25))
    assert first.exit_code == 130
    folder = StudyFolder(first.folder)
    before = points(folder)
    assert before["slow,trial=0-0"]
    assert not before["slow,trial=2-0"]
    assert [run.status for run in first.runs] == ["INTERRUPTED", "NOT STARTED", "NOT STARTED"]
    assert first.best == ()
    second = genloss.resume()
    assert second.exit_code == 0
    after = points(folder)
    assert after["slow,trial=0-0"] == before["slow,trial=0-0"]
    assert all(after.values())
    assert events(folder.run("slow,trial=0-0"), "start")[1]["resumed_from"] >= 20
    assert [run.status for run in second.runs] == ["FINISHED"] * 3
    assert genloss.resume().exit_code == 0  # nothing is left, and nothing is started over
    assert points(folder) == after


@pytest.mark.slow
def test_several_seeds_have_a_mean_and_the_first_decides_whether_others_are_trained(here: Path) -> None:
    content = searching(8, seeds=[5, 3])
    result = genloss.run(content)
    assert result.exit_code == 0
    folder = StudyFolder(result.folder)
    (best,) = result.best
    assert best.seeds == (5, 3)
    of_best = [run.metrics[METRIC] for run in result.runs if run.objective == f"none,trial={best.trial}"]
    assert best.value == pytest.approx(sum(of_best) / 2)
    pruned = [name for name, (status, _, _) in outcome(folder).items() if status == "PRUNED"]
    assert pruned
    for name in pruned:
        assert name.endswith("-5")
        assert name.removesuffix("5") + "3" not in folder.names()
        assert not folder.run(name.removesuffix("5") + "3").journal.exists()
    assert len(folder.names()) == 16 - len(pruned)


def test_a_trial_that_fails_is_told_and_the_others_go_on(here: Path) -> None:
    fault = "objectives.none.network.faulty.fault"
    content = searching(3, workers=2)
    content["objectives"]["other"] = {"network": "absolute_error"}
    content["search"] |= {
        "seed": 0,
        "space": {fault: {"choice": ["none", "raise"]}, LR: {"log_uniform": [1e-3, 1e-2]}},
    }
    with pytest.warns(UnfinishedWarning, match="ZeroDivisionError: planted"):
        result = genloss.run(content)
    assert result.exit_code == 1
    assert result.resume is not None
    names = [run.name for run in result.runs]
    assert names == [f"{name},trial={number}-0" for name in ("none", "other") for number in range(3)]
    expected = {"none": "FINISHED", "raise": "FAILED"}
    own, others = result.runs[:3], result.runs[3:]
    assert [run.status for run in own] == [expected[run.point[fault]] for run in own]
    assert {run.status for run in own} == {"FINISHED", "FAILED"}
    assert [(run.status, list(run.point)) for run in others] == [("FINISHED", [LR])] * 3
    ours, theirs = result.best
    assert (ours.objective, theirs.objective) == ("none", "other")
    assert len(ours.trials.finished) + len(ours.trials.failed) == len(theirs.trials.finished) == 3
    assert f"3 trials ({len(ours.trials.failed)} failed) of `none`" in result.comparison.answer()[0]


def test_what_died_between_choosing_and_writing_is_chosen_again(
    done: tuple[Path, StudyResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The values of trial n follow from the trials before, which the records have."""
    monkeypatch.chdir(done[0])
    folder = StudyFolder(done[1].folder)
    content = folder.read()
    runs = [Run.model_validate_json(json.dumps(run)) for run in content["runs"]]
    read = Experiment.model_validate_json(json.dumps(content["experiment"]))
    assert read.search is not None
    known: list[Trial] = []
    for run in runs:
        point = next_point(read.search, read.search.space_of("none"), known, "none", higher_is_better=False)
        assert point == run.objective.point
        record = read_state(folder.run(run.name))
        state = "finished" if record.status == "FINISHED" else "pruned"
        numbers = {step: each[f"eval/{METRIC}"] for step, each in record.evaluations.items()}
        known.append(Trial(point, state, record.final[f"eval/{METRIC}"], numbers))  # type: ignore[arg-type]


def test_no_search_is_begun_that_was_planned_without_optuna(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RequestError, match=r"Optuna, which is not installed"):
        genloss.run(searching())
    assert not list(Path().glob(".genloss/*/study.json"))


def finish(*words: str) -> None:
    """Runs `genloss …` to its end, which is a good one."""
    with support.start(*words) as process:
        _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_of_20_trials_that_is_killed_three_times(
    here: Path, tmp_path_factory: pytest.TempPathFactory, workers: int
) -> None:
    """SIGKILL of launcher, workers and tracker, at moments by chance; with one worker it ends bit for bit."""
    content = searching(20, workers=workers)
    content["search"] |= {"sampler": "tpe", "space": {LR: {"log_uniform": [1e-5, 1e-1]}}}
    content["training"] |= {"steps": 150, "checkpoint_every": 20}
    content["evaluation"]["every"] = 50
    support.write(content)
    kept: dict[str, Any] = {}
    for number in range(3):
        words = ["resume"] if number else ["run", "experiment.yaml"]
        with support.start(*words) as process:
            support.wait_for("its workers", support.begun)
            time.sleep(random.uniform(1, 6))
            kill_everything(process.pid)
            process.communicate()
        folder = StudyFolder(next(path.parent for path in here.glob(".genloss/*/study.json")))
        found = points(folder)
        assert len(found) == 20
        for name, point in kept.items():
            assert found[name] == point  # what was chosen stays
        kept = {name: point for name, point in found.items() if point}
    finish("resume")
    found = points(folder)
    assert {name: found[name] for name in kept} == kept
    assert list(found) == [f"none,trial={number}-0" for number in range(20)]
    assert all(found.values())
    states = outcome(folder)
    assert {status for status, _, _ in states.values()} <= {"FINISHED", "PRUNED"}
    there = tags_and_params(here)
    assert sorted(there) == sorted(found)
    for name, (status, tags, params) in there.items():
        assert status == {"FINISHED": "FINISHED", "PRUNED": "KILLED"}[states[name][0]]
        assert json.loads(tags["genloss.point"]) == found[name]
        assert params[PARAM] == str(found[name][LR])
    assert set(support.rows(here).values()) == {1}
    if workers == 1:
        other = tmp_path_factory.mktemp("uninterrupted")
        os.chdir(other)
        support.write(content)
        finish("run", "experiment.yaml")
        (whole,) = (StudyFolder(path.parent) for path in other.glob(".genloss/*/study.json"))
        assert points(whole) == found
        assert outcome(whole) == states
