"""Finding plugins: the entry points of installed distributions, and files."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from genloss.registry import neighbours
from genloss.registry.code import Code, read
from genloss.registry.plugin import GROUP, Plugin


def installed_plugins() -> list[Plugin]:
    """The plugins of all installed distributions, not yet imported."""
    found = {}
    for entry in entry_points(group=GROUP):
        name, version, requires = _identity(entry)
        found[name, entry.value] = Plugin(name, version, entry.value, _importer(entry), requires)
    return sorted(found.values(), key=lambda plugin: (plugin.name, plugin.source))


def _identity(entry: EntryPoint) -> tuple[str, str, tuple[str, ...]]:
    """Its distribution's name, version and requirements; a half-removed one's remains have none of them."""
    name = version = requires = None
    if entry.dist is not None:
        # The standard library gives None; its backport, once anybody has imported it, raises.
        with contextlib.suppress(Exception):
            name, version, requires = entry.dist.name, entry.dist.version, entry.dist.requires
    return name or entry.name, version or "unknown", tuple(requires or ())


def _importer(entry: EntryPoint) -> Callable[[], ModuleType]:
    def load() -> ModuleType:
        module: Any = importlib.import_module(entry.module)
        for attribute in entry.attr.split(".") if entry.attr else ():
            module = getattr(module, attribute)
        if not isinstance(module, ModuleType):
            raise TypeError(f"the entry point `{entry.value}` names no module")
        return module

    return load


def file_plugin(file: Path | Code) -> Plugin:
    """The plugin in one file.

    Raises:
        ExperimentError: there is no such file.
    """
    code = file if isinstance(file, Code) else read(file)
    return Plugin(code.path.name, code.version, str(code.path), lambda: neighbours.load(code), code=code)


def collect(plugins: Iterable[Plugin]) -> None:
    """Registers plugins and calls their hooks.

    Where two of one name offer the same name, `distribution:name` could not choose: the second is broken.
    """
    seen: dict[tuple[str, str, str], Plugin] = {}
    for plugin in plugins:
        plugin.register()
        plugin.collect()
        for kind, definitions in plugin.offers.items():
            for definition in definitions:
                other = seen.setdefault((plugin.name, kind, definition.name), plugin)
                if other is not plugin and plugin.error is None:
                    plugin.error = f"it offers `{definition.name}` among its {kind}, as {other.source} does"
        if plugin.error is not None:
            plugin.offers = {}
