"""`genloss list`: list the catalogue."""

from __future__ import annotations

from pathlib import Path

import click

from genloss.commands import options
from genloss.registry.kinds import KINDS


@click.command("list")
@click.argument("kind", type=options.OneOf("kind", KINDS), required=False)
@options.plugin_files
@options.as_json
def command(kind: str | None, plugins: tuple[Path, ...], json_: bool) -> None:
    """List the losses, models, datasets and metrics that the plugins offer.

    \b
    Examples:
      genloss list
      genloss list losses
      genloss list metrics --json
    """
    from genloss.commands.terminal import print_json, print_table, show_plugin_warnings, stdout
    from genloss.registry.catalogue import catalogue

    show_plugin_warnings()
    known = catalogue(*plugins)
    kinds = [kind] if kind else list(KINDS)
    if json_:
        print_json(
            {
                kind: [
                    {
                        "name": name,
                        "summary": definition.summary,
                        "plugin": str(getattr(known, kind).provider(name)),
                        "options": {o.name: o.type for o in definition.options.values()},
                        **(
                            {"family": definition.family, "unit": definition.unit} if kind == "losses" else {}
                        ),
                        **({"unavailable": definition.unavailable} if definition.unavailable else {}),
                    }
                    for name, definition in getattr(known, kind).items()
                ]
                for kind in kinds
            }
        )
        return
    for number, each in enumerate(kinds):
        if len(kinds) > 1:
            stdout().print(("\n" if number else "") + f"[bold underline]{each}[/]")
        definitions = getattr(known, each)
        if each == "losses":
            ordered = sorted(definitions.items(), key=lambda item: (item[1].family, item[0]))
            print_table(
                ["name", "family", "unit", ""], [[n, d.family, d.unit, _summary(d)] for n, d in ordered]
            )
        else:
            print_table(
                ["name", ""], [[name, _summary(definition)] for name, definition in definitions.items()]
            )


def _summary(definition: object) -> str:
    unavailable = getattr(definition, "unavailable", None)
    summary = str(getattr(definition, "summary", ""))
    return f"unavailable: {unavailable}" if unavailable else summary.rstrip(".")
