"""Finding plugins, and the catalogue of what they offer.

Each plugin gets a pluggy manager of its own, so that a broken one harms nobody: it is reported with its
distribution, version and cause, and offers nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pluggy

from genloss import hookspecs
from genloss.errors import CatalogueError, DefinitionError, ExperimentError, did_you_mean

if TYPE_CHECKING:
    from genloss.contracts.dataset import DatasetDefinition
    from genloss.contracts.definition import Definition
    from genloss.contracts.loss import Loss
    from genloss.contracts.metric import MetricDefinition
    from genloss.contracts.model import ModelDefinition

GROUP = "genloss"
KINDS = ("losses", "models", "datasets", "metrics")
D = TypeVar("D", bound="Definition")


class PluginWarning(UserWarning):
    """A plugin could not be loaded; the others work."""


@dataclass
class Plugin:
    """A plugin that was found: an installed distribution's entry point, or a file.

    Attributes:
        name: the distribution's name, or the file's; what stands before the colon in `distribution:name`.
        version: the distribution's version, or the start of the file's SHA-256.
        source: the module or the path that it is loaded from.
        error: why it is broken, if it is.
        offers: what it offers, by kind, once its hooks have been called.
    """

    name: str
    version: str
    source: str
    load: Callable[[], ModuleType] = field(repr=False)
    hooks: tuple[str, ...] = ()
    error: str | None = None
    offers: dict[str, list[Definition]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def register(self) -> None:
        """Imports the module and looks at its hooks without calling them; an error ends in `error`."""
        self._isolated(self._register)

    def collect(self) -> None:
        """Calls the hooks and fills `offers`; an error ends in `error`, and nothing is offered."""
        self._isolated(self._collect)

    def _isolated(self, step: Callable[[], None]) -> None:
        if self.error is not None:
            return
        try:
            step()
        except (Exception, SystemExit) as error:
            said = error.message if isinstance(error, DefinitionError) else f"{type(error).__name__}: {error}"
            self.error = " ".join(said.split())

    def _register(self) -> None:
        module = self.load()
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._manager.register(module)
        known = [f"genloss_{kind}" for kind in KINDS]
        for name, value in vars(module).items():
            if not name.startswith("genloss_") or not callable(value) or isinstance(value, type):
                continue
            if name not in known:
                hint = did_you_mean(name, known)
                raise DefinitionError(f"`{name}` is no hook of genloss" + (f"; {hint}" if hint else ""))
            if not hasattr(value, f"{hookspecs.PROJECT}_impl"):
                raise DefinitionError(f"`{name}` is not decorated with `@genloss.hookimpl`")
        self._manager.check_pending()
        self.hooks = tuple(hook.name for hook in self._manager.get_hookcallers(module) or ())

    def _collect(self) -> None:
        offers: dict[str, list[Definition]] = {}
        for kind in KINDS:
            definitions = [
                _definition(kind, item)
                for result in getattr(self._manager.hook, f"genloss_{kind}")()
                for item in result
            ]
            names = [definition.name for definition in definitions]
            for name in names:
                if names.count(name) > 1:
                    raise DefinitionError(f"it offers `{name}` twice among its {kind}")
            offers[kind] = definitions
        self.offers = offers


def _definition(kind: str, item: Any) -> Definition:
    from genloss.contracts.dataset import DatasetDefinition
    from genloss.contracts.loss import Loss
    from genloss.contracts.metric import MetricDefinition
    from genloss.contracts.model import ModelDefinition

    if kind == "models":
        return ModelDefinition(item)
    expected: type[Definition] = {
        "losses": Loss,
        "datasets": DatasetDefinition,
        "metrics": MetricDefinition,
    }[kind]
    if not isinstance(item, expected):
        raise DefinitionError(
            f"`genloss_{kind}` yields {item!r}, which was not made by `@genloss.{expected.kind}`"
        )
    return item


def installed_plugins() -> list[Plugin]:
    """The plugins of all installed distributions, not yet imported."""
    found = {}
    for entry in entry_points(group=GROUP):
        name, version = _identity(entry)
        found[name, entry.value] = Plugin(name, version, entry.value, _importer(entry))
    return sorted(found.values(), key=lambda plugin: (plugin.name, plugin.source))


def _identity(entry: EntryPoint) -> tuple[str, str]:
    """Name and version of its distribution; what a half-removed one leaves behind has neither."""
    name = version = None
    if entry.dist is not None:
        # The standard library gives None; its backport, once anybody has imported it, raises.
        with contextlib.suppress(Exception):
            name, version = entry.dist.name, entry.dist.version
    return name or entry.name, version or "unknown"


def file_plugin(path: Path) -> Plugin:
    """The plugin in one file.

    Raises:
        ExperimentError: there is no such file.
    """
    version = _digest(path)

    def load() -> ModuleType:
        name = f"genloss_plugin_{path.stem}_{version}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None:
            raise ImportError("not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            # Its loader might take bytecode that is of an earlier version, if that is but a second old.
            exec(compile(path.read_bytes(), path, "exec", dont_inherit=True), vars(module))
        except BaseException:
            del sys.modules[name]
            raise
        return module

    return Plugin(path.name, version, str(path), load)


def _digest(path: Path) -> str:
    if not path.is_file():
        raise ExperimentError(f"there is no plugin file `{path}`")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _importer(entry: EntryPoint) -> Callable[[], ModuleType]:
    def load() -> ModuleType:
        module = entry.load()
        if not isinstance(module, ModuleType):
            raise TypeError(f"the entry point `{entry.value}` names no module")
        return module

    return load


class Definitions(Mapping[str, D], Generic[D]):
    """All definitions of one kind, by name; one that two plugins offer is found by `distribution:name`."""

    def __init__(self, kind: str, plugins: Iterable[Plugin]) -> None:
        self.kind = kind
        self._plugins = list(plugins)
        self._offers: dict[str, list[tuple[Plugin, D]]] = {}
        for plugin in self._plugins:
            for definition in plugin.offers.get(kind, []):
                self._offers.setdefault(definition.name, []).append((plugin, definition))  # type: ignore[arg-type]

    def __getitem__(self, name: str) -> D:
        """The definition of that name.

        Raises:
            CatalogueError: no plugin offers it, or several do.
        """
        return self._offer(name)[1]

    def provider(self, name: str) -> Plugin:
        """The plugin that offers it.

        Raises:
            CatalogueError: no plugin offers it, or several do.
        """
        return self._offer(name)[0]

    def _named(self, name: str) -> list[tuple[Plugin, D]]:
        plugin_name, _, short = name.rpartition(":")
        offers = self._offers.get(short, [])
        return [offer for offer in offers if plugin_name in ("", offer[0].name)]

    def _offer(self, name: str) -> tuple[Plugin, D]:
        offers, short = self._named(name), name.rpartition(":")[2]
        if len(offers) > 1:
            providers = " and ".join(f"`{plugin}`" for plugin, _ in offers)
            choices = " or ".join(f"`{plugin.name}:{short}`" for plugin, _ in offers)
            raise CatalogueError(
                f"the {self._singular} `{name}` is offered by {providers}", hint=f"write {choices}"
            )
        if not offers:
            hints = [did_you_mean(name, self._offers)]
            broken = [plugin for plugin in self._plugins if plugin.error]
            hints += [f"plugin `{plugin}` could not be loaded: {plugin.error}" for plugin in broken]
            hints.append(f"`genloss list {self.kind}` shows all")
            raise CatalogueError(
                f"no plugin offers a {self._singular} named `{name}`",
                hint="; ".join(hint for hint in hints if hint).replace("?;", "?"),
            )
        return offers[0]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._named(name))

    def __iter__(self) -> Iterator[str]:
        for name, offers in sorted(self._offers.items()):
            if len(offers) == 1:
                yield name
            else:
                yield from (f"{plugin.name}:{name}" for plugin, _ in offers)

    def __len__(self) -> int:
        return sum(len(offers) for offers in self._offers.values())

    @property
    def _singular(self) -> str:
        return "loss" if self.kind == "losses" else self.kind.removesuffix("s")


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All losses, models, datasets and metrics that the plugins offer."""

    losses: Definitions[Loss[Any]]
    models: Definitions[ModelDefinition]
    datasets: Definitions[DatasetDefinition[Any]]
    metrics: Definitions[MetricDefinition[Any]]
    plugins: tuple[Plugin, ...]

    def named(self, name: str) -> list[Definition]:
        """Everything of that name, of whatever kind."""
        kinds: tuple[Definitions[Any], ...] = (self.losses, self.models, self.datasets, self.metrics)
        return [definitions[name] for definitions in kinds if name in definitions]


def catalogue(*files: str | Path) -> Catalogue:
    """What the installed plugins, and these plugin files, offer.

    A broken installed plugin is a `PluginWarning`; a broken file is an error, since it was asked for.

    Raises:
        ExperimentError: a file that is not there.
        DefinitionError: a file that is broken.
    """
    paths = dict.fromkeys(Path(file).resolve() for file in files)
    return _catalogue(tuple((path, _digest(path)) for path in paths))


@cache
def _catalogue(files: tuple[tuple[Path, str], ...]) -> Catalogue:
    """Read once for the same content of the files: in a notebook, they are edited between two runs."""
    sources = [str(path) for path, _ in files]
    plugins = installed_plugins() + [file_plugin(path) for path, _ in files]
    for plugin in plugins:
        plugin.register()
        plugin.collect()
        if plugin.error is not None:
            message = f"plugin `{plugin}` ({plugin.source}) could not be loaded: {plugin.error}"
            if plugin.source in sources:
                raise DefinitionError(message)
            warnings.warn(message, PluginWarning, stacklevel=3)
    return Catalogue(
        Definitions("losses", plugins),
        Definitions("models", plugins),
        Definitions("datasets", plugins),
        Definitions("metrics", plugins),
        tuple(plugins),
    )
