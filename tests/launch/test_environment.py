"""What a study records of where it was made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from genloss.launch import environment


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one committed file, in Latin-1."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_bytes("Größe eins \n".encode("latin-1"))
    for command in (
        "git init -q",
        "git add notes.txt",
        "git -c user.name=Ada -c user.email=ada@example.org commit -qm Begin",
    ):
        subprocess.run(command.split(), check=True)
    return tmp_path


def test_a_clean_repository(repository: Path) -> None:
    tags = environment.tags("gan.yaml", ())
    assert len(tags["mlflow.source.git.commit"]) == 40
    assert tags["genloss.git.dirty"] == "false"
    assert environment.git_diff() == b""


def test_the_diff_can_be_applied_whatever_its_encoding(repository: Path) -> None:
    changed = "Größe zwei \n\n".encode("latin-1")
    (repository / "notes.txt").write_bytes(changed)
    assert environment.tags("gan.yaml", ())["genloss.git.dirty"] == "true"
    diff = environment.git_diff()
    subprocess.run(["git", "checkout", "-q", "."], check=True)
    subprocess.run(["git", "apply"], input=diff, check=True)
    assert (repository / "notes.txt").read_bytes() == changed


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    tags = environment.tags("gan.yaml", ())
    assert "mlflow.source.git.commit" not in tags
    assert tags["mlflow.user"]
    assert environment.git_diff() == b""


def test_the_packages_are_a_requirements_file() -> None:
    first, *lines = environment.packages().splitlines()
    assert first.startswith("# Python 3.")
    assert any(line.startswith("torch==") for line in lines)
    assert all("==" in line for line in lines)
