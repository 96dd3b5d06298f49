"""Which recorded code may be run: only what this user has run before.

The digest of each plugin file that a user names, by `--plugin`, `plugins:` or `plugins=`, is kept in the
user's own state folder. Code of another digest is never run because data say so. That cannot be forged by a
folder, wherever it is put, and holds for a file that was moved, and for a copy of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from genloss.registry.code import Code

_named: set[str] = set()
"""What was named in this process, where nothing can be kept."""


def remember(codes: Iterable[Code]) -> None:
    """Keep in mind that the user has named these plugin files."""
    for code in codes:
        _named.add(code.digest)
        with suppress(OSError, RuntimeError):  # a home that cannot be written, or none
            folder = _folder()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / code.digest).touch(mode=0o600)


def knows(code: Code) -> bool:
    """Return whether the user has named this very code before."""
    if code.digest in _named:
        return True
    with suppress(OSError, RuntimeError):
        return (_folder() / code.digest).exists()
    return False


def _folder() -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (state if state.is_absolute() else Path.home() / ".local" / "state") / "genloss" / "code"
