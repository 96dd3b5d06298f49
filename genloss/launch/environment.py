"""What a study was made with: user, command, code and packages."""

from __future__ import annotations

import getpass
import platform
import subprocess
import sys
from importlib.metadata import distributions, version
from pathlib import Path

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
    commit = _git("rev-parse", "HEAD")
    if commit:
        found["mlflow.source.git.commit"] = commit
        found["mlflow.source.git.branch"] = _git("rev-parse", "--abbrev-ref", "HEAD") or ""
        found["genloss.git.dirty"] = (
            "true" if _git("status", "--porcelain", "--untracked-files=no") else "false"
        )
    return found


def packages() -> str:
    """Python's version and all installed packages, as a requirements file that pip reads."""
    names = {f"{d.metadata['Name']}=={d.version}" for d in distributions() if d.metadata["Name"]}
    head = f"# Python {platform.python_version()} on {platform.platform()}"
    return "\n".join([head, *sorted(names, key=str.lower)]) + "\n"


def git_diff() -> str:
    """The changes of the working tree that are in no commit; empty where there are none, or no git."""
    return _git("diff", "HEAD") or ""


def command() -> str:
    """The command line, as a person typed it."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
