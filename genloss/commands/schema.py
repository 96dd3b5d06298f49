"""`genloss schema`: the JSON schema of experiments, for editors."""

from __future__ import annotations

from pathlib import Path

import click

from genloss.commands import options


@click.command("schema")
@options.plugin_files
def command(plugins: tuple[Path, ...]) -> None:
    """Print the JSON schema of experiments, with which editors complete and check their YAML.

    It has the names and options of all that the plugins offer. An editor with the YAML language server uses
    it in files that begin with the line `# yaml-language-server: $schema=genloss.schema.json`.

    \b
    Examples:
      genloss schema > genloss.schema.json
      genloss schema --plugin my_losses.py > genloss.schema.json
    """
    from genloss.commands.terminal import print_json, show_plugin_warnings
    from genloss.planning.json_schema import experiment_schema
    from genloss.registry.catalogue import catalogue

    show_plugin_warnings()
    print_json(experiment_schema(catalogue(*plugins)))
