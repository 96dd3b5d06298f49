"""`genloss clean`: list the studies here, and remove old ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from genloss.record.inventory import Kept

MOST_TOLD = 10
"""Things that MLflow has not got of a study."""

UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def _seconds(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """An age in seconds: a number with a unit."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", value)
    if match is None:
        raise click.BadParameter(f"`{value}` is not an age, such as 12h, 30d or 8w")
    return float(match[1]) * UNITS[match[2]]


@click.command("clean")
@click.argument("studies", metavar="[STUDY]...", nargs=-1)
@click.option("--older-than", callback=_seconds, metavar="AGE", help="Remove those older than this, as 30d.")
@click.option("--tracking-uri", metavar="URI", help="Ask there. [default: where each study is recorded]")
@click.option("--unshipped", is_flag=True, help="Remove also what MLflow has not got.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(
    studies: tuple[str, ...],
    older_than: float | None,
    tracking_uri: str | None,
    unshipped: bool,
    yes: bool,
) -> int:
    """List the studies of this folder, or remove the records of each STUDY.

    A study is as old as what was recorded last. MLflow is asked what it has got, and keeps that; the record
    of a study that is being trained, or of which MLflow has not got all, is not removed. What is not finished
    cannot be resumed afterwards.

    \b
    Examples:
      genloss clean
      genloss clean gan-losses-20250131-093000
      genloss clean --older-than 30d --yes
    """
    from genloss.commands.terminal import stderr
    from genloss.record import inventory
    from genloss.text import file_size

    if not studies and older_than is None:
        _list([_Asked.of(kept, tracking_uri) for kept in inventory.studies()])
        return 0
    chosen = [inventory.find(name) for name in studies] or inventory.studies()
    if older_than is not None:
        chosen = [kept for kept in chosen if kept.age > older_than]
    asked = [_Asked.of(_closed(kept), tracking_uri) for kept in chosen]
    removable = [each for each in asked if not _is_kept(each, unshipped=unshipped)]
    if removable:
        _list(removable)
    if removable and (yes or _confirmed(len(removable))):
        removed = [each.kept for each in removable if _removed(each.kept, unshipped=unshipped)]
        stderr().print(f"{file_size(sum(kept.size for kept in removed))} are free again")
        if len(removed) < len(removable):
            return 1
    elif not chosen:
        stderr().print("there is nothing to remove")
    return 1 if studies and len(removable) < len(chosen) else 0


@dataclass(frozen=True)
class _Asked:
    """A record, and what MLflow has of it.

    Attributes:
        kept: the record.
        only_here: what MLflow has not got, in words.
        unknown: why that is not known, if it is not.
    """

    kept: Kept
    only_here: Sequence[str] = ()
    unknown: str = ""

    @classmethod
    def of(cls, kept: Kept, tracking_uri: str | None) -> _Asked:
        """What MLflow has of a record; it is asked only where the record says that it has all."""
        from genloss.errors import GenlossError
        from genloss.text import file_size
        from genloss.tracking import verification

        if kept.alive:
            return cls(kept)
        if kept.pending:
            rejected = [
                f"`{what}` of run `{run.path.name}`: {why}"
                for run in kept.folder.runs()
                for what, why in run.rejected().items()
            ]
            return cls(kept, rejected or [f"{file_size(kept.pending)} of its records"])
        if not any(run.journal.exists() for run in kept.folder.runs()):
            return cls(kept)  # nothing was ever trained
        try:
            return cls(kept, [each.what for each in verification.lacking(kept.folder, tracking_uri)])
        except GenlossError as error:
            return cls(kept, unknown=error.message)

    @property
    def state(self) -> str:
        from genloss.text import file_size

        if self.kept.alive:
            return "in use"
        if self.kept.pending:
            return f"{file_size(self.kept.pending)} to ship"
        if self.unknown:
            return "not known"
        return "has not got all" if self.only_here else "has all"


def _list(found: Sequence[_Asked]) -> None:
    from genloss.commands.numbers import print_numbers
    from genloss.commands.terminal import stderr
    from genloss.text import age, file_size

    if not found:
        stderr().print("there is no study in this folder")
        return
    rows = [
        [
            each.kept.folder.name,
            age(each.kept.age),
            file_size(each.kept.size),
            f"{each.kept.finished} of {each.kept.planned}" if each.kept.planned else "unknown",
            each.state,
        ]
        for each in found
    ]
    print_numbers(["study", "age", "size", "finished", "MLflow"], rows)


def _closed(kept: Kept) -> Kept:
    """The record, after its runs have been closed, of which MLflow is to know, if its launcher died."""
    from genloss.launch import recovery
    from genloss.record import inventory

    if kept.alive or not kept.folder.has_crashed():
        return kept
    for run in kept.folder.runs():
        recovery.close(run)
    return inventory.look(kept.folder)


def _is_kept(asked: _Asked, *, unshipped: bool) -> bool:
    """Return whether the record must stay; says why, and what would be lost with it."""
    from genloss.commands.terminal import hint, warn

    name = asked.kept.folder.name
    if asked.kept.alive:
        warn(f"study `{name}` is being trained by {asked.kept.folder.owner() or 'another process'}")
        return True
    if asked.unknown:
        warn(f"it is not known what MLflow has of study `{name}`: {asked.unknown}")
    for what in asked.only_here[:MOST_TOLD]:
        warn(f"MLflow has not got, of study `{name}`, {what}")
    if len(asked.only_here) > MOST_TOLD:
        warn(f"nor {len(asked.only_here) - MOST_TOLD} more of it")
    if unshipped or not (asked.unknown or asked.only_here):
        return False
    hint(f"`genloss sync {name}` ships it; `--unshipped` removes it all the same")
    return True


def _confirmed(count: int) -> bool:
    """Return whether a person wants them removed.

    Raises:
        RequestError: nobody is there to ask.
    """
    import sys

    from genloss.errors import RequestError

    if not sys.stdin.isatty():
        raise RequestError("nobody can be asked here", hint="`--yes` removes them without a question")
    what = "this record" if count == 1 else f"these {count} records"
    return click.confirm(f"Remove {what}?", default=False, err=True)


def _removed(kept: Kept, *, unshipped: bool) -> bool:
    from genloss.commands.terminal import complain
    from genloss.errors import RecordError
    from genloss.record import inventory

    try:
        inventory.remove(kept.folder, pending=unshipped)
    except RecordError as error:
        complain(error)
        return False
    return True
