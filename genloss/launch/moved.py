"""Resuming a study of a project that was moved or copied: finding its files in the new place."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genloss.registry.code import Code

AS_WRITTEN = frozenset({"text", "description", "reproduce", "overrides", "chosen"})
"""What is kept as the user wrote it, whatever it says."""


def relocated(content: Mapping[str, Any], given: Sequence[Code]) -> dict[str, Any]:
    """What study.json says, with the paths that files have now.

    Files from the original working directory are looked up in the current one. A missing plugin file is
    replaced by the given file of the same name.

    Args:
        content: of study.json.
        given: plugin files that the user named.
    """
    then, here = content.get("folder"), str(Path.cwd())
    by_name = {code.path.name: str(code.path) for code in given}

    def place(path: str) -> str:
        if isinstance(then, str) and then != here and path.startswith(then + os.sep):
            candidate = here + path.removeprefix(then)
            if Path(candidate).exists():
                return candidate
        return path

    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {name: inner if name in AS_WRITTEN else walk(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, key) for inner in value]
        if not isinstance(value, str) or not Path(value).is_absolute():
            return value
        found = place(value)
        if key == "plugins" and not Path(found).exists():
            found = by_name.get(Path(found).name, found)
        return found

    moved = {name: walk(content.get(name), name) for name in ("experiment", "runs") if name in content}
    return {**content, **moved, "folder": here}
