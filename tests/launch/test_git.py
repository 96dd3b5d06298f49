"""What a study records of the repository that its experiment lies in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from genloss.launch import git

CHANGED = "Größe zwei \n\n".encode("latin-1")


def call(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    call(folder, "add", "-A")
    call(folder, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-qm", "Begin")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one committed file, in Latin-1, and a folder."""
    (tmp_path / "notes.txt").write_bytes("Größe eins \n".encode("latin-1"))
    (tmp_path / "experiments").mkdir()
    call(tmp_path, "init", "-q")
    commit(tmp_path)
    return tmp_path


def test_a_clean_repository(repository: Path) -> None:
    tags = git.state(repository / "experiments").tags()
    assert len(tags.pop("mlflow.source.git.commit")) == 40
    assert tags.pop("mlflow.source.git.branch")
    assert tags == {"genloss.git.dirty": "false"}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"diff.noprefix": "true", "diff.relative": "true", "color.ui": "always", "diff.renames": "copies"},
        {"diff.external": "false", "diff.latin.textconv": "cat", "core.fsmonitor": "false"},
    ],
)
def test_the_diff_can_be_applied_whatever_its_encoding_and_the_users_settings(
    repository: Path, settings: dict[str, str]
) -> None:
    for key, value in settings.items():
        call(repository, "config", key, value)
    (repository / ".git/info/attributes").write_text("*.txt diff=latin\n")
    (repository / "notes.txt").write_bytes(CHANGED)
    state = git.state(repository / "experiments")
    assert state.dirty is True
    call(repository, "checkout", "-q", ".")
    subprocess.run(["git", "apply"], input=state.diff, check=True, cwd=repository)
    assert (repository / "notes.txt").read_bytes() == CHANGED


def test_files_that_are_named_like_secrets_are_left_out(repository: Path) -> None:
    secrets = [".env", "deploy/.env.production", "My_Secrets/note.md", "keys/server.PEM", "id_rsa"]
    for name in secrets:
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("old\n")
    commit(repository)
    for name in [*secrets, "notes.txt"]:
        (repository / name).write_text("hunter2\n" if name in secrets else "new\n")
    state = git.state(repository)
    assert b"notes.txt" in state.diff
    assert b"hunter2" not in state.diff
    assert all(f"`{name}`" in state.problem for name in secrets)
    assert state.tags()["genloss.git.problem"] == state.problem


def test_a_large_diff_is_left_out_and_told(repository: Path) -> None:
    (repository / "notes.txt").write_text("a line of a large file\n" * 100_000)
    state = git.state(repository)
    assert state.dirty is True
    assert state.diff == b""
    assert state.problem == "the git diff was not recorded: it is larger than 1 MiB"


def test_the_diff_can_be_left_out(repository: Path) -> None:
    (repository / "notes.txt").write_text("new\n")
    assert git.state(repository, with_diff=False) == git.GitState(
        git.state(repository).commit, git.state(repository).branch, dirty=True
    )


def test_a_failing_git_is_told_and_not_taken_for_clean(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / ".git/index").write_bytes(b"damaged")
    state = git.state(repository)
    assert state.dirty is None
    assert state.tags()["genloss.git.dirty"] == "unknown"
    assert "`git diff` failed: " in state.problem
    monkeypatch.setattr(git, "SECONDS", 0)
    assert git.state(repository).problem == "`git rev-parse` took longer than 0 s"
    monkeypatch.setenv("PATH", "")
    assert git.state(repository).problem == "git cannot be run: No such file or directory"


def test_a_repository_of_another_is_told(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    state = git.state(repository)
    assert "dubious ownership" in state.problem
    assert state.tags() == {"genloss.git.problem": state.problem}


def test_no_repository_and_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git.state(tmp_path) == git.GitState()
    call(tmp_path, "init", "-q")
    assert git.state(tmp_path) == git.GitState()
