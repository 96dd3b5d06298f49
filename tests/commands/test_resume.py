"""`genloss resume`, as far as it goes before anything is trained."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from genloss.launch.preparation import prepare
from genloss.planning.plan import plan, runs
from genloss.record.folder import StudyFolder
from tests.commands.conftest import Said

EXPERIMENT = {
    "name": "small",
    "data": {"name": "two_moons", "size": 300},
    "model": {"name": "autoencoder", "latent_dim": 1, "hidden": [4]},
    "objectives": {"squared": {"network": "squared_error"}},
    "training": {"steps": 4, "batch_size": 16},
    "seeds": 1,
    "devices": "cpu",
}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    """A study that was never begun."""
    monkeypatch.chdir(tmp_path)
    folder = StudyFolder.create("small-1")
    planned = plan(EXPERIMENT)
    prepare(folder, planned, runs(planned, folder.name))
    return folder


def test_without_a_study_it_says_what_makes_one(
    genloss: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = genloss("resume")
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines() == [
        "error: there is no study in this folder",
        "hint: `genloss run EXPERIMENT` makes one; it is resumed in the folder that it was run in",
    ]


def test_a_name_that_is_misspelt(genloss: Callable[..., Said], study: StudyFolder) -> None:
    said = genloss("resume", "smal-1")
    assert said.code == 2
    assert said.err.splitlines() == [
        "error: there is no study `smal-1` in this folder",
        "hint: did you mean `small-1`?",
    ]


def test_a_study_that_has_changed(genloss: Callable[..., Said], study: StudyFolder) -> None:
    content = study.read()
    content["fingerprint"]["genloss"] = "0.0.1"
    study.write(content)
    said = genloss("resume")
    assert said.code == 2
    first, hint = said.err.splitlines()
    assert first.startswith("error: study `small-1` would not go on as it began: genloss 0.0.1, now ")
    assert hint.startswith("hint: `--allow-drift` goes on nevertheless")
    assert not study.run("squared-0").journal.exists()


def test_a_study_that_somebody_trains(genloss: Callable[..., Said], study: StudyFolder) -> None:
    with study.locked():
        said = genloss("resume", "small-1")
    assert said.code == 1
    assert said.err.startswith(f"error: process {os.getpid()} on ")
    assert said.err.endswith(" is at study `small-1`\n")


@pytest.mark.parametrize("content", ["{", '{"fingerprint": {}, "experiment": {}, "runs": []}', "{}"])
def test_a_study_that_is_damaged(genloss: Callable[..., Said], study: StudyFolder, content: str) -> None:
    study.study.write_text(content)
    said = genloss("resume")
    assert said.code == 1
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
