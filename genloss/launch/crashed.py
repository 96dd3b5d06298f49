"""Studies here whose launcher died: told to whoever begins another, and closed in MLflow."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from genloss.comparison.words import joined
from genloss.errors import GenlossError
from genloss.launch import children, remains
from genloss.record.folder import ROOT, StudyFolder
from genloss.tracking import address, allowed


def tell_crashed(note: Callable[[str], None], uri: str | None = None) -> None:
    """Tells which studies here were left unfinished by a launcher that died.

    Their runs are closed, and a tracker says so in MLflow, for which nobody waits.

    Args:
        note: told what a person should know.
        uri: a store that the user names now, besides what settings and files do.
    """
    for path in sorted(ROOT.glob("*/study.json")):
        folder = StudyFolder(path.parent)
        if not folder.has_crashed():
            continue
        try:
            unfinished = folder.unfinished()
            for name in unfinished:
                remains.close(folder.run(name))
            if folder.pending():
                _track(folder, allowed.store_of(folder, folder.read(), also=(uri,) if uri else ()))
        except GenlossError as error:
            note(error.message)
            if error.hint:
                note(f"  {error.hint}")
            continue
        if unfinished:
            names = joined([f"`{name}`" for name in unfinished])
            note(f"{names} of study `{folder.name}` did not finish, as its launcher died; go on with")
            note(f"  genloss resume {folder.name}")


def _track(folder: StudyFolder, uri: str) -> None:
    """Starts a tracker that ships what there is, and ends."""
    with children.log(folder.path / "tracker.log") as log:
        process = subprocess.Popen(
            children.command("genloss.tracking.tracker", str(folder.path), *children.parent()),
            env=children.environment(**{address.SETTING: uri}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    process.returncode = 0  # nobody waits for it: Python would complain that it is forgotten before it ends
