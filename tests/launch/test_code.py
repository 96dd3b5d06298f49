"""Which code trains a run, in the launcher, in its worker, in its record and in MLflow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import genloss
from genloss.errors import ExperimentError, RecordError, RequestError
from genloss.experiment.schema import Run
from genloss.launch.moved import relocated
from genloss.launch.preparation import prepare
from genloss.planning.plan import plan, runs
from genloss.record.folder import StudyFolder
from genloss.registry import code, trust
from tests.comparison.written import study

LOSS = """
import genloss
from jaxtyping import Float
from torch import Tensor
from parts.power import powered

@genloss.loss(family="test", unit="data", source="a test")
def mine(
    x: Float[Tensor, "batch *event"], x_hat: Float[Tensor, "batch *event"]
) -> Float[Tensor, "batch"]:
    from parts.late import scale
    return scale(powered(x - x_hat).flatten(1).sum(1))

@genloss.hookimpl
def genloss_losses():
    yield mine
"""


def project(folder: Path, *, power: int = 2, **more: Any) -> Path:
    """A project with an experiment, its data, and a plugin with a neighbour; gives the experiment."""
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    (folder / "losses.py").write_text(LOSS)
    (folder / "parts" / "power.py").write_text(f"def powered(x): return x.abs().pow({power})")
    (folder / "parts" / "late.py").write_text("def scale(x): return 2 * x")
    np.save(folder / "points.npy", np.random.default_rng(0).normal(size=(60, 2)).astype("float32"))
    content = {
        "name": "mine",
        "plugins": ["./losses.py"],
        "data": {"name": "arrays", "path": "points.npy", "kind": "points"},
        "model": {"name": "autoencoder", "latent_dim": 1, "hidden": [4]},
        "objectives": {"mine": {"network": "mine"}},
        "training": {"steps": 4, "batch_size": 8},
        "seeds": [0],
        "devices": "cpu",
        "workers": 1,
        "evaluation": {"samples": 20, "metrics": [{"maximum_mean_discrepancy": {"features": "data"}}]},
        **more,
    }
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def prepared(file: Path) -> StudyFolder:
    """A study whose launcher died before it trained anything."""
    folder = StudyFolder.create("mine-1")
    planned = plan(file)
    prepare(folder, planned, runs(planned, folder.name))
    return folder


def run_of(folder: StudyFolder) -> Run:
    return Run.model_validate_json(folder.run("mine-0").run.read_text())


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Somebody who has run nothing yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setattr(trust, "_named", set())


def test_seeds_of_other_code_are_neither_joined_from_records_nor_from_mlflow(here: Path) -> None:
    first = genloss.run(project(here))
    recorded = first.runs[0].folder.artifacts / "plugins"
    (copy,) = recorded.iterdir()
    assert sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*.py")) == [
        "losses.py",
        "parts/late.py",
        "parts/power.py",
    ]
    second = genloss.run(project(here, power=3, seeds=[1]))
    uri = f"sqlite:///{here}/mlflow.db"
    for tracking_uri in (None, uri):
        with pytest.raises(RequestError, match=r"the code of `network\.mine` of objective `mine` is losses"):
            genloss.compare(first.name, second.name, tracking_uri=tracking_uri)
        apart = genloss.compare(first.name, second.name, tracking_uri=tracking_uri, allow_differences=True)
        assert apart.objectives == (f"mine ({first.name})", f"mine ({second.name})")


def test_a_neighbour_that_is_edited_before_a_run_begins(empty: Path) -> None:
    folder = prepared(project(empty))
    project(empty, power=3)
    with pytest.raises(RequestError, match=r"would not go on as it began: plugin losses\.py \w+.*, now \w+"):
        genloss.resume()
    assert not folder.run("mine-0").journal.exists()


def test_a_project_that_was_moved_is_resumed(
    empty: Path, fresh_store: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = empty / "old", empty / "new"
    project(old)
    monkeypatch.chdir(old)
    prepared(Path("mine.yaml"))
    old.rename(new)
    monkeypatch.chdir(new)
    Path("mlflow.db").write_bytes(fresh_store)
    folder = StudyFolder(Path(".genloss/mine-1"))
    folder.write({**folder.read(), "tracking_uri": f"sqlite:///{new}/mlflow.db"})
    result = genloss.resume()
    assert [run.status for run in result.runs] == ["FINISHED"]
    run = run_of(folder)
    assert run.plugins == (str(new / "losses.py"),)
    assert run.data.options["path"] == str(new / "points.npy")
    assert genloss.resume().exit_code == 0


def test_a_copy_of_a_project_has_files_of_its_own(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = empty / "old", empty / "new"
    project(old)
    (empty / "shared.npy").touch()
    shutil.copytree(old, new)
    (new / "points.npy").unlink()
    monkeypatch.chdir(new)
    paths = {
        name: str(old / name)
        for name in ("losses.py", "points.npy", "../shared.npy", "mine.yaml", "../older/mine.yaml")
    }
    content = {
        "folder": str(old),
        "experiment": {"text": paths["mine.yaml"], "source": paths["mine.yaml"], "steps": 3},
        "runs": [{"plugins": [paths["losses.py"]], "data": {"options": {"paths": list(paths.values())}}}],
    }
    assert relocated(content, ()) == {
        "folder": str(new),
        "experiment": {"text": paths["mine.yaml"], "source": str(new / "mine.yaml"), "steps": 3},
        "runs": [
            {
                "plugins": [str(new / "losses.py")],
                "data": {
                    "options": {
                        "paths": [
                            str(new / "losses.py"),
                            paths["points.npy"],
                            str(new / "../shared.npy"),
                            str(new / "mine.yaml"),
                            paths["../older/mine.yaml"],
                        ]
                    }
                },
            }
        ],
    }


def test_a_plugin_file_that_was_moved_is_named(empty: Path) -> None:
    folder = prepared(project(empty))
    elsewhere = empty / "elsewhere"
    elsewhere.mkdir()
    shutil.move("losses.py", elsewhere)
    shutil.move("parts", elsewhere)
    with pytest.raises(ExperimentError) as caught:
        genloss.resume()
    assert caught.value.message == f"there is no plugin file `{empty / 'losses.py'}`"
    assert caught.value.hint == "`genloss resume mine-1 --plugin FILE` names it where it lies now"
    project(elsewhere, power=3)
    with pytest.raises(RequestError, match=r"plugin losses\.py \w+ \(\w+\), now"):
        genloss.resume(plugins=[elsewhere / "losses.py"])
    assert run_of(folder).plugins == (str(elsewhere / "losses.py"),)


def test_a_study_of_somebody_else_runs_nothing_until_its_plugin_is_named(
    empty: Path, forgotten: None
) -> None:
    folder = prepared(project(empty))
    trust._named.clear()
    shutil.rmtree(Path(os.environ["XDG_STATE_HOME"]) / "genloss")
    genloss.registry.catalogue._catalogue.cache_clear()
    Path("losses.py").write_text("from pathlib import Path\nPath('marker').touch()\n" + LOSS)
    content = folder.read()
    content["fingerprint"]["plugin losses.py"] = f"{code.read('losses.py').version} (forged)"
    folder.write(content)
    with pytest.raises(RequestError, match="which you have not run before") as caught:
        genloss.resume(allow_drift=True)
    assert caught.value.hint == "read it; `genloss resume mine-1 --plugin losses.py` runs it"
    assert not Path("marker").exists()


def test_a_run_that_names_other_plugins_than_its_study(empty: Path) -> None:
    folder = prepared(project(empty))
    Path("evil.py").write_text("from pathlib import Path\nPath('marker').touch()\n")
    path = folder.run("mine-0").run
    path.write_text(path.read_text().replace("losses.py", "evil.py"))
    with pytest.raises(RecordError, match="it names other plugins than"):
        genloss.resume(allow_drift=True)
    assert not Path("marker").exists()


@pytest.mark.parametrize("command", ["list", "plugins", "clean", "compare", "sync"])
def test_a_command_that_only_looks_at_a_study_runs_none_of_its_code(here: Path, command: str) -> None:
    made = study(here, uri=f"sqlite:///{here}/mlflow.db")
    evil = here / "evil.py"
    evil.write_text("from pathlib import Path\nPath('marker').touch()\n")
    for path in [made.study, *made.path.glob("*/run.json")]:
        path.write_text(path.read_text().replace('"plugins":[]', f'"plugins":["{evil}"]'))
        path.write_text(path.read_text().replace('"plugins": []', f'"plugins": ["{evil}"]'))
        assert str(evil) in path.read_text()
    done = subprocess.run([sys.executable, "-m", "genloss", command], capture_output=True, check=False)
    assert done.returncode in (0, 1)
    assert b"Traceback" not in done.stderr
    assert not Path("marker").exists()
