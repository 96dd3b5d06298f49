"""`genloss show`: describe a loss, model, dataset or metric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genloss.commands import options
from genloss.errors import FOREIGN, GenlossError

if TYPE_CHECKING:
    from genloss.contracts.definition import Definition
    from genloss.contracts.model import ModelDefinition

FACTS = ("family", "unit", "units", "source", "batch_coupled", "version", "higher_is_better", "unavailable")


@click.command("show")
@click.argument("name")
@options.plugin_files
@options.as_json
def command(name: str, plugins: tuple[Path, ...], json_: bool) -> None:
    """Show what a loss, model, dataset or metric is: formula, quantities, options, source.

    \b
    Examples:
      genloss show gaussian_kl
      genloss show gan
      genloss show genloss:digits --json
    """
    from genloss.commands.terminal import print_json, show_plugin_warnings, stdout
    from genloss.errors import CatalogueError, did_you_mean
    from genloss.registry.catalogue import KINDS, catalogue

    show_plugin_warnings()
    known = catalogue(*plugins)
    found = known.named(name)
    if not found:
        every = [each for kind in KINDS for each in getattr(known, kind)]
        raise CatalogueError(
            f"no plugin offers a loss, model, dataset or metric named `{name}`",
            hint=did_you_mean(name, every) or "`genloss list` shows all",
        )
    if json_:
        print_json([_facts(definition) for definition in found])
        return
    console = stdout()
    for definition in found:
        facts = _facts(definition)
        console.print(f"[bold]{facts.pop('name')}[/]  [dim]{facts.pop('kind')}[/]")
        doc = facts.pop("doc")
        for key, value in facts.items():
            if not isinstance(value, dict):
                console.print(f"  {key}: {value}", markup=False)
                continue
            console.print(f"  {key}:", markup=False)
            length = max(map(len, value), default=0)
            for inner, said in value.items():
                console.print(f"    {inner:<{length}}  {said}", markup=False)
        console.print()
        console.print(doc, markup=False)


def _facts(definition: Definition) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": definition.name, "kind": definition.kind}
    for name in FACTS:
        value = getattr(definition, name, None)
        if value not in (None, False):
            facts[name.replace("_", " ")] = value
    quantities = getattr(definition, "quantities", None)
    if quantities:
        facts["asks for"] = {
            q.name: (f"[{q.shape}]" if q.shape else "a number") + (", optional" if q.optional else "")
            for q in quantities.values()
        }
    if definition.kind == "model":
        facts |= _offers(definition)  # type: ignore[arg-type]
    if definition.options:
        facts["options"] = {
            o.name: o.type + (", required" if o.required else f" = {o.default!r}")
            for o in definition.options.values()
        }
    facts["doc"] = definition.doc
    return facts


def _offers(definition: ModelDefinition) -> dict[str, Any]:
    """What the model offers to each player at its default options; or why that cannot be told."""
    from genloss.planning.interfaces import attempt
    from genloss.registry.origin import culprit, describe

    error: BaseException | None
    model, error = attempt(definition)
    try:
        turns = model.turns() if model is not None else {}
        offered = {player: turn.quantities() for player, turn in turns.items()}
    except FOREIGN as raised:  # whatever a plugin's method raises
        error = raised
    if error is not None:
        message = error.message if isinstance(error, GenlossError) else describe(error)
        place = culprit(error, [definition])
        at = f" ({place.place})" if place is not None else ""
        return {"offers": f"unknown, since it cannot be built with its default options{at}: {message}"}
    return {
        f"offers to {player}": {
            q.name: f"[{q.shape}]  {q.doc.split(chr(10))[0]}" for q in quantities.values()
        }
        for player, quantities in offered.items()
    }
