"""`genloss plugins`: list the plugins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genloss.commands import options
from genloss.registry.kinds import KINDS, singular

if TYPE_CHECKING:
    from genloss.registry.plugin import Plugin


@click.command("plugins")
@click.option("--offers", is_flag=True, help="Also call the hooks and say what they offer (imports torch).")
@options.plugin_files
@options.as_json
def command(offers: bool, plugins: tuple[Path, ...], json_: bool) -> None:
    """List the plugins that were found, with version, hooks, import time and whether they work.

    \b
    Examples:
      genloss plugins
      genloss plugins --offers
      genloss plugins --plugin my_losses.py --json
    """
    from genloss.commands.terminal import print_json, print_table
    from genloss.registry.discovery import collect, file_plugin, installed_plugins

    found = installed_plugins() + [file_plugin(path) for path in plugins]
    for plugin in found:
        plugin.register()
    if offers:
        collect(found)
    if json_:
        print_json([_facts(plugin, offers) for plugin in found])
        return
    print_table(["plugin", "version", "state", "import", "source", "hooks"], map(_row, found), right=[3])
    for plugin in found:
        for line in _more(plugin):
            click.echo(line)


def _row(plugin: Plugin) -> list[str]:
    hooks = ", ".join(hook.removeprefix("genloss_") for hook in plugin.hooks)
    took = "" if plugin.import_seconds is None else f"{plugin.import_seconds * 1000:,.0f} ms"
    state = "broken" if plugin.error else "noisy" if plugin.notes else "works"
    return [plugin.name, plugin.version, state, took, plugin.source, hooks]


def _more(plugin: Plugin) -> Iterator[str]:
    """Remarks about it besides its row."""
    if plugin.error:
        yield f"\n{plugin.name} is broken: {plugin.error}"
    if plugin.hint:
        yield f"  hint: {plugin.hint}"
    for note in plugin.notes:
        yield f"\n{plugin.name} {note} while it was loaded"
    for kind in KINDS:
        if definitions := plugin.offers.get(kind):
            names = ", ".join(definition.name for definition in definitions)
            what = kind if len(definitions) > 1 else singular(kind)
            yield f"\n{plugin.name} offers {len(definitions)} {what}: {names}"


def _facts(plugin: Plugin, offers: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": plugin.name,
        "version": plugin.version,
        "source": plugin.source,
        "import_seconds": plugin.import_seconds,
        "hooks": list(plugin.hooks),
        "error": plugin.error,
        "hint": plugin.hint,
        "notes": plugin.notes,
    }
    if offers:
        facts["offers"] = {
            kind: [definition.name for definition in definitions]
            for kind, definitions in plugin.offers.items()
        }
    return facts
