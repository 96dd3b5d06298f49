"""What a report takes from a study's records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genloss.comparison.artifacts import LONGEST_TEXT, RecordArtifacts
from genloss.comparison.run_journal import PARTS
from genloss.comparison.runs import Cost, RunResult
from genloss.record.events import Column, ColumnsDeclared, Ended, Evaluated, Picture, Started, Status
from genloss.record.folder import StudyFolder
from genloss.record.frame import Values
from genloss.record.journal import Journal

STUDY: dict[str, Any] = {
    "study": "study-1",
    "created": 1_700_000_000_000,
    "experiment": {
        "source": "a b.yaml",
        "overrides": ["seeds=2"],
        "plugins": ["/p/my.py"],
        "baseline": "a",
        "description": "",
        "seeds": [0],
        "objectives": [],
    },
    "runs": [],
    "metrics": {},
    "experiment_name": "a",
    "tags": {
        "genloss.version": "0.1.0",
        "genloss.torch": "2.13.0",
        "mlflow.source.git.commit": "abc",
        "genloss.git.dirty": "true",
    },
    "data": {"name": "digits", "digest": "0123456789abcdef", "source": "", "profile": {}},
    "devices": [{"name": "cpu", "workers": 2, "threads": 1}],
}


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    """A study with one run of 600 steps, which was evaluated twice."""
    folder = StudyFolder(tmp_path / "study-1")
    run = folder.run("a-0")
    (run.artifacts / "samples").mkdir(parents=True)
    (run.artifacts / "samples" / "step-300.png").write_bytes(b"a picture")
    (run.artifacts / "samples" / "step-600.txt").write_text("ab" * LONGEST_TEXT)
    with Journal(run.journal) as journal:
        journal.event(Started())
        journal.event(
            ColumnsDeclared(
                columns=(
                    Column("n/a", 1),
                    Column("n/b", 2),
                )
            )
        )
        for first in (0, 300):
            rows = np.arange(first, first + 300, dtype=np.float64)
            journal.values(Values(first, np.zeros(300, np.int64), np.stack([rows, -rows], 1)))
        numbers = {"eval/m": 2.0, "held_out/n/a": 3.0}
        picture = Picture("samples", "artifacts/samples/step-300.png")
        journal.event(Evaluated(step=300, values=numbers, image=picture))
        journal.event(Evaluated(step=600, values={"eval/m": 1.0}, text="artifacts/samples/step-600.txt"))
        journal.event(Ended(status=Status.FINISHED))
    folder.study.write_text(json.dumps(STUDY))
    (folder.path / "experiment.yaml").write_text("name: a  # as written\n")
    return folder


def result(study: StudyFolder, **more: Any) -> RunResult:
    return RunResult(
        name="a-0", objective="a", seed=0, status="FINISHED", folder=study.run("a-0"), cost=Cost(600), **more
    )


def test_curves_are_means_over_equal_parts_of_the_planned_steps(study: StudyFolder) -> None:
    source = RecordArtifacts(study)
    losses = source.losses(result(study))
    steps, values = losses["n/a"]
    assert len(steps) == PARTS
    np.testing.assert_allclose(values, np.arange(600).reshape(PARTS, 4).mean(1))
    np.testing.assert_allclose(losses["n/b"][1], -np.arange(0, 600, 2).reshape(PARTS, 2).mean(1))
    longer = RecordArtifacts(study).losses(result(study, configuration={"training.steps": "1200"}))
    assert len(longer["n/a"][0]) == PARTS // 2
    assert source.evaluations(result(study)) == {
        "eval/m": ([300, 600], [2.0, 1.0]),
        "held_out/n/a": ([300], [3.0]),
    }


def test_samples_are_found_by_step(study: StudyFolder) -> None:
    source = RecordArtifacts(study)
    samples = study.run("a-0").artifacts.resolve() / "samples"
    assert source.pictures(result(study)) == {300: samples / "step-300.png"}
    assert source.texts(result(study)) == {600: "ab" * (LONGEST_TEXT // 2)}


@pytest.mark.parametrize(
    "name", ["/etc/hostname.png", "../../secret.png", "artifacts/nothing.png", "link.png"]
)
def test_a_picture_that_is_not_the_runs_own_is_left_out(
    study: StudyFolder, tmp_path: Path, name: str
) -> None:
    (tmp_path / "secret.png").write_bytes(b"")
    run = study.run("a-0")
    (run.path / "link.png").symlink_to(tmp_path / "secret.png")
    with Journal(run.journal) as journal:
        journal.event(Evaluated(step=300, values={}, image=Picture("samples", name)))
    assert RecordArtifacts(study).pictures(result(study)) == {}


def test_a_run_without_a_record_has_nothing(study: StudyFolder) -> None:
    source = RecordArtifacts(study)
    run = RunResult(name="b-0", objective="b", seed=0, status="NOT STARTED", folder=study.run("b-0"))
    elsewhere = RunResult(name="c-0", objective="c", seed=0, status="FINISHED")
    for one in (run, elsewhere):
        assert (source.losses(one), source.pictures(one), source.texts(one)) == ({}, {}, {})
        assert source.evaluations(one) == {}


def test_a_damaged_journal_gives_what_can_be_read(study: StudyFolder) -> None:
    path = study.run("a-0").journal
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255  # in the second block
    path.write_bytes(content)
    source = RecordArtifacts(study)
    assert len(source.losses(result(study))["n/a"][0]) == PARTS // 2
    assert source.evaluations(result(study))["eval/m"][0] == [300, 600]
    path.write_bytes(b"no journal")
    assert RecordArtifacts(study).losses(result(study)) == {}


def test_values_that_fit_no_columns_are_left_out(study: StudyFolder) -> None:
    with Journal(study.run("a-0").journal) as journal:
        journal.values(Values(599, np.zeros(1, np.int64), np.full((1, 3), 1e9)))
    losses = RecordArtifacts(study).losses(result(study))
    assert set(losses) == {"n/a", "n/b"}
    assert losses["n/a"][1].max() < 600


def test_of_two_evaluations_at_one_step_the_last_counts(study: StudyFolder) -> None:
    with Journal(study.run("a-0").journal) as journal:
        journal.event(Evaluated(step=300, values={"eval/m": 5.0}))
    assert RecordArtifacts(study).evaluations(result(study))["eval/m"] == ([300, 600], [5.0, 1.0])


def test_a_run_of_no_steps_has_evaluations_and_no_curves(study: StudyFolder) -> None:
    source = RecordArtifacts(study)
    run = result(study, configuration={"training.steps": "0"})
    assert (source.losses(run), source.evaluations(run)["eval/m"][1]) == ({}, [2.0, 1.0])


def test_where_it_comes_from(study: StudyFolder) -> None:
    (origin,) = RecordArtifacts(study).origins()
    assert origin.study == "study-1"
    assert origin.experiment == "name: a  # as written\n"
    assert origin.reproduce == "genloss run 'a b.yaml' --set seeds=2 --plugin /p/my.py"
    assert origin.made_with == {
        "begun": "2023-11-14 22:13 UTC",
        "genloss": "0.1.0",
        "torch": "2.13.0",
        "data": "digits, SHA-256 0123456789ab",
        "devices": "cpu (workers: 2, threads of each: 1)",
        "git commit": "abc, with changes that are in no commit",
    }
    study.study.unlink()
    assert RecordArtifacts(study).origins()[0].reproduce == ""
