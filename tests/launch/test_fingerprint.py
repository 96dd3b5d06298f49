"""What decides a study's numbers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import genloss
from genloss.errors import CatalogueError
from genloss.experiment.plan import Plan, plan, runs
from genloss.experiment.schema import Run
from genloss.launch import fingerprint
from genloss.launch.display import Silence
from genloss.launch.preparation import prepare
from genloss.launch.result import UnfinishedWarning
from genloss.record.folder import StudyFolder
from tests.launch.conftest import FAULTY, experiment


def prepared(planned: Plan, root: Path) -> StudyFolder:
    folder = StudyFolder.create("faults-1", root)
    prepare(folder, planned, runs(planned, folder.name))
    return folder


def test_it_names_all_that_is_used_and_no_more(empty: Path) -> None:
    planned = plan(experiment("none"))
    taken = prepared(planned, empty).read()["fingerprint"]
    assert list(taken) == [
        "genloss",
        "torch",
        "Python",
        "the CPU's capability",
        "device cpu",
        "plugin genloss",
        "plugin faulty.py",
        "data two_moons",
        "configuration of none-0",
    ]
    assert all(taken.values())


def test_it_is_the_same_again_and_differs_with_each_part(empty: Path) -> None:
    shutil.copy(FAULTY, "mine.py")
    content = experiment("none", plugins=[str(empty / "mine.py")])
    first, again = (prepared(plan(content), empty).read()["fingerprint"] for _ in range(2))
    # The study's name is part of a run's configuration.
    assert fingerprint.differences(first, again) == [
        f"configuration of none-0 {first['configuration of none-0']}, now {again['configuration of none-0']}"
    ]
    with Path("mine.py").open("a") as plugin:
        plugin.write("# more\n")
    content["data"]["size"] = 301
    other = prepared(plan(content), empty).read()["fingerprint"]
    changed = [words.split(" ")[0] for words in fingerprint.differences(first, other)]
    assert changed == ["plugin", "data", "configuration"]


def test_a_plugin_that_is_edited_while_its_study_runs(here: Path) -> None:
    shutil.copy(FAULTY, "mine.py")

    class Editor(Silence):
        def progress(self, run: Run, message: Mapping[str, Any]) -> None:  # noqa: ARG002
            if run.seed == 0:
                with Path("mine.py").open("a") as plugin:
                    plugin.write("# more\n")

    content = experiment("none", plugins=[str(here / "mine.py")], seeds=2, workers=1)
    with pytest.warns(UnfinishedWarning, match="it was changed while the study ran"):
        result = genloss.run(content, display=Editor())
    assert [run.status for run in result.runs] == ["FINISHED", "FAILED"]
    assert result.runs[1].message.startswith("plugin mine.py ")
    shutil.copy(FAULTY, "mine.py")
    assert [run.status for run in genloss.resume(result.name).runs] == ["FINISHED", "FINISHED"]


def test_what_is_new_or_gone_is_missing_on_one_side() -> None:
    assert fingerprint.differences(
        {"torch": "1", "device cpu": "cpu"}, {"torch": "2", "device mps": "mps"}
    ) == [
        "torch 1, now 2",
        "device cpu cpu, now missing",
        "device mps missing, now mps",
    ]


def test_a_plugin_that_is_gone(empty: Path) -> None:
    planned = plan(experiment("none"))
    without = plan(
        {**experiment(), "plugins": [], "objectives": {"a": {"network": "squared_error"}}}
    ).catalogue
    with pytest.raises(CatalogueError, match="no plugin offers a loss named `faulty`"):
        fingerprint.used(planned.experiment, without)
