"""What decides a study's numbers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloss
from genloss.errors import CatalogueError, RunError
from genloss.experiment.schema import Run
from genloss.launch import fingerprint
from genloss.launch.execute import execute
from genloss.launch.preparation import prepare
from genloss.launch.progress import Silence
from genloss.launch.result import UnfinishedWarning
from genloss.planning.plan import Plan, plan, runs
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


@pytest.mark.slow
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


WEIGHTED = """
from pathlib import Path
import genloss
from jaxtyping import Float
from torch import Tensor

@genloss.loss(family="test", unit="data", source="a test")
def weighted(
    x: Float[Tensor, "batch *event"], x_hat: Float[Tensor, "batch *event"], *, tables: tuple[Path, ...]
) -> Float[Tensor, "batch"]:
    return (x - x_hat).square().flatten(1).sum(1)

@genloss.hookimpl
def genloss_losses():
    yield weighted
"""


def weighted(here: Path, **more: Any) -> dict[str, Any]:
    """An experiment with a loss that reads a file and a folder."""
    Path("mine.py").write_text(WEIGHTED)
    Path("folder").mkdir()
    for name in ("table", "folder/a", "folder/b"):
        Path(name).write_text(name)
    content = experiment(**more, plugins=[str(here / "mine.py")])
    content["objectives"] = {"a": {"network": {"weighted": {"tables": ["table", "folder"]}}}}
    return content


@pytest.mark.parametrize("name", ["table", "folder/b"])
def test_files_that_options_name_are_part_of_it(empty: Path, name: str) -> None:
    content = weighted(empty)
    folder = prepared(plan(content), empty)
    before = folder.read()["fingerprint"]
    run = Run.model_validate_json(folder.run("a-0").run.read_text())
    assert (
        run.code["network.weighted.tables.@content"] == before["the content of network.weighted.tables of a"]
    )
    fingerprint.check_run(folder, run)
    Path(name).write_text("another")
    with pytest.raises(
        RunError, match=r"the content of network\.weighted\.tables of a \w+, now \w+: it was cha"
    ):
        fingerprint.check_run(folder, run)
    after = prepared(plan(content), empty).read()
    (changed, *_) = fingerprint.differences(before, after["fingerprint"])
    assert changed.startswith("the content of network.weighted.tables of a ")


def test_data_that_are_others_by_the_time_that_a_worker_loads_them(empty: Path) -> None:
    np.save("points.npy", np.zeros((60, 2), dtype="float32"))
    content = {**experiment("none"), "data": {"name": "arrays", "path": "points.npy", "kind": "points"}}
    folder = prepared(plan(content), empty)
    np.save("points.npy", np.ones((60, 2), dtype="float32"))
    outcome = execute(folder.run("none-0"), lambda _: None, lambda: False)
    assert outcome.status == "FAILED"
    assert re.match(r"data arrays \w+, now \w+: it was changed while the study ran", outcome.message)


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
