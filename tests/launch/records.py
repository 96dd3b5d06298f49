"""What must be the same of a run, however often it was interrupted."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from genloss.record import journal
from genloss.record.events import Event
from genloss.record.folder import RunFolder, read_state, values_from


def events(run: RunFolder, name: str) -> list[dict[str, Any]]:
    """All events of that name, in their order."""
    return [
        frame.content()
        for frame, _ in journal.read(run.journal)
        if isinstance(frame, Event) and name == frame.NAME
    ]


def weights(run: RunFolder) -> str:
    """The digest of the final weights."""
    digest: str = events(run, "status")[-1]["weights"]
    return digest


def assert_same(run: RunFolder, reference: RunFolder) -> None:
    """Both have the same weights, and the same values bit for bit, each step once."""
    assert weights(run) == weights(reference)
    ours, theirs = read_state(run), read_state(reference)
    assert ours.columns == theirs.columns
    blocks = values_from(run, 0)
    first = [block.first_step for block in blocks]
    ends = [block.first_step + len(block.values) for block in blocks]
    assert first == [0, *ends[:-1]]
    values = [np.concatenate([block.values for block in values_from(each, 0)]) for each in (run, reference)]
    assert values[0].tobytes() == values[1].tobytes()
    timestamps = np.concatenate([block.timestamps for block in blocks])
    assert (np.diff(timestamps) >= 0).all()
    assert ours.evaluations == theirs.evaluations
    assert ours.status == theirs.status == "FINISHED"


def assert_shipped(here: Path, name: str, reference: RunFolder) -> None:
    """MLflow has one run of that name, and for each key and step exactly the one value of the reference."""
    record = read_state(reference)
    expected = {
        (column.key, block.first_step + row): block.values[row, index]
        for block in values_from(reference, 0)
        for row in range(len(block.values))
        for index, column in enumerate(record.columns)
        if (block.first_step + row) % column.every == 0
    }
    for step, numbers in record.evaluations.items():
        expected |= {(key, step): value for key, value in numbers.items()}
    with closing(sqlite3.connect(here / "mlflow.db")) as store:
        ((run, status),) = store.execute("SELECT run_uuid, status FROM runs WHERE name = ?", [name])
        query = "SELECT key, step, value FROM metrics WHERE run_uuid = ? AND key NOT LIKE 'cost/%'"
        found = store.execute(query, [run]).fetchall()
    assert status == "FINISHED"
    rows = Counter((key, step) for key, step, _ in found)
    assert set(rows.values()) == {1}
    assert {(key, step): value for key, step, value in found} == expected
