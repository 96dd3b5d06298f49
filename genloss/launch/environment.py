"""The environment of a study: user, command and packages."""

from __future__ import annotations

import getpass
import platform
from importlib.metadata import distributions, version

from genloss.registry.catalogue import Plugin
from genloss.version import __version__


def tags(source: str, plugins: tuple[Plugin, ...]) -> dict[str, str]:
    """MLflow's tags of a run: user, source, versions."""
    return {
        "mlflow.user": _user(),
        "mlflow.source.name": source,
        "mlflow.source.type": "LOCAL",
        "genloss.version": __version__,
        "genloss.torch": version("torch"),
        "genloss.python": platform.python_version(),
        "genloss.host": platform.node(),
        "genloss.plugins": ", ".join(str(plugin) for plugin in plugins if plugin.error is None),
    }


def packages() -> str:
    """Python's version and all installed packages, as a requirements file that pip reads."""
    names = {f"{d.metadata['Name']}=={d.version}" for d in distributions() if d.metadata["Name"]}
    head = f"# Python {platform.python_version()} on {platform.platform()}"
    return "\n".join([head, *sorted(names, key=str.lower)]) + "\n"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
