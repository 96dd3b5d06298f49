"""The state of the experiment's git repository: commit, branch, and uncommitted changes."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

SECONDS = 20
"""What one call of git may take."""

LARGEST_DIFF = 2**20
"""Bytes."""

SECRETS = (
    *(".env", ".env.*", "*.env", ".envrc", ".netrc", ".pgpass", ".pypirc", ".npmrc", ".git-credentials"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.keystore", "*.kdbx", "id_rsa*", "id_ed25519*", "id_ecdsa*"),
    *("*secret*", "*credential*", "*password*", "*token*.json", "*token*.txt"),
)
"""Names of files that are left out of a diff, in upper or lower case; a folder of such a name as well."""


@dataclass(frozen=True)
class GitState:
    """What git says of a folder.

    Attributes:
        commit: of HEAD; empty where there is no repository or no commit.
        branch: that is checked out.
        dirty: whether tracked files differ from the commit; None where git did not say.
        diff: the difference, for `git apply`; empty where it was left out.
        problem: what git could not say, or what of the diff was left out, with the reason.
    """

    commit: str = ""
    branch: str = ""
    dirty: bool | None = None
    diff: bytes = b""
    problem: str = ""

    def tags(self) -> dict[str, str]:
        """MLflow's tags of it."""
        if not self.commit:
            return {"genloss.git.problem": self.problem} if self.problem else {}
        tags = {
            "mlflow.source.git.commit": self.commit,
            "mlflow.source.git.branch": self.branch,
            "genloss.git.dirty": "unknown" if self.dirty is None else str(self.dirty).lower(),
        }
        return tags | ({"genloss.git.problem": self.problem} if self.problem else {})


UNKNOWN = GitState()


class _Failed(Exception):
    """Git said no, or nothing in time; its text is what it said, empty if nothing."""


def state(folder: Path, *, with_diff: bool = True) -> GitState:
    """The state of the repository that a folder lies in.

    Args:
        folder: in the repository, or in none.
        with_diff: whether the difference to the commit is wanted, too.
    """
    try:
        root = _git(folder, "rev-parse", "--show-toplevel").decode(errors="surrogateescape").strip("\n")
    except _Failed as failure:
        return GitState(problem=str(failure) if _in_repository(folder) else "")
    top = Path(root)
    try:
        commit = _git(top, "rev-parse", "--verify", "--quiet", "HEAD").decode().strip()
    except _Failed as failure:
        return GitState(problem=str(failure))  # empty where nothing was committed yet
    try:
        branch = _git(top, "rev-parse", "--abbrev-ref", "HEAD").decode(errors="replace").strip()
        dirty = bool(_names(top))
        if not dirty or not with_diff:
            return GitState(commit, branch, dirty)
        diff, problem = _diff(top)
    except _Failed as failure:
        return GitState(commit, problem=str(failure))
    return GitState(commit, branch, True, diff, problem)


def _names(top: Path, *pathspecs: str) -> list[str]:
    """Tracked files that differ from the commit."""
    names = _git(top, "diff", "--name-only", "-z", *FIXED, "HEAD", "--", *pathspecs)
    return [name.decode(errors="replace") for name in names.split(b"\0") if name]


def _diff(top: Path) -> tuple[bytes, str]:
    """The diff without files that are named like secrets, and what was left out of it."""
    secret = [spec for name in SECRETS for spec in (f"**/{name}", f"**/{name}/**")]
    left_out = _names(top, *[f":(top,icase,glob){spec}" for spec in secret])
    others = [f":(top,icase,glob,exclude){spec}" for spec in secret]
    diff = _git(top, "diff", "--binary", *FIXED, "HEAD", "--", ":(top)", *others)
    problems = []
    if left_out:
        shown = ", ".join(f"`{name}`" for name in left_out[:5]) + (", …" if len(left_out) > 5 else "")
        problems.append(f"the git diff was recorded without {shown}, which may hold secrets")
    if len(diff) > LARGEST_DIFF:
        problems.append(f"the git diff was not recorded: it is larger than {LARGEST_DIFF // 2**20} MiB")
        diff = b""
    return diff, "; ".join(problems)


FIXED = (
    *("--no-ext-diff", "--no-textconv", "--no-color", "--no-relative", "--no-renames"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--submodule=short"),
)
"""Options of `git diff` that make one text of it, whatever the user's settings."""


def _in_repository(folder: Path) -> bool:
    """Return whether there is a repository here or above, as far as the names tell."""
    ceilings = os.environ.get("GIT_CEILING_DIRECTORIES", "").split(os.pathsep)
    for place in (folder.absolute(), *folder.absolute().parents):
        if str(place) in ceilings:
            return False
        if (place / ".git").exists():
            return True
    return False


def _git(folder: Path, *arguments: str) -> bytes:
    """What git says, in whatever encoding the files have.

    Raises:
        _Failed: with what it said instead.
    """
    # What a repository's own settings would start, a monitor of the file system, is not started.
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments]
    variables = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise _Failed(f"`git {arguments[0]}` took longer than {SECONDS} s") from None
    except OSError as error:
        raise _Failed(f"git cannot be run: {error.strerror}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise _Failed(f"`git {arguments[0]}` failed: {said[0].removeprefix('fatal: ')}" if said else "")
    return done.stdout
