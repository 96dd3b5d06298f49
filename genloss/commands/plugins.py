"""`genloss plugins`: which plugins there are."""

from __future__ import annotations

from pathlib import Path

import click

from genloss.commands import options


@click.command("plugins")
@click.option("--offers", is_flag=True, help="Also call the hooks and count what they offer (imports torch).")
@options.plugin_files
@options.as_json
def command(offers: bool, plugins: tuple[Path, ...], json_: bool) -> None:
    """List the plugins that were found, with version, hooks and whether they work.

    \b
    Examples:
      genloss plugins
      genloss plugins --offers
      genloss plugins --plugin my_losses.py --json
    """
    from genloss.commands.terminal import print_json, print_table
    from genloss.registry import file_plugin, installed_plugins

    found = installed_plugins() + [file_plugin(path) for path in plugins]
    for plugin in found:
        plugin.register()
        if offers:
            plugin.collect()
    if json_:
        print_json(
            [
                {
                    "name": plugin.name,
                    "version": plugin.version,
                    "source": plugin.source,
                    "hooks": list(plugin.hooks),
                    "error": plugin.error,
                    **(
                        {"offers": {k: [d.name for d in ds] for k, ds in plugin.offers.items()}}
                        if offers
                        else {}
                    ),
                }
                for plugin in found
            ]
        )
        return
    rows = []
    for plugin in found:
        hooks = [hook.removeprefix("genloss_") for hook in plugin.hooks]
        said = ", ".join(f"{len(plugin.offers.get(hook, []))} {hook}" if offers else hook for hook in hooks)
        rows.append(
            [plugin.name, plugin.version, plugin.source, f"broken: {plugin.error}" if plugin.error else said]
        )
    print_table(["plugin", "version", "source", "offers"], rows)
