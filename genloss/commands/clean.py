"""`genloss clean`: list the studies here, and remove old ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from genloss.record.inventory import Kept

UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def _seconds(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """An age in seconds: a number with a unit."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", value)
    if match is None:
        raise click.BadParameter(f"`{value}` is no age, such as 12h, 30d or 8w")
    return float(match[1]) * UNITS[match[2]]


@click.command("clean")
@click.argument("studies", metavar="[STUDY]...", nargs=-1)
@click.option("--older-than", callback=_seconds, metavar="AGE", help="Remove those older than this, as 30d.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(studies: tuple[str, ...], older_than: float | None, yes: bool) -> int:
    """List the studies of this folder, or remove the records of each STUDY.

    A study is as old as what was recorded last. MLflow keeps what it has got; the record of a study that is
    being trained, or of which MLflow has not got all, is not removed. What is not finished cannot be resumed
    afterwards.

    \b
    Examples:
      genloss clean
      genloss clean gan-losses-20250131-093000
      genloss clean --older-than 30d --yes
    """
    from genloss.commands.terminal import stderr
    from genloss.commands.units import size
    from genloss.record import inventory

    if not studies and older_than is None:
        _list(inventory.studies())
        return 0
    chosen = [inventory.find(name) for name in studies] or inventory.studies()
    if older_than is not None:
        chosen = [kept for kept in chosen if kept.age > older_than]
    chosen = [_closed(kept) for kept in chosen]
    removable = [kept for kept in chosen if not _is_kept(kept)]
    if removable:
        _list(removable)
    if removable and (yes or _confirmed(len(removable))):
        removed = [kept for kept in removable if _removed(kept)]
        stderr().print(f"{size(sum(kept.size for kept in removed))} are free again")
        if len(removed) < len(removable):
            return 1
    elif not chosen:
        stderr().print("there is nothing to remove")
    return 1 if studies and len(removable) < len(chosen) else 0


def _list(found: list[Kept]) -> None:
    from genloss.commands.numbers import print_numbers
    from genloss.commands.terminal import stderr
    from genloss.commands.units import age, size

    if not found:
        stderr().print("there is no study in this folder")
        return
    rows = [
        [
            kept.folder.name,
            age(kept.age),
            size(kept.size),
            f"{kept.finished} of {kept.planned}" if kept.planned else "unknown",
            "in use" if kept.alive else f"{size(kept.pending)} to ship" if kept.pending else "has all",
        ]
        for kept in found
    ]
    print_numbers(["study", "age", "size", "finished", "MLflow"], rows)


def _closed(kept: Kept) -> Kept:
    """The record, after its runs have been closed, of which MLflow is to know, if its launcher died."""
    from genloss.launch import remains
    from genloss.record import inventory

    if kept.alive or not kept.folder.has_crashed():
        return kept
    for run in kept.folder.runs():
        remains.close(run)
    return inventory.look(kept.folder)


def _is_kept(kept: Kept) -> bool:
    """Whether the record must stay; says why."""
    from genloss.commands.terminal import hint, warn
    from genloss.commands.units import size

    name = kept.folder.name
    if kept.alive:
        warn(f"study `{name}` is being trained by {kept.folder.owner() or 'another process'}")
    elif kept.pending:
        warn(f"MLflow has not got {size(kept.pending)} of study `{name}`")
        hint(f"`genloss sync {name}` ships them")
    return kept.alive or kept.pending > 0


def _confirmed(count: int) -> bool:
    """Whether a person wants them removed.

    Raises:
        RequestError: nobody is there to ask.
    """
    import sys

    from genloss.errors import RequestError

    if not sys.stdin.isatty():
        raise RequestError("nobody can be asked here", hint="`--yes` removes them without a question")
    what = "this record" if count == 1 else f"these {count} records"
    return click.confirm(f"Remove {what}?", default=False, err=True)


def _removed(kept: Kept) -> bool:
    from genloss.commands.terminal import complain
    from genloss.errors import RecordError
    from genloss.record import inventory

    try:
        inventory.remove(kept.folder)
    except RecordError as error:
        complain(error)
        return False
    return True
