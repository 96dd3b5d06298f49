"""What must be the same of a run, however often it was interrupted."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from genloss.record import journal
from genloss.record.folder import RunFolder, read_record
from genloss.record.journal import Event


def events(run: RunFolder, name: str) -> list[dict[str, Any]]:
    """All events of that name, in their order."""
    return [
        dict(frame.content)
        for frame, _ in journal.read(run.journal)
        if isinstance(frame, Event) and frame.name == name
    ]


def weights(run: RunFolder) -> str:
    """The digest of the final weights."""
    digest: str = events(run, "status")[-1]["weights"]
    return digest


def assert_same(run: RunFolder, reference: RunFolder) -> None:
    """Both have the same weights, and the same values bit for bit, each step once."""
    assert weights(run) == weights(reference)
    ours, theirs = read_record(run), read_record(reference)
    assert ours.columns == theirs.columns
    first = [block.first_step for block in ours.values]
    ends = [block.first_step + len(block.values) for block in ours.values]
    assert first == [0, *ends[:-1]]
    values = [np.concatenate([block.values for block in record.values]) for record in (ours, theirs)]
    assert values[0].tobytes() == values[1].tobytes()
    timestamps = np.concatenate([block.timestamps for block in ours.values])
    assert (np.diff(timestamps) >= 0).all()
    assert ours.evaluations == theirs.evaluations
    assert ours.status == theirs.status == "FINISHED"


def assert_shipped(here: Path, name: str, reference: RunFolder) -> None:
    """MLflow has one run of that name, and for each key and step exactly the one value of the reference."""
    record = read_record(reference)
    expected = {
        (column.key, block.first_step + row): block.values[row, index]
        for block in record.values
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
