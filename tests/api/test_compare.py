"""`genloss.compare` finds what is named, wherever it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import genloss
from genloss.api.compare import gather
from genloss.comparison.comparison import Comparison
from genloss.comparison.from_records import comparison_of
from genloss.errors import RecordError, RequestError, TrackingError
from genloss.launch.result import StudyResult
from genloss.record.folder import StudyFolder
from genloss.tracking import server, store
from genloss.tracking.tracker import Tracker
from tests.comparison.written import study
from tests.tracking.studies import BEGAN


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A fresh store, which takes seconds to build."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    store.connect(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def ship(fresh: bytes) -> Callable[..., str]:
    """Ships a study to a store of its own; gives its address."""

    def ship(made: StudyFolder, path: Path) -> str:
        if not path.exists():
            path.write_bytes(fresh)
        uri = f"sqlite:///{path}"
        tracker = Tracker(made, comparison_of, lambda **_: None, uri)
        tracker.open()
        tracker.finish()
        return uri

    return ship


def numbers(comparison: Comparison) -> str:
    """All that a comparison says, without where it was read; as text, in which NaN equals itself."""
    runs = tuple(replace(run, folder=None, run_id=None) for run in comparison.runs)
    return str(asdict(replace(comparison, runs=runs)))


def test_a_study_is_found_by_its_name_its_folder_and_its_result(here: Path) -> None:
    made = study(here)
    last = genloss.compare()
    assert (last.name, last.baseline, last.metric) == ("gan-losses", "a", "frechet_distance")
    assert genloss.compare("gan-losses") == genloss.compare(".genloss/gan-losses") == last
    found = genloss.compare(here / ".genloss/gan-losses")
    assert numbers(found) == numbers(last)
    result = StudyResult(made.name, made.path, last)
    assert numbers(genloss.compare(result)) == numbers(last)
    assert genloss.compare("gan-losses", result) == last  # once, however often it is named


def test_a_list_of_studies_is_several_and_nothing_else_is_one(here: Path) -> None:
    study(here, name="monday", seeds=[0, 1, 2], created=BEGAN)
    study(here, name="tuesday", seeds=[3, 4, 5], created=BEGAN + 1)
    assert numbers(genloss.compare(["monday", "tuesday"])) == numbers(genloss.compare("monday", "tuesday"))
    with pytest.raises(RequestError, match="expected a study's name, folder or result, got an object of the"):
        genloss.compare(3)  # type: ignore[arg-type]


def test_the_last_study_is_the_one_that_began_last(here: Path) -> None:
    import os

    os.utime(study(here, name="second").study, (2, 2))
    os.utime(study(here, name="first").study, (1, 1))
    assert genloss.compare().name == "second"


def test_metric_baseline_and_pairs(here: Path) -> None:
    study(here)
    found = genloss.compare(metric="recall", baseline="b", pairs=True)
    assert (found.metric, found.baseline) == ("recall", "b")
    assert len(found.pairs) == 2
    with pytest.raises(RequestError, match="there is no metric `recal`") as raised:
        genloss.compare(metric="recal")
    assert raised.value.hint == "did you mean `recall`?"
    with pytest.raises(RequestError, match="`generator/total` is not a metric: values of different losses"):
        genloss.compare(metric="generator/total")
    with pytest.raises(RequestError, match="there is no metric `eval/recall`") as raised:
        genloss.compare(metric="eval/recall")
    assert raised.value.hint == "did you mean `recall`?"
    with pytest.raises(RequestError, match="there is no objective `c`"):
        genloss.compare(baseline="c")


def test_studies_that_agree_are_joined(here: Path) -> None:
    study(here, name="one", seeds=[0, 1, 2], created=BEGAN)
    study(here, name="two", seeds=[3, 4, 5], created=BEGAN + 1)
    found = genloss.compare("one", "two")
    assert (found.name, found.studies) == ("gan-losses", ("one", "two"))
    assert found.summaries["frechet_distance"]["a"].count == 6
    assert found.difference("b") is not None


def test_studies_that_do_not_agree_are_refused_and_the_differences_named_where_they_are_allowed(
    here: Path,
) -> None:
    study(here, name="one", created=BEGAN)
    data = {"name": "digits", "digest": "f" * 64, "source": "{}", "profile": {}}
    study(here, name="two", created=BEGAN + 1, data=data)
    said = "the data's digest is 0123456789ab in study `one` and ffffffffffff in study `two`"
    with pytest.raises(RequestError, match=said):
        genloss.compare("one", "two")
    found = genloss.compare("one", "two", allow_differences=True)
    assert found.allowed[0] == said
    assert found.objectives == ("a (one)", "b (one)", "a (two)", "b (two)")
    assert found.baseline == "a (two)"


def test_records_and_mlflow_give_the_same_comparison(here: Path, ship: Callable[..., str]) -> None:
    made = study(here)
    uri = ship(made, here / "mlflow.db")
    ours = genloss.compare()
    assert numbers(genloss.compare(tracking_uri=uri)) == numbers(ours)
    assert numbers(genloss.compare("gan-losses", tracking_uri=uri)) == numbers(ours)
    assert all(run.folder is None for run in genloss.compare(tracking_uri=uri).runs)


def test_an_experiment_is_read_from_the_store_of_its_newest_study_here(
    here: Path, ship: Callable[..., str]
) -> None:
    uri = f"sqlite:///{here}/other.db"
    ship(study(here, name="one", created=BEGAN, uri=uri, experiment="gan"), here / "other.db")
    ship(
        study(here, name="two", created=BEGAN + 1, seeds=[3, 4, 5], uri=uri, experiment="gan"),
        here / "other.db",
    )
    found = genloss.compare("gan")
    assert (found.name, found.studies) == ("gan", ("one", "two"))
    assert found.summaries["frechet_distance"]["b"].count == 6


def test_a_study_here_and_one_of_a_store_are_compared(here: Path, ship: Callable[..., str]) -> None:
    elsewhere = study(here / "elsewhere", name="theirs", seeds=[3, 4, 5], created=BEGAN + 1)
    ship(elsewhere, here / "mlflow.db")
    study(here, name="ours")
    gathered = gather("ours", "theirs")
    found = gathered.compare()
    assert found.studies == ("ours", "theirs")
    assert found.summaries["frechet_distance"]["a"].count == 6
    source = gathered.artifacts(found.runs)
    for run in found.runs:
        assert list(source.evaluations(run)["eval/recall"][0]) == [10, 20]
    assert [origin.study for origin in source.origins()] == ["ours", "theirs"]


def test_what_is_not_there_is_said(here: Path, ship: Callable[..., str]) -> None:
    with pytest.raises(RequestError, match="there is no study in this folder"):
        genloss.compare()
    made = study(here)
    with pytest.raises(
        RequestError, match="there is no study `gan-loses` in this folder, and there is no MLflow"
    ):
        genloss.compare("gan-loses")
    assert not Path("mlflow.db").exists()
    with pytest.raises(RequestError, match="there is no study `elsewhere/gan-losses`"):
        genloss.compare("elsewhere/gan-losses")
    with pytest.raises(TrackingError, match="MLflow no longer keeps its records in plain files"):
        genloss.compare(tracking_uri="file:./mlruns")
    ship(made, here / "mlflow.db")
    with pytest.raises(RequestError, match="no MLflow experiment and no study `gan-loses`") as raised:
        genloss.compare("gan-loses")
    assert raised.value.hint == "did you mean `gan-losses`?"
    made.study.write_text("{")
    with pytest.raises(RecordError, match="cannot be read"):
        genloss.compare()


def test_the_last_study_of_a_store_where_there_is_none_here(here: Path, ship: Callable[..., str]) -> None:
    uri = ship(study(here / "elsewhere"), here / "theirs.db")
    assert genloss.compare(tracking_uri=uri).name == "gan-losses"


EXPERIMENT = {
    "name": "small",
    "data": {"name": "gaussian_ring", "size": 300},
    "model": {"name": "gan", "latent_dim": 2, "hidden": [8]},
    "objectives": {
        "plain": {"discriminator": "minimax_discriminator", "generator": "non_saturating_generator"},
        "wasserstein": {
            "discriminator": ["wasserstein_discriminator", "gradient_penalty"],
            "generator": "wasserstein_generator",
            "with": {"training.players.discriminator.updates_per_step": 2},
        },
    },
    "training": {"steps": 20, "batch_size": 16},
    "seeds": 2,
    "devices": "cpu",
    "evaluation": {"every": 10, "samples": 100, "metrics": ["mixture_coverage"]},
}


@pytest.mark.slow
def test_a_real_study_is_the_same_from_its_records_from_sqlite_and_from_a_server(
    here: Path, fresh: bytes
) -> None:
    import socket

    (here / "mlflow.db").write_bytes(fresh)
    result = genloss.run(EXPERIMENT)
    ours = genloss.compare(result)
    cost = ours.cost("wasserstein")
    assert (cost.steps, cost.updates) == (20, {"discriminator": 40, "generator": 20})
    assert cost.peak_memory is not None
    assert 5e7 < cost.peak_memory < 5e9
    assert 0 < cost.seconds < 300
    there = genloss.compare(result, tracking_uri=f"sqlite:///{here}/mlflow.db")
    assert numbers(there) == numbers(ours)
    assert there.runs[0].run_id == ours.runs[0].run_id
    with socket.socket() as probe:
        probe.bind((server.HOST, 0))
        port = int(probe.getsockname()[1])
    with server.serving(f"sqlite:///{here}/mlflow.db", port):
        from_server = genloss.compare("small", tracking_uri=f"http://{server.HOST}:{port}")
    assert numbers(from_server) == numbers(ours)
