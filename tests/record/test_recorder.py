"""The recorder: every value of every step, exactly, without a look at the device in between."""

import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from genloss.errors import NonFiniteError, RunError
from genloss.record import recorder as module
from genloss.record.journal import Column, Journal, read
from genloss.record.recorder import BLOCK_ROWS, Recorder

CPU = torch.device("cpu")
COLUMNS = [Column("generator/loss"), Column("generator/total"), Column("generator/gradient_norm", every=10)]


class HostReads(TorchDispatchMode):
    """Counts what brings a tensor's value to the host."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operator, kinds, arguments=(), options=None):
        name = str(operator)
        copied = "_to_copy" in name and (options or {}).get("device") is not None
        if "_local_scalar_dense" in name or "is_nonzero" in name or copied:
            self.count += 1
        return operator(*arguments, **(options or {}))


@pytest.fixture(autouse=True)
def no_deadline(monkeypatch):
    """Blocks are handed over when they are full, however slow the machine is."""
    monkeypatch.setattr(module, "FLUSH_SECONDS", 3600.0)


@pytest.fixture
def make():
    """A recorder and the list of blocks that it hands over."""

    def make(columns=COLUMNS, **options):
        blocks = []
        options = {"device": CPU, "dtype": torch.float32, **options}
        return Recorder(columns, blocks.append, **options), blocks

    return make


def row(step, dtype=torch.float32):
    """A step's values: the last column has one each tenth step."""
    loss = torch.tensor(1 / (step + 1), dtype=dtype)
    return [loss, loss * 3, torch.tensor(step + 0.1, dtype=dtype) if step % 10 == 0 else None]


def rows(blocks):
    """The values by step."""
    return {
        block.first_step + number: values
        for block in blocks
        for number, values in enumerate(block.values.tolist())
    }


class TestValues:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_are_exact_over_several_blocks(self, make, dtype):
        recorder, blocks = make(dtype=dtype)
        steps = 2 * BLOCK_ROWS + 7
        for step in range(steps):
            recorder.write(row(step, dtype))
        assert [len(block.values) for block in blocks] == [BLOCK_ROWS, BLOCK_ROWS]
        recorder.flush()
        assert [block.first_step for block in blocks] == [0, BLOCK_ROWS, 2 * BLOCK_ROWS]
        assert rows(blocks) == {
            step: [0.0 if value is None else value.item() for value in row(step, dtype)]
            for step in range(steps)
        }

    def test_are_not_changed_by_what_is_written_later(self, make):
        recorder, blocks = make(dtype=torch.float64)
        recorder.write(row(0, torch.float64))
        recorder.flush()
        kept = blocks[0].values.copy()
        for step in range(BLOCK_ROWS):
            recorder.write(row(step + 50, torch.float64))
        assert np.array_equal(blocks[0].values, kept)

    def test_are_those_of_the_moment(self, make):
        recorder, blocks = make(columns=[Column("a")])
        value = torch.tensor(1.0)
        recorder.write([value])
        value.fill_(2.0)
        recorder.flush()
        assert rows(blocks) == {0: [1.0]}

    def test_that_are_absent_leave_nothing_of_an_earlier_block(self, make):
        recorder, blocks = make(columns=[Column("a", every=2)])
        recorder.write([torch.tensor(5.0)])
        recorder.flush()
        recorder.write([None])
        recorder.flush()
        assert rows(blocks) == {0: [5.0], 1: [0.0]}

    def test_that_require_a_gradient_keep_no_graph(self, make):
        recorder, blocks = make(columns=[Column("a"), Column("b")])
        parameter = torch.nn.Parameter(torch.tensor(2.0))
        recorder.write([parameter * 2, parameter.square()])
        assert not recorder._block.requires_grad
        recorder.flush()
        assert rows(blocks) == {0: [4.0, 4.0]}

    def test_of_another_precision_are_taken_into_the_records(self, make):
        recorder, blocks = make(columns=[Column("a"), Column("b")])
        recorder.write([torch.tensor(1 / 3, dtype=torch.float64), torch.tensor(1.0)])
        recorder.flush()
        assert rows(blocks) == {0: [np.float32(1 / 3).item(), 1.0]}

    def test_come_back_from_the_journal(self, tmp_path):
        with Journal(tmp_path / "journal") as file:
            recorder = Recorder(COLUMNS, file.values, device=CPU, dtype=torch.float32)
            for step in range(5):
                recorder.write(row(step))
            recorder.flush()
        ((block, _),) = read(tmp_path / "journal")
        assert block.values[:, 0].tolist() == [row(step)[0].item() for step in range(5)]


class TestBlocks:
    def test_are_handed_over_when_their_time_is_up(self, make, monkeypatch):
        monkeypatch.setattr(module, "FLUSH_SECONDS", 0.0)
        recorder, blocks = make()
        for step in range(3):
            recorder.write(row(step))
        assert [(block.first_step, len(block.values)) for block in blocks] == [(0, 1), (1, 1), (2, 1)]

    def test_are_handed_to_the_journal_before_anybody_else(self):
        order = []
        recorder = Recorder(
            COLUMNS,
            lambda block: order.append(("journal", len(block.values))),
            device=CPU,
            dtype=torch.float32,
            on_block=lambda block: order.append(("display", len(block.values))),
        )
        recorder.write(row(0))
        recorder.flush()
        assert order == [("journal", 1), ("display", 1)]

    def test_are_never_empty(self, make):
        recorder, blocks = make()
        recorder.flush()
        recorder.begin(3)
        assert blocks == []

    def test_begin_at_any_step(self, make):
        recorder, blocks = make()
        recorder.write(row(0))
        recorder.begin(100)
        recorder.write(row(100))
        recorder.flush()
        assert [block.first_step for block in blocks] == [0, 100]


class TestTimestamps:
    def test_never_run_backwards_and_are_of_the_time_of_writing(self, make):
        recorder, blocks = make()
        before = module.now()
        for step in range(2 * BLOCK_ROWS + 3):
            recorder.write(row(step))
        recorder.flush()
        times = np.concatenate([block.timestamps for block in blocks])
        assert times.dtype == np.int64
        assert len(times) == 2 * BLOCK_ROWS + 3
        assert (np.diff(times) >= 0).all()
        assert before <= times[0] <= times[-1] <= module.now()

    def test_are_spread_over_the_block(self, make, monkeypatch):
        clock = iter([1000, 2000, 2000])
        monkeypatch.setattr(module, "now", lambda: next(clock))
        recorder, blocks = make()
        for step in range(4):
            recorder.write(row(step))
        recorder.flush()
        assert blocks[0].timestamps.tolist() == [1250, 1500, 1750, 2000]

    def test_never_run_backwards_when_the_clock_is_put_back(self, make, monkeypatch):
        clock = iter([5000, 6000, 1000, 1000, 1000, 7000, 7000])
        monkeypatch.setattr(module, "now", lambda: next(clock))
        recorder, blocks = make()
        for _ in range(3):
            for step in range(2):
                recorder.write(row(step))
            recorder.flush()
        times = [block.timestamps.tolist() for block in blocks]
        assert times == [[5500, 6000], [6000, 6000], [6500, 7000]]


class TestNonFinite:
    @pytest.mark.parametrize(("bad", "name"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")])
    @pytest.mark.parametrize("step", [0, 1, 5, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 11])
    def test_the_step_and_the_column_are_exact(self, make, bad, name, step):
        recorder, blocks = make()
        for earlier in range(step):
            recorder.write(row(earlier))
        values = row(step)
        values[1] = torch.tensor(bad)

        def go_on():
            recorder.write(values)
            recorder.write(row(step + 1))
            recorder.flush()

        with pytest.raises(NonFiniteError) as caught:
            go_on()
        assert isinstance(caught.value, RunError)
        assert caught.value.message.startswith(f"`generator/total` became {name} at step {step}")
        assert ("the last finite values" in caught.value.message) == (step > 0)
        recorded = rows(blocks)
        assert list(recorded) == list(range(step + 1))
        assert recorded[step][0] == values[0].item()
        assert str(recorded[step][1]) == name

    def test_the_message_has_the_last_finite_values(self, make):
        recorder, _ = make()
        for step in range(11):
            recorder.write(row(step))
        recorder.write([torch.tensor(math.nan), torch.tensor(math.nan), None])
        with pytest.raises(NonFiniteError) as caught:
            recorder.flush()
        assert caught.value.message == (
            "`generator/loss` became nan at step 11; the last finite values, at step 10, were "
            "`generator/loss` 0.09091, `generator/total` 0.2727, `generator/gradient_norm` 10.1"
        )
        assert caught.value.hint == (
            "lower the learning rate or clip gradients; `training.on_nonfinite: skip` or `continue` goes on"
        )

    def test_the_message_leaves_out_what_the_step_before_did_not_have(self, make):
        recorder, _ = make()
        for step in range(3):
            recorder.write(row(step))
        recorder.flush()
        recorder.write([torch.tensor(math.inf), torch.tensor(1.0), None])
        with pytest.raises(NonFiniteError) as caught:
            recorder.flush()
        assert caught.value.message == (
            "`generator/loss` became inf at step 3; the last finite values, at step 2, were "
            "`generator/loss` 0.3333, `generator/total` 1"
        )

    def test_the_first_of_several_is_told(self, make):
        recorder, blocks = make(columns=[Column("a"), Column("b")])
        one, bad = torch.tensor(1.0), torch.tensor(math.nan)
        for values in ([one, one], [one, bad], [bad, bad]):
            recorder.write(values)
        with pytest.raises(NonFiniteError, match="`b` became nan at step 1"):
            recorder.flush()
        assert list(rows(blocks)) == [0, 1]

    def test_the_last_flush_of_a_run_tells_it_too(self, make):
        recorder, _ = make(columns=[Column("a")])
        recorder.write([torch.tensor(math.nan)])
        with pytest.raises(NonFiniteError, match="`a` became nan at step 0"):
            recorder.begin(1)

    def test_it_may_go_on(self, make):
        recorder, blocks = make(columns=[Column("a")], fail_on_nonfinite=False)
        for value in (1.0, math.nan, math.inf, 2.0):
            recorder.write([torch.tensor(value)])
        recorder.flush()
        assert str(rows(blocks)) == "{0: [1.0], 1: [nan], 2: [inf], 3: [2.0]}"


class TestHostReads:
    def test_the_trap_catches_one(self):
        with HostReads() as reads:
            torch.tensor(1.0).item()
        assert reads.count == 1

    def test_there_is_none_until_a_block_is_full(self, make):
        recorder, blocks = make()
        with HostReads() as reads:
            for step in range(BLOCK_ROWS - 1):
                value = torch.full((), float(step))
                recorder.write([value, value, value if step % 10 == 0 else None])
        assert reads.count == 0
        assert blocks == []
        recorder.write(row(1))
        assert len(blocks) == 1
