"""What a study was made with: user, command, code and packages."""

from __future__ import annotations

import getpass
import platform
import subprocess
from importlib.metadata import distributions, version

import genloss
from genloss.registry import Plugin


def tags(source: str, plugins: tuple[Plugin, ...]) -> dict[str, str]:
    """MLflow's tags of a run: user, source, git, versions."""
    found = {
        "mlflow.user": _user(),
        "mlflow.source.name": source,
        "mlflow.source.type": "LOCAL",
        "genloss.version": genloss.__version__,
        "genloss.torch": version("torch"),
        "genloss.python": platform.python_version(),
        "genloss.host": platform.node(),
        "genloss.plugins": ", ".join(str(plugin) for plugin in plugins if plugin.error is None),
    }
    commit = _git("rev-parse", "HEAD").decode().strip()
    if commit:
        found["mlflow.source.git.commit"] = commit
        branch = _git("rev-parse", "--abbrev-ref", "HEAD").decode(errors="replace").strip()
        found["mlflow.source.git.branch"] = branch
        changed = _git("status", "--porcelain", "--untracked-files=no")
        found["genloss.git.dirty"] = "true" if changed else "false"
    return found


def packages() -> str:
    """Python's version and all installed packages, as a requirements file that pip reads."""
    names = {f"{d.metadata['Name']}=={d.version}" for d in distributions() if d.metadata["Name"]}
    head = f"# Python {platform.python_version()} on {platform.platform()}"
    return "\n".join([head, *sorted(names, key=str.lower)]) + "\n"


def git_diff() -> bytes:
    """The changes of tracked files that are in no commit, for `git apply`; empty where there are none."""
    return _git("diff", "--binary", "--no-ext-diff", "--no-color", "HEAD")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _git(*arguments: str) -> bytes:
    """What git says, in whatever encoding the files have; nothing where there is no git or no repository."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return b""
