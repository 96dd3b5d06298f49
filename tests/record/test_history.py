"""What a journal holds comes back by key, exactly."""

import math

import numpy as np
import pytest

from genloss.errors import RecordError
from genloss.record import journal
from genloss.record.events import Column, ColumnsDeclared, Evaluated
from genloss.record.frame import Values
from genloss.record.history import DamagedWarning, read_history
from genloss.record.journal import Journal


@pytest.fixture
def path(tmp_path):
    """25 steps in blocks of ten, of which the second column has a value each fourth; two evaluations."""
    path = tmp_path / "journal"
    values = np.arange(50.0).reshape(25, 2)
    values[3, 0], values[7, 0] = math.inf, math.nan
    with Journal(path) as file:
        file.event(
            ColumnsDeclared(
                columns=(
                    Column("g/total", 1),
                    Column("g/norm", 4),
                )
            )
        )
        for first in (0, 10, 20):
            block = values[first : first + 10]
            file.values(Values(first, 1000 + np.arange(first, first + len(block)), block))
            if first:
                file.event(Evaluated(step=first, values={"eval/d": first / 3}))
    return path


def test_each_key_has_its_steps(path):
    history = read_history(path)
    assert list(history) == ["g/total", "g/norm", "eval/d"]
    total, norm, metric = history.values()
    assert total.steps.tolist() == list(range(25))
    assert total.timestamps.tolist() == list(range(1000, 1025))
    assert total.values[3] == math.inf
    assert math.isnan(total.values[7])
    assert total.values[24] == 48
    assert norm.steps.tolist() == [0, 4, 8, 12, 16, 20, 24]
    assert norm.values.tolist() == [2 * step + 1 for step in norm.steps]
    assert metric.steps.tolist() == [10, 20]
    assert metric.values.tolist() == [10 / 3, 20 / 3]
    assert len(norm) == 7


def test_a_compressed_copy_is_the_same(path, tmp_path):
    copy = tmp_path / "journal.gz"
    journal.compress(path, copy)
    one, other = read_history(path), read_history(copy)
    assert one.keys() == other.keys()
    for key in one:
        assert one[key].values.tobytes() == other[key].values.tobytes()


def test_what_is_damaged_is_left_out_and_told(path):
    ends = [end for _, end in journal.read(path)]
    content = bytearray(path.read_bytes())
    content[ends[2] - 1] ^= 0xFF
    path.write_bytes(content)
    with pytest.warns(DamagedWarning, match="the steps 0 to 9 and 20 to 24 can be read"):
        history = read_history(path)
    assert history["g/total"].steps.tolist() == [*range(10), *range(20, 25)]


def test_another_file_is_refused(tmp_path):
    (tmp_path / "other").write_bytes(b"something else entirely")
    with pytest.raises(RecordError, match="is not a journal"):
        read_history(tmp_path / "other")
