"""The catalogue: all losses, models, datasets and metrics offered by plugins."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from genloss.errors import CatalogueError, DefinitionError, did_you_mean
from genloss.registry.code import Code, read
from genloss.registry.discovery import collect, file_plugin, installed_plugins
from genloss.registry.kinds import KINDS, singular
from genloss.registry.plugin import Plugin, refuse_while_loading

if TYPE_CHECKING:
    from genloss.contracts.dataset import DatasetDefinition
    from genloss.contracts.definition import Definition
    from genloss.contracts.loss import Loss
    from genloss.contracts.metric import MetricDefinition
    from genloss.contracts.model import ModelDefinition

__all__ = [
    "KINDS",
    "Catalogue",
    "Definitions",
    "Plugin",
    "PluginWarning",
    "catalogue",
    "file_plugin",
    "installed_plugins",
]

D = TypeVar("D", bound="Definition")


class PluginWarning(UserWarning):
    """A plugin could not be loaded, or printed or warned while it was; the others work."""


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
        offers = self._named(name)
        distribution, _, short = name.rpartition(":")
        if len(offers) > 1:
            providers = " and ".join(f"`{plugin}`" for plugin, _ in offers)
            choices = " or ".join(f"`{plugin.name}:{short}`" for plugin, _ in offers)
            raise CatalogueError(
                f"the {singular(self.kind)} `{name}` is offered by {providers}", hint=f"write {choices}"
            )
        if not offers:
            broken = [plugin for plugin in self._plugins if plugin.error]
            for plugin in broken:
                if plugin.name == distribution:
                    raise CatalogueError(
                        f"the {singular(self.kind)} `{name}` needs the plugin `{plugin}`, which could not be "
                        f"loaded: {plugin.error}",
                        hint=plugin.hint,
                    )
            hints = [did_you_mean(name, self._offers)]
            hints += [f"plugin `{plugin}` could not be loaded: {plugin.problem}" for plugin in broken]
            hints.append(f"`genloss list {self.kind}` shows all")
            raise CatalogueError(
                f"no plugin offers a {singular(self.kind)} named `{name}`",
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

    def __repr__(self) -> str:
        return f"<{len(self)} {self.kind}: {', '.join(self)}>"


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All losses, models, datasets and metrics that the plugins offer."""

    losses: Definitions[Loss[Any]]
    models: Definitions[ModelDefinition]
    datasets: Definitions[DatasetDefinition[Any]]
    metrics: Definitions[MetricDefinition[Any]]
    plugins: tuple[Plugin, ...]

    def __repr__(self) -> str:
        counts = [f"{len(getattr(self, kind))} {kind}" for kind in KINDS]
        return f"<catalogue of {', '.join(map(str, self.plugins))}: {', '.join(counts)}>"

    def named(self, name: str) -> list[Definition]:
        """Everything of that name, of whatever kind."""
        kinds: tuple[Definitions[Any], ...] = (self.losses, self.models, self.datasets, self.metrics)
        return [definitions[name] for definitions in kinds if name in definitions]


def catalogue(*files: str | Path) -> Catalogue:
    """What the installed plugins, and these plugin files, offer.

    A broken installed plugin is a `PluginWarning`; a broken file is an error, since it was asked for. What a
    plugin prints or warns of while it is loaded is a `PluginWarning`, too.

    Raises:
        ExperimentError: a file that is not there.
        DefinitionError: a file that is broken.
    """
    refuse_while_loading("genloss.catalogue")
    paths = dict.fromkeys(Path(file).resolve() for file in files)
    return of_code(*map(read, paths))


def of_code(*codes: Code) -> Catalogue:
    """What the installed plugins, and these plugin files as they were read, offer; see `catalogue`."""
    return _catalogue(codes)


@cache
def _catalogue(codes: tuple[Code, ...]) -> Catalogue:
    """Read once for the same content of the files: in a notebook, they are edited between two runs."""
    sources = [str(code.path) for code in codes]
    plugins = installed_plugins() + [file_plugin(code) for code in codes]
    collect(plugins)
    for plugin in plugins:
        what = f"plugin `{plugin}` ({plugin.source})"
        if plugin.error is not None and plugin.source in sources:
            raise DefinitionError(
                f"{what} could not be loaded: {plugin.error}", hint=plugin.hint, subject=plugin.source
            )
        said = [f"{note} while it was loaded" for note in plugin.notes]
        if plugin.error is not None:
            said.append(f"could not be loaded: {plugin.problem}")
        for message in said:
            warnings.warn(f"{what} {message}", PluginWarning, stacklevel=4)
    return Catalogue(
        Definitions("losses", plugins),
        Definitions("models", plugins),
        Definitions("datasets", plugins),
        Definitions("metrics", plugins),
        tuple(plugins),
    )
