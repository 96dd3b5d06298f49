"""What a plugin must do besides what it offers: load, offer something, keep quiet, and import no torch."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from genloss.conformance.running import check
from genloss.conformance.suite import Check, Nonconformity
from genloss.contracts.definition import Definition
from genloss.registry.plugin import Plugin

IMPORT = """
import importlib, sys
before = "torch" in sys.modules
importlib.import_module(sys.argv[1])
sys.exit(3 if "torch" in sys.modules and not before else 0)
"""
IMPORTED_TORCH = 3


class PluginSubject(Definition):
    """A plugin as the suite's checks see it."""

    kind = "plugin"

    def __init__(self, plugin: Plugin) -> None:
        self.name = plugin.name
        self.doc = ""
        self.options = {}


def checks_of_plugin(plugin: Plugin) -> Iterable[Check]:
    """The checks of a plugin whose hooks have been called."""
    subject = PluginSubject(plugin)
    yield check(subject, loads, functools.partial(loads, plugin), fundamental=True)
    yield check(subject, quiet, functools.partial(quiet, plugin))
    if not Path(plugin.source).is_file():
        yield check(subject, imports_no_torch, functools.partial(imports_no_torch, plugin))


def loads(plugin: Plugin) -> None:
    """It can be imported, its hooks can be called, and they offer something."""
    if plugin.error is not None:
        raise Nonconformity(
            f"plugin `{plugin}` ({plugin.source}) could not be loaded: {plugin.error}", hint=plugin.hint
        )
    if not any(plugin.offers.values()):
        raise Nonconformity(
            f"plugin `{plugin}` ({plugin.source}) offers nothing",
            hint="it implements a hook, such as `genloss_losses`, under `@genloss.hookimpl`",
        )


def quiet(plugin: Plugin) -> None:
    """It neither prints nor warns while it is loaded."""
    if plugin.notes:
        raise Nonconformity(f"plugin `{plugin}` {'; '.join(plugin.notes)} while it was loaded")


def imports_no_torch(plugin: Plugin) -> None:
    """The module that its entry point names imports no torch, so that `genloss --help` stays quick."""
    module = plugin.source.partition(":")[0]
    done = subprocess.run(
        [sys.executable, "-P", "-c", IMPORT, module],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    if done.returncode == IMPORTED_TORCH:
        raise Nonconformity(
            f"`{module}`, which the entry point of plugin `{plugin}` names, imports torch",
            hint="import your definitions inside of the hooks: their bodies run only when they are needed",
        )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise Nonconformity(f"`{module}` of plugin `{plugin}` cannot be imported by itself: {lines[-1]}")
