"""`genloss check`: test losses, models, datasets and metrics against their contracts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genloss.commands import options
from genloss.text import count_of

if TYPE_CHECKING:
    from genloss.conformance import Check, Outcome
    from genloss.contracts.definition import Definition
    from genloss.registry.catalogue import Catalogue
    from genloss.registry.plugin import Plugin


@click.command("check")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@options.plugin_files
@options.as_json
def command(names: tuple[str, ...], plugins: tuple[Path, ...], json_: bool) -> int:
    """Run the conformance suite over losses, models, datasets and metrics.

    NAME is one of them, or a plugin, for all that it offers. Without a name, what the files given by --plugin
    offer is checked; without such a file, everything.

    \b
    Examples:
      genloss check
      genloss check gaussian_kl mmd
      genloss check --plugin my_losses.py
    """
    from genloss.commands.terminal import print_json, show_plugin_warnings
    from genloss.registry.catalogue import catalogue

    show_plugin_warnings()
    known = catalogue(*plugins)
    found = _plugins(known, names, plugins)
    definitions = _definitions(known, names, found)
    unavailable = [definition for definition in definitions if definition.unavailable]
    outcomes = list(_run(definitions, found))
    if json_:
        print_json(_facts(outcomes, unavailable))
    else:
        _summarise(outcomes, unavailable)
    return int(not outcomes or any(outcome.status == "failed" for outcome in outcomes))


def _plugins(known: Catalogue, names: Sequence[str], files: Sequence[Path]) -> list[Plugin]:
    """The plugins that are checked as a whole."""
    if names:
        return [plugin for plugin in known.plugins if plugin.name in names]
    sources = [str(path.resolve()) for path in files]
    return [plugin for plugin in known.plugins if not files or plugin.source in sources]


def _definitions(known: Catalogue, names: Sequence[str], plugins: Sequence[Plugin]) -> list[Definition]:
    """What the plugins offer, and what is named besides.

    Raises:
        CatalogueError: a name that neither a definition nor a plugin has.
    """
    from genloss.errors import CatalogueError, did_you_mean
    from genloss.registry.kinds import KINDS

    found = [d for plugin in plugins for kind in KINDS for d in plugin.offers.get(kind, [])]
    for name in names:
        if any(plugin.name == name for plugin in plugins):
            continue
        named = known.named(name)
        if not named:
            every = [each for kind in KINDS for each in getattr(known, kind)]
            raise CatalogueError(
                f"no plugin offers a loss, model, dataset or metric named `{name}`, and none is called so",
                hint=did_you_mean(name, [*every, *(plugin.name for plugin in known.plugins)])
                or "`genloss list` shows all; a package is found once it is installed: "
                "`python -m pip install -e .`",
            )
        found += named
    return list({id(definition): definition for definition in found}.values())


def _run(definitions: Sequence[Definition], plugins: Sequence[Plugin]) -> Iterator[Outcome]:
    """Run all checks, and report on stderr what comes of them."""
    from genloss.commands.terminal import stderr
    from genloss.conformance import checks, outcomes
    from genloss.conformance.plugins import checks_of_plugin

    todo: list[tuple[Definition, Sequence[Check]]] = []
    for plugin in plugins:
        todo += [(d, list(found)) for d, found in groupby(checks_of_plugin(plugin), lambda c: c.definition)]
    todo += [(definition, checks(definition)) for definition in definitions]
    console = stderr()
    for number, (definition, found) in enumerate(todo, 1):
        subject = f"{definition.kind} {definition.name}"
        with console.status(f"{number} of {len(todo)}: {subject}"):
            done = list(outcomes(found))
        _report(subject, definition, done)
        yield from done


def _report(subject: str, definition: Definition, done: Sequence[Outcome]) -> None:
    from rich.text import Text

    from genloss.commands.terminal import complain, stderr

    if definition.unavailable:
        said, style = f"unavailable: {definition.unavailable}", "yellow"
    elif failed := [outcome.check.name for outcome in done if outcome.status == "failed"]:
        said, style = f"{len(failed)} of {len(done)} checks failed: {', '.join(failed)}", "bold red"
    else:
        seconds = sum(outcome.seconds for outcome in done)
        said, style = f"{len(done)} checks in {seconds:.1f} s", "green"
    stderr().print(Text.assemble((subject, "bold"), "  ", (said, style)))
    for outcome in done:
        if outcome.error is not None:
            complain(outcome.error)


def _summarise(outcomes: Sequence[Outcome], unavailable: Sequence[Definition]) -> None:
    """Count them on stdout, and name what was left out, with the reasons."""
    from genloss.commands.terminal import complain, stdout
    from genloss.errors import GenlossError

    console = stdout()
    for definition in unavailable:
        console.print(
            f"{definition.kind} `{definition.name}` is unavailable: {definition.unavailable}", markup=False
        )
    for outcome in outcomes:
        if outcome.status == "exempt":
            check = outcome.check
            subject = f"{check.definition.kind} `{check.definition.name}`"
            console.print(f"{subject} is exempt from `{check.name}`: {check.exempt}", markup=False)
    if not outcomes:
        complain(GenlossError("no check was run", hint="what is unavailable has none"))
        return
    number = {
        status: sum(outcome.status == status for outcome in outcomes)
        for status in ("passed", "exempt", "failed", "not run")
    }
    subjects = {id(outcome.check.definition): outcome.check.definition for outcome in outcomes}.values()
    plugins = sum(subject.kind == "plugin" for subject in subjects)
    whose = " and ".join(
        count_of(count, word)
        for count, word in ((len(subjects) - plugins, "definition"), (plugins, "plugin"))
        if count
    )
    parts = [f"{count_of(number['passed'], 'check')} of {whose} passed"]
    parts += [f"{number[status]:,} {status}" for status in ("exempt", "failed", "not run") if number[status]]
    console.print(", ".join(parts))


def _facts(outcomes: Sequence[Outcome], unavailable: Sequence[Definition]) -> dict[str, Any]:
    return {
        "outcomes": [
            {
                "kind": outcome.check.definition.kind,
                "name": outcome.check.definition.name,
                "check": outcome.check.name,
                "asks": outcome.check.asks,
                "status": outcome.status,
                "seconds": outcome.seconds,
                **({"reason": outcome.check.exempt} if outcome.status == "exempt" else {}),
                **(
                    {
                        "error": outcome.error.message,
                        "where": outcome.error.where and str(outcome.error.where),
                        "hint": outcome.error.hint,
                    }
                    if outcome.error
                    else {}
                ),
            }
            for outcome in outcomes
        ],
        "unavailable": [
            {"kind": definition.kind, "name": definition.name, "reason": definition.unavailable}
            for definition in unavailable
        ],
    }
