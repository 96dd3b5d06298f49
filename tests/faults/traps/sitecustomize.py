"""Kills a study at an exact moment. Python imports this in each process that finds it on its path.

`GENLOSS_TEST_TRAP="checkpoint 3"` kills the study, all processes at once, in the third write of a checkpoint
in one process; `"checkpoint 3 alone"` kills that process alone. The moments are below.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Any

TRAP, ALONE, _ = os.environ.get("GENLOSS_TEST_TRAP", "").partition(" alone")
ROOT = int(os.environ.setdefault("GENLOSS_TEST_TRAP_ROOT", str(os.getpid())))
MOMENT, _, NUMBER = TRAP.partition(" ")
CHECKPOINT = re.compile(r"step-\d+\.pt")

reached: Counter[str] = Counter()


def comes(moment: str) -> bool:
    """Whether this is the moment to die."""
    reached[moment] += moment == MOMENT
    return moment == MOMENT and reached[moment] == int(NUMBER)


def die() -> None:
    if not ALONE:
        from killing import kill_everything

        kill_everything(ROOT)
    os.kill(os.getpid(), signal.SIGKILL)


def journals() -> None:
    """`journal`: half of a frame is written."""
    opened, write = os.open, os.write
    journals = set()

    def open_(path: Any, *arguments: Any, **more: Any) -> int:
        file = opened(path, *arguments, **more)
        (journals.add if Path(path).name == "journal" else journals.discard)(file)
        return file

    def write_(file: int, content: bytes) -> int:
        if file in journals and comes("journal"):
            write(file, content[: len(content) // 2])
            die()
        return write(file, content)

    os.open, os.write = open_, write_


def publishing() -> None:
    """`checkpoint`: half of it is written. `undigested`: it is there, its digest is not. `published`: both
    are, and the older ones, too. `cursor`: what was shipped is in the store, and not yet noted here.
    """
    replace = os.replace

    def replace_(source: Any, target: Any, **more: Any) -> None:
        name = Path(target).name
        if CHECKPOINT.fullmatch(name) and comes("checkpoint"):
            os.truncate(source, Path(source).stat().st_size // 2)
            die()
        digest = name.endswith(".sha256")
        if (digest and comes("undigested")) or (name == "shipped.json" and comes("cursor")):
            die()
        replace(source, target, **more)
        if digest and comes("published"):
            die()

    os.replace = replace_


def uploading() -> None:
    """`upload`: within a transaction that writes metrics. `uploaded`: right after one."""
    connect = sqlite3.connect

    class Connection(sqlite3.Connection):
        writes = False

        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self.set_trace_callback(self.see)

        def see(self, statement: str) -> None:
            if statement.startswith("INSERT INTO metrics"):
                if not self.writes and comes("upload"):
                    die()
                self.writes = True

        def commit(self) -> None:
            super().commit()
            if self.writes and comes("uploaded"):
                die()
            self.writes = False

    def connect_(*arguments: Any, **more: Any) -> sqlite3.Connection:
        return connect(*arguments, **{"factory": Connection, **more})

    sqlite3.connect = connect_
    sqlite3.dbapi2.connect = connect_


if MOMENT in ("upload", "uploaded"):
    if any("genloss.tracking.tracker" in word for word in sys.orig_argv):
        uploading()
elif MOMENT == "journal":
    journals()
elif MOMENT:
    publishing()
