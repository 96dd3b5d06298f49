"""`genloss sync`: send missing records to MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genloss.record.folder import StudyFolder


@click.command("sync")
@click.argument("studies", metavar="[STUDY | FOLDER]...", nargs=-1)
@click.option(
    "--tracking-uri",
    metavar="URI",
    help="Ship there. [default: where each is recorded, if a setting or its file says so]",
)
@click.option("--deleted", is_flag=True, help="Make runs again that were deleted in MLflow.")
def command(studies: tuple[str, ...], tracking_uri: str | None, deleted: bool) -> int:
    """Ship to MLflow what it has not got of each STUDY, by default of all studies here.

    A study's records hold all that MLflow is to have, whether or not MLflow answered while it was trained. A
    study of another folder is named by its own folder there. What is in MLflow already is not there twice.
    Exit code: 0 if MLflow has all of it, 1 if not.

    \b
    Examples:
      genloss sync
      genloss sync gan-losses-20250131-093000
      genloss sync ../elsewhere/.genloss/gan-losses-20250131-093000 --tracking-uri http://localhost:5000
    """
    from genloss.commands.terminal import stderr
    from genloss.record.folder import ROOT, StudyFolder

    if studies:
        folders = [StudyFolder.find(name) for name in studies]
    else:
        found = [StudyFolder(path.parent) for path in sorted(ROOT.glob("*/study.json"))]
        folders = [folder for folder in found if deleted or _is_lacking(folder, tracking_uri)]
    if not folders:
        stderr().print("MLflow has all of the studies here")
        return 0
    options = ["--deleted"] if deleted else []
    shipped = [_ship(folder, tracking_uri, options) for folder in folders]
    return 0 if all(shipped) else 1


def _is_lacking(folder: StudyFolder, tracking_uri: str | None) -> bool:
    """Return whether MLflow has not got all of a study, which it is asked where nothing is left to ship."""
    from genloss.errors import GenlossError
    from genloss.tracking import verification

    if folder.pending():
        return True
    try:
        return any(not what.deleted for what in verification.lacking(folder, tracking_uri))
    except GenlossError:  # shipping it says so
        return True


def _ship(folder: StudyFolder, named: str | None, options: Sequence[str]) -> bool:
    """Ship a study, and report whether MLflow has all of it."""
    from genloss.commands.terminal import complain, printable, say, stderr, warn
    from genloss.errors import GenlossError
    from genloss.launch.tracker_process import TrackerProcess
    from genloss.text import file_size
    from genloss.tracking import allowed

    if folder.is_alive():
        warn(f"study `{folder.name}` is being trained by {folder.owner()}, whose own tracker ships it")
        return True
    try:
        uri = allowed.store_of(folder, folder.read(), named)
    except GenlossError as error:
        complain(error)
        _warn_not_shipped(folder)
        return False
    console = stderr()
    count = 0
    with console.status(f"shipping {folder.name}") as status:

        def progress(values: int, left: int) -> None:
            nonlocal count
            count = values
            status.update(f"shipping {folder.name}: {values:,} values, {file_size(left)} left")

        def note(text: str) -> None:
            console.print(printable(text), markup=False)

        with TrackerProcess(
            folder, note, uri=uri, options=options, progress=progress, waiting="it is asked again"
        ) as tracker:
            try:
                shipped = tracker.finish(lambda: False)
            finally:
                tracker.stop()
    if shipped:
        say(f"{folder.name}: {count:,} values are in MLflow")
    elif tracker.error is not None:
        complain(tracker.error)
    if not shipped:
        _warn_not_shipped(folder)
    return shipped


def _warn_not_shipped(folder: StudyFolder) -> None:
    from genloss.commands.terminal import warn

    warn(f"MLflow has not got all of study `{folder.name}`; its records are safe in `{folder.path}`")
