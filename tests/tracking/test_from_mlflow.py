"""What is read of MLflow is what the records say, and nothing of anybody else's."""

from __future__ import annotations

import math
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from genloss.comparison.from_records import comparison_of, read_study
from genloss.comparison.studies import StudyRuns
from genloss.errors import RequestError, TrackingError
from genloss.record.events import ArtifactWritten, Ended, Status
from genloss.record.folder import StudyFolder
from genloss.tracking import fail_fast, from_mlflow, server
from genloss.tracking.from_mlflow import Reader
from genloss.tracking.tracker import Tracker
from tests.comparison.written import finish, objective, study
from tests.tracking.studies import BEGAN, begin


class Here:
    """A working folder with a store, and what is shipped there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.uri = f"sqlite:///{path}/mlflow.db"
        self.client = MlflowClient(self.uri)

    def study(self, **what: Any) -> StudyFolder:
        """A study that has finished, and is in MLflow."""
        made = study(self.path, uri=self.uri, **what)
        self.ship(made)
        return made

    def ship(self, made: StudyFolder) -> None:
        tracker = Tracker(made, comparison_of, lambda **_: None, self.uri)
        tracker.open()
        tracker.finish()

    def experiment(self, name: str = "gan-losses") -> str:
        found = self.client.get_experiment_by_name(name)
        assert found is not None
        return str(found.experiment_id)

    def runs(self) -> dict[str, str]:
        """The ids of the runs by their names."""
        found = self.client.search_runs([self.experiment()])
        return {str(run.info.run_name): run.info.run_id for run in found}

    def find(self, name: str) -> StudyRuns:
        """The one study of that name."""
        (found,) = Reader(self.uri).find(name)
        return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bytes) -> Here:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(fresh)
    return Here(tmp_path)


def bare(found: StudyRuns) -> StudyRuns:
    """A study without where it was read, in one order."""
    runs = tuple(replace(run, folder=None) for run in found.runs)
    return replace(found, runs=runs)


def test_mlflow_says_what_the_records_say(here: Here) -> None:
    sets = {"training.players.generator.updates_per_step": 3}
    players = {"generator": {"updates_per_step": 3}}
    own = [objective("a"), objective("b", sets=sets, players=players)]
    made = here.study(objectives=own)
    there = here.find(made.name)
    assert bare(there) == bare(read_study(made))
    assert here.find("gan-losses") == there
    assert there.runs[1].cost.updates == {"generator": 60}


def test_however_runs_end_mlflow_says_what_the_records_say(here: Here) -> None:
    numbers = {"a": [0.0] * 3, "b": [0.0] * 3}
    made = study(here.path, uri=here.uri, numbers=numbers, train=False)
    finish(made, "a-0", {"frechet_distance": math.inf, "recall": math.nan})
    finish(made, "b-0", {"frechet_distance": 1.0}, status="FAILED", message="planted", hint="do something")
    finish(made, "a-1", {"frechet_distance": 1.0}, status="INTERRUPTED", message="SIGTERM")
    with begin(made.run("b-1")) as journal:
        journal.event(Ended(status=Status.FAILED, message="before its first step"))
    here.ship(made)
    there, ours = here.find(made.name), read_study(made)
    assert [run.status for run in there.runs] == [run.status for run in ours.runs]
    assert [run.status for run in there.runs].count("NOT STARTED") == 2
    assert math.isnan(there.runs[0].metrics["frechet_distance"])
    for one, other in zip(there.runs, ours.runs, strict=True):
        same = replace(one, folder=other.folder, metrics={}, reproduce="")
        assert same == replace(other, metrics={}, reproduce="")
        assert str(one.metrics) == str(other.metrics)


def test_mlflow_knows_a_search_its_metric_and_its_trials(here: Here) -> None:
    own = [
        objective(f"a,trial={number}").model_copy(
            update={"base": "a", "trial": number, "point": {"training.optimizer.lr": number + 0.5}}
        )
        for number in range(2)
    ]
    own.append(objective("a,trial=2").model_copy(update={"base": "a", "trial": 2}))
    made = study(here.path, uri=here.uri, objectives=own, numbers={}, seeds=[0, 1], train=False)
    content = made.read()
    content["experiment"]["search"] = {"trials": 3, "metric": "recall", "space": {}}
    content["runs"] = [run for run in content["runs"] if run["name"] != "a,trial=1-1"]  # as it was pruned
    made.write(content)
    for seed in (0, 1):
        finish(made, f"a,trial=0-{seed}", {"frechet_distance": 2.0, "recall": 0.5})
    finish(made, "a,trial=1-0", {"recall": 0.1}, status="PRUNED", message="pruned at step 10")
    here.ship(made)
    there, ours = here.find(made.name), read_study(made)
    assert there.metric == ours.metric == "recall"
    assert there.is_search
    assert ours.is_search
    told = [(run.name, run.status, run.base, run.trial, run.point) for run in ours.runs]
    assert [(run.name, run.status, run.base, run.trial, run.point) for run in there.runs] == told
    assert [run[3] for run in told] == [0, 1, 2, 0, 2]
    assert comparison_of(made).metric == "recall"


def test_a_run_that_was_resumed_costs_what_all_attempts_took(here: Here) -> None:
    made = study(here.path, uri=here.uri, numbers={"a": [0.0]}, seeds=[0], train=False)
    finish(made, "a-0", {"recall": 0.1}, status="INTERRUPTED", peak_memory=3000)
    here.ship(made)
    with begin(made.run("a-0")) as journal:
        journal.event(Ended(status=Status.FINISHED, peak_memory=2000))
    here.ship(made)
    (run,) = here.find(made.name).runs
    assert run == replace(read_study(made).runs[0], folder=None)
    assert run.cost.peak_memory == 3000


def test_deleted_runs_are_out_and_not_told_as_missing(here: Here) -> None:
    made = here.study()
    here.client.delete_run(here.runs()["a-1"])
    found = here.find(made.name)
    assert sorted(run.name for run in found.runs) == ["a-0", "a-2", "b-0", "b-1", "b-2"]
    for name, run_id in here.runs().items():
        if name != "comparison":
            here.client.delete_run(run_id)
    with pytest.raises(RequestError, match="all runs of study `gan-losses` were deleted in MLflow"):
        Reader(here.uri)._read_study(made.name, ())


def test_a_run_that_began_anew_counts_once(here: Here) -> None:
    made = here.study(numbers={"a": [1.0]}, seeds=[0])
    folder = made.run("a-0")
    aside = folder.path.with_name("a-0.damaged-1")
    folder.path.rename(aside)
    folder.artifacts.mkdir(parents=True)
    folder.run.write_bytes((aside / "run.json").read_bytes())
    finish(made, "a-0", {"frechet_distance": 7.0})
    here.ship(made)
    assert len(here.runs()) >= 2
    (run,) = here.find(made.name).runs
    assert run.metrics == {"frechet_distance": 7.0}
    (study_,) = Reader(here.uri).find("gan-losses")
    assert study_.runs == (run,)


def test_all_studies_of_an_experiment_in_the_order_in_which_they_began(here: Here) -> None:
    here.study(name="second", created=BEGAN + 1)
    here.study(name="first", created=BEGAN)
    found = Reader(here.uri).find("gan-losses")
    assert [each.name for each in found] == ["first", "second"]
    assert [len(each.runs) for each in found] == [6, 6]
    assert Reader(here.uri).last()[0].name in ("first", "second")


def test_runs_that_are_not_genloss_s_are_left_out_and_counted(here: Here) -> None:
    here.study()
    for name in ("by hand", "by hand, too"):
        here.client.create_run(here.experiment(), run_name=name)
    found = here.find("gan-losses")
    assert len(found.runs) == 6
    assert found.notes == (
        "left out: 2 runs are in the MLflow experiment `gan-losses` that genloss did not make",
    )


def test_an_experiment_without_any_run_of_genloss(here: Here) -> None:
    here.client.create_run(here.client.create_experiment("other"))
    with pytest.raises(RequestError, match="the MLflow experiment `other` has no run of genloss"):
        Reader(here.uri).find("other")


def test_two_studies_of_one_name_are_not_mixed(here: Here) -> None:
    made = here.study(created=BEGAN)
    for name, run_id in here.runs().items():
        if name.startswith("b"):
            here.client.set_tag(run_id, "genloss.created", str(BEGAN + 1))
    found = here.find(made.name)
    assert {run.objective for run in found.runs if run.status == "FINISHED"} == {"b"}
    assert "left out: 3 runs of an older study that is named `gan-losses`, too" in found.notes


def test_runs_whose_tags_do_not_describe_their_study_are_not_found(here: Here) -> None:
    made = here.study(objectives=[objective("a"), objective("b")])
    runs = {name: run_id for name, run_id in here.runs().items() if name != "comparison"}
    for run_id in list(runs.values())[1:]:
        here.client.delete_tag(run_id, "genloss.protocol")
    assert len(here.find(made.name).runs) == len(runs)  # one that does is enough
    here.client.delete_tag(next(iter(runs.values())), "genloss.protocol")
    with pytest.raises(RequestError):
        here.find(made.name)


def test_a_param_that_was_too_long_is_read_from_the_artifact_that_has_all_of_it(here: Here) -> None:
    from genloss.launch.configuration import write_configuration
    from genloss.launch.execute import read_run
    from genloss.registry.catalogue import catalogue

    hidden = [128] * 3000
    own = objective("a")
    own = own.model_copy(update={"model": own.model.model_copy(update={"options": {"hidden": hidden}})})
    made = study(here.path, uri=here.uri, objectives=[own], numbers={"a": [0.0]}, seeds=[0], train=False)
    folder = made.run("a-0")
    write_configuration(read_run(folder), folder, catalogue())
    with begin(folder) as journal:
        journal.event(ArtifactWritten(path="artifacts/config.yaml"))
        journal.event(Ended(status=Status.FINISHED))
    here.ship(made)
    (run,) = here.find(made.name).runs
    assert run.configuration["model.hidden"] == str(hidden)
    assert run.configuration == read_study(made).runs[0].configuration


def test_pages_are_joined(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    made = here.study()
    whole = here.find(made.name)
    monkeypatch.setattr(from_mlflow, "PAGE", 2)
    assert here.find(made.name) == whole
    assert here.find("gan-losses") == whole


def test_names_that_are_not_there_are_answered_with_those_that_may_be_meant(here: Here) -> None:
    here.study(name="gan-losses-20250131")
    with pytest.raises(RequestError) as raised:
        Reader(here.uri).find("gan-loses")
    assert raised.value.message == f"`{here.uri}` has no MLflow experiment and no study `gan-loses`"
    assert raised.value.hint is not None
    assert "`gan-losses`" in raised.value.hint
    with pytest.raises(RequestError, match="no MLflow experiment and no study"):
        Reader(here.uri).find("it's `quoted`")
    with pytest.raises(RequestError) as raised:
        Reader(here.uri).find("gan-losses-20250132")
    assert raised.value.hint == "did you mean `gan-losses-20250131` or `gan-losses`?"


def test_a_deleted_experiment_is_said(here: Here) -> None:
    here.study()
    here.client.delete_experiment(here.experiment())
    with pytest.raises(TrackingError, match="the MLflow experiment `gan-losses` was deleted"):
        Reader(here.uri).find("gan-losses")


def test_a_store_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    fail_fast()
    with socket.socket() as probe:
        probe.bind((server.HOST, 0))
        uri = f"http://{server.HOST}:{probe.getsockname()[1]}"
    with pytest.raises(
        TrackingError, match=f"the MLflow store `{uri}` does not answer: connection refused"
    ) as raised:
        Reader(uri).find("gan-losses")
    assert raised.value.hint is not None
    assert "`genloss compare STUDY`" in raised.value.hint


def test_an_empty_store_has_no_last_study(here: Here) -> None:
    with pytest.raises(RequestError, match="has no study of genloss"):
        Reader(here.uri).last()
