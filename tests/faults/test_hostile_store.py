"""Whatever an MLflow store says of runs, reading it ends in a GenlossError or in what can be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import FileInfo, Metric, Param, Run, RunData, RunInfo, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList

from genloss.comparison.comparison import compare_runs
from genloss.errors import GenlossError
from genloss.tracking import store, tags
from genloss.tracking.artifacts import MlflowArtifacts
from genloss.tracking.from_mlflow import Reader
from tests.faults.test_hostile_records import NUMBERS, TEXTS, VALUES, as_json, often

KEYS = [
    *(tags.STUDY, tags.CREATED, tags.RUN, tags.SETS, tags.BASE, tags.POINT, tags.PROTOCOL, tags.TRIAL),
    *(tags.STEPS, tags.METRICS, tags.COMPARISON, tags.REFERENCES, tags.COMMAND, "genloss.message"),
    *("genloss.attempt", "genloss.reproduce", "genloss.device_name"),
]
PARAMS = ["objective", "seed", "training.steps", "generator.total.loss", "model.hidden"]
PARAMS += ["training.players.generator.updates_per_step"]
METRICS = ["eval/frechet_distance", "eval/x", "cost/seconds", "cost/peak_memory", "generator/total"]
PROTOCOL = {
    "experiment": "gan",
    "baseline": "a",
    "position": 0,
    "data": "00",
    "metrics": {"frechet_distance": {"higher_is_better": False, "unit": "1"}},
    "objectives": ["a"],
    "seeds": [0, 1],
}
SAID = {tags.STUDY: "gan-1", tags.RUN: "gan-1/a-0", tags.CREATED: "1700000000000", tags.STEPS: "10"}
SAID[tags.PROTOCOL] = as_json(PROTOCOL).decode()

texts = TEXTS | NUMBERS.map(str) | VALUES.map(lambda value: as_json(value).decode()) | st.just("9" * 5000)
protocols = st.builds(
    lambda key, value: as_json({**PROTOCOL, key: value}).decode(), st.sampled_from(sorted(PROTOCOL)), VALUES
)
paths = TEXTS | st.builds(
    "{}/samples+step+{}+timestamp+1+{}.png".format, TEXTS | st.just("images"), texts, TEXTS
)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """A run as a store might give it: one of ours, with some of what it says replaced."""
    said = SAID | draw(st.dictionaries(st.sampled_from(KEYS), texts | protocols, max_size=4))
    params = {"objective": "a", "seed": "0", "training.steps": "10"}
    params |= draw(st.dictionaries(st.sampled_from(PARAMS), texts, max_size=3))
    numbers = draw(st.dictionaries(st.sampled_from(METRICS), st.floats(), max_size=3))
    info = RunInfo(
        run_id=draw(st.sampled_from(["ab", "cd"])),
        experiment_id="1",
        user_id="",
        status=draw(st.sampled_from(["FINISHED", "RUNNING", "FAILED"])),
        start_time=draw(st.integers(0, 2**60)),
        end_time=draw(st.none() | st.integers(0, 2**60)),
        lifecycle_stage=draw(st.sampled_from(["active", "active", "deleted"])),
        run_name=draw(TEXTS),
    )
    data = RunData(
        [Metric(key, value, 0, 0) for key, value in numbers.items()],
        [Param(key, value) for key, value in params.items()],
        [RunTag(key, value) for key, value in said.items()],
    )
    return Run(info, data)


class Lying:
    """A client whose store says what it likes: its answers are tried, not the way to it."""

    def __init__(self, found: list[Run], listed: list[str]) -> None:
        self._runs, self._listed = found, listed

    def search_runs(self, *_: Any, **__: Any) -> PagedList[Run]:
        return PagedList(self._runs, None)

    def search_experiments(self, **_: Any) -> PagedList[Any]:
        return PagedList([SimpleNamespace(experiment_id="1", name="gan", tags={})], None)

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="1", name=name, lifecycle_stage="active")

    def get_experiment(self, _: str) -> Any:
        return self.get_experiment_by_name("gan")

    def get_run(self, _: str) -> Run:
        return self._runs[0]

    def get_metric_history(self, _: str, key: str) -> list[Metric]:
        return [Metric(key, 1.0, 0, -5), Metric(key, float("inf"), 0, 2**62)]

    def list_artifacts(self, *_: str) -> list[FileInfo]:
        return [FileInfo(path, False, 3) for path in self._listed]

    def download_artifacts(self, name: str, to: str) -> str:
        path = Path(to, name)
        if ".." in path.parts or not path.is_relative_to(to) or "\0" in name or len(name) > 150:
            raise MlflowException("Invalid path")
        with suppress(ValueError, UnicodeEncodeError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\x89PNG" if name.endswith("png") else b"\x00 no journal")
        return str(path)


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, which stays empty."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def test_an_honest_answer_is_read() -> None:
    params = [Param("objective", "a"), Param("seed", "0")]
    info = RunInfo("ab", "1", "", "FINISHED", 0, 1, "active", run_name="a-0")
    run = Run(info, RunData([], params, [RunTag(key, value) for key, value in SAID.items()]))
    reader = Reader.__new__(Reader)
    reader._uri, reader.client = "http://localhost", Lying([run], [])  # type: ignore[assignment]
    (study,) = reader.find("gan")
    assert [(found.name, found.status) for found in study.runs] == [
        ("a-0", "FINISHED"),
        ("a-1", "NOT STARTED"),
    ]


@pytest.mark.usefixtures("nothing_here")
@often
@given(found=st.lists(runs(), max_size=3), listed=st.lists(paths, max_size=4))
def test_answers_of_a_store(found: list[Run], listed: list[str]) -> None:
    client: MlflowClient = Lying(found, listed)  # type: ignore[assignment]
    reader = Reader.__new__(Reader)
    reader._uri, reader.client = "http://localhost", client
    with pytest.MonkeyPatch.context() as patch:
        # Its artifacts are the client's own, in place of a repository's.
        patch.setattr(store, "artifacts_of", lambda client, _: client)
        _read(reader, client)


def _read(reader: Reader, client: MlflowClient) -> None:
    """All that a comparison reads of a store."""
    for read in (lambda: reader.find("gan"), lambda: reader.find("gan-1"), reader.last):
        with suppress(GenlossError):
            for study in read():
                compare_runs(
                    study.runs,
                    name=study.name,
                    description=study.description,
                    objectives=study.objectives,
                    baseline=study.baseline,
                    metrics=study.metrics,
                    references=study.references,
                ).answer()
                source = MlflowArtifacts(client, study.runs)
                source.origins()
                for run in study.runs:
                    source.evaluations(run)
                    source.losses(run)
                    assert all(path.is_relative_to(source._folder) for path in source.pictures(run).values())
                    source.texts(run)
