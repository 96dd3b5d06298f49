"""Ways out of a study's folder: links, and paths in a journal that lead elsewhere.

Nothing that lies outside is read into MLflow, and nothing outside is written or removed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genloss.record.events import ArtifactWritten, ColumnsDeclared, Ended, Evaluated, Picture, Status
from genloss.record.folder import RunFolder
from tests.commands.conftest import Said
from tests.faults import support
from tests.tracking.studies import begin, block, columns, write_study

SECRET = b"a secret"


@pytest.fixture
def outside(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder beside the working folder, with files that are nobody's business."""
    outside, work = here / "outside", here / "work"
    outside.mkdir()
    work.mkdir()
    (outside / "secret.txt").write_bytes(SECRET)
    Image.new("L", (4, 4)).save(outside / "secret.png")
    monkeypatch.chdir(work)
    return outside


def malicious(run: RunFolder, outside: Path) -> None:
    """A record that would have files of other folders shipped, and some to other folders."""
    (run.artifacts / "link.txt").symlink_to(outside / "secret.txt")
    (run.artifacts / "folder").symlink_to(outside)
    (run.artifacts / "honest.txt").write_text("honest")
    Image.new("L", (4, 4)).save(run.artifacts / "honest.png")
    up = "../" * len(run.path.parts)
    with begin(run) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        journal.values(block(0, np.ones((3, 1))))
        for path in (
            f"{up}outside/secret.txt",
            f"artifacts/{up}../outside/secret.txt",
            str(outside / "secret.txt"),
            "artifacts/link.txt",
            "artifacts/folder/secret.txt",
            "artifacts/folder",
            "",
            ".",
            "artifacts/honest.txt\0",
            "x" * 5000,
        ):
            journal.event(ArtifactWritten(path=path))
        for to in ("../../../../../written", str(outside / "written"), "a\0b", "x" * 300):
            journal.event(ArtifactWritten(path="artifacts/honest.txt", to=to))
        for step, path in enumerate((str(outside / "secret.png"), "artifacts/folder/secret.png")):
            image, text = Picture("samples", path), path.replace("png", "txt")
            journal.event(Evaluated(step=step, values={"eval/x": 1.0}, image=image))
            journal.event(Evaluated(step=step + 5, values={"eval/x": 1.0}, text=text))
        for key in ("../../../written", "a\0b", "x" * 300):
            image = Picture(key, "artifacts/honest.png")
            journal.event(Evaluated(step=9, values={"eval/x": 1.0}, image=image))
        journal.event(ArtifactWritten(path="artifacts/honest.txt"))
        journal.event(Ended(status=Status.FINISHED))


def test_paths_in_a_journal_that_lead_elsewhere_are_refused_and_said(outside: Path) -> None:
    """All else of the run is shipped."""
    work = Path.cwd()
    study = write_study(work, uri=f"sqlite:///{work}/mlflow.db")
    (run,) = [study.run(path.parent.name) for path in study.path.glob("*/run.json")]
    before = everything(outside)
    malicious(run, outside)
    command = [sys.executable, "-m", "genloss.tracking.tracker", str(study.path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    name = run.path.name
    assert support.runs(work) == {name: "FINISHED"}
    assert support.values(work)[name, "generator/total", 2] == 1
    shipped = support.artifacts(work, name)
    assert {*shipped} - {"journal.gz"} == {"honest.txt"}
    assert not [path for path in shipped.values() if SECRET in path.read_bytes() or path.suffix == ".png"]
    assert "secret" in support.tags(work, name)["genloss.rejected"]
    assert everything(outside) == before


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", ["resume", "clean"])
def test_a_study_that_is_a_link_to_another_folder_is_left_alone(
    genloss: Callable[..., Said], outside: Path, command: str
) -> None:
    """It is not this folder's: nothing is trained in it, and nothing of it is removed."""
    elsewhere = write_study(outside)
    Path(".genloss").mkdir()
    Path(".genloss/linked").symlink_to(elsewhere.path)
    before = everything(outside)
    said = genloss(command, "linked", *(["--yes"] if command == "clean" else []))
    assert said.code != 0
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
    assert everything(outside) == before


def test_cleaning_a_study_leaves_what_its_links_point_to(genloss: Callable[..., Said], outside: Path) -> None:
    study = write_study(Path.cwd())
    (study.path / "link").symlink_to(outside)
    (study.path / "link.txt").symlink_to(outside / "secret.txt")
    before = everything(outside)
    said = genloss("clean", study.name, "--yes")
    assert said.code == 0, said.err
    assert not study.path.exists()
    assert everything(outside) == before
