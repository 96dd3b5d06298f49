"""`genloss show`: all about one loss, model, dataset or metric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genloss.commands import options

if TYPE_CHECKING:
    from genloss.contracts.definition import Definition
    from genloss.contracts.model import Model, ModelDefinition

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
    from genloss.registry import KINDS, catalogue

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
    """What the model offers to each player at its default options."""
    model = _example(definition)
    if model is None:
        return {}
    return {
        f"offers to {player}": {
            q.name: f"[{q.shape}]  {q.doc.split(chr(10))[0]}" for q in turn.quantities().values()
        }
        for player, turn in model.turns().items()
    }


def _example(definition: ModelDefinition) -> Model | None:
    """The model for small images, or for whatever other data it takes."""
    import torch

    from genloss.contracts.dataset import DataSpec

    for spec in (
        DataSpec(event_shape=(1, 8, 8), kind="image", size=1000, value_range=(0.0, 1.0), vocabulary=17),
        DataSpec(event_shape=(2,), kind="points", size=1000),
        DataSpec(event_shape=(32,), kind="tokens", size=1000, vocabulary=256),
    ):
        try:
            with torch.device("meta"):
                return definition.build(spec)
        except Exception:
            continue
    return None
