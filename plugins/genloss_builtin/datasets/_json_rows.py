"""Read the columns of a JSON file: one object per line, or one list of objects.

The JSON reader of the library `datasets` is not used, since it crashes the process on some malformed files.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from genloss.errors import RequestError, did_you_mean

Columns = dict[str, list[Any]]


def read_columns(path: Path, wanted: Collection[str]) -> Columns:
    """Return the values of the wanted columns, with None where a row has no value.

    Raises:
        RequestError: the file is not JSON objects, or lacks a column.
    """
    columns: Columns = {name: [] for name in wanted}
    known: dict[str, None] = {}
    try:
        for row in _rows(path):
            known |= dict.fromkeys(row)
            for name, values in columns.items():
                values.append(row.get(name))
    except (OSError, ValueError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RequestError(
            f"`{path.name}` cannot be read: {said}",
            hint="it must be UTF-8, with one JSON object per line or one list of JSON objects",
        ) from error
    if not known:
        raise RequestError(f"`{path.name}` has no rows", hint="give a file with one JSON object per line")
    for name in wanted:
        if name not in known:
            raise RequestError(f"`{path.name}` has no column `{name}`", hint=did_you_mean(name, known))
    return columns


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="\n") as opened:
        start = opened.read(1)
        while start.isspace():
            start = opened.read(1)
        if start == "[":
            listed = json.loads(f"[{opened.read()}")
            yield from (_object(row, f"item {number} of the list") for number, row in enumerate(listed))
            return
        line = start + opened.readline()
        while line:
            if line.strip():
                yield _object(json.loads(line), f"`{line.strip()[:40]}`")
            line = opened.readline()


def _object(row: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f"{what} is not an object")
    return row
