"""The recorder: every value of every step, exactly, without a look at the device or a wait for the disk."""

import math
import threading
import time

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from genloss.errors import MismatchError, NonFiniteError, RunError
from genloss.record import recorder as module
from genloss.record.events import Column
from genloss.record.frame import Values
from genloss.record.journal import Journal, read
from genloss.record.recorder import BLOCK_ROWS, BLOCKS, Recorder

CPU = torch.device("cpu")
COLUMNS = [Column("generator/loss"), Column("generator/total"), Column("generator/gradient_norm", every=10)]
ONE = [Column("a")]


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
    made = []

    def make(columns=COLUMNS, journal=None, **options):
        blocks = []
        options = {"device": CPU, "dtype": torch.float32, **options}
        made.append(Recorder(columns, journal or blocks.append, **options))
        return made[-1], blocks

    yield make
    for recorder in made:
        recorder.close()


class Gate:
    """A disk that stands still until it is opened."""

    def __init__(self):
        self.blocks = []
        self.reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, block):
        self.reached.set()
        assert self._open.wait(30)
        self.blocks.append(block)

    def open(self):
        self._open.set()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


def row(step, dtype=torch.float32):
    """A step's values: the last column has one each tenth step."""
    loss = torch.tensor(1 / (step + 1), dtype=dtype)
    return [loss, loss * 3, torch.tensor(step + 0.1, dtype=dtype) if step % 10 == 0 else None]


def numbers(step):
    """What is recorded of it."""
    return [0.0 if value is None else value.item() for value in row(step)]


def rows(blocks):
    """The values by step."""
    return {
        block.first_step + number: values
        for block in blocks
        for number, values in enumerate(block.values.tolist())
    }


def recorded(first, end, change=None):
    """What a journal has of these steps; `change` says what it has otherwise, by step and column."""
    values = np.array([numbers(step) for step in range(first, end)])
    for (step, column), value in (change or {}).items():
        values[step - first, column] = value
    return Values(first, np.full(end - first, 77, np.int64), values)


class TestValues:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_are_exact_over_all_blocks_and_more(self, make, dtype):
        recorder, blocks = make(dtype=dtype)
        steps = (BLOCKS + 2) * BLOCK_ROWS + 7
        written = [row(step, dtype) for step in range(steps)]
        for values in written:
            recorder.write(values)
        recorder.flush()
        assert [block.first_step for block in blocks] == [n * BLOCK_ROWS for n in range(BLOCKS + 3)]
        assert rows(blocks) == {
            step: [0.0 if value is None else value.item() for value in values]
            for step, values in enumerate(written)
        }

    def test_are_not_changed_by_what_is_written_later(self, make):
        recorder, blocks = make(dtype=torch.float64)
        recorder.write(row(0, torch.float64))
        recorder.flush()
        kept = blocks[0].values.copy()
        for step in range(BLOCKS * BLOCK_ROWS):
            recorder.write(row(step + 50, torch.float64))
        assert np.array_equal(blocks[0].values, kept)

    def test_are_those_of_the_moment(self, make):
        recorder, blocks = make(ONE)
        value = torch.tensor(1.0)
        recorder.write([value])
        value.fill_(2.0)
        recorder.flush()
        assert rows(blocks) == {0: [1.0]}

    def test_that_are_absent_leave_nothing_of_an_earlier_block(self, make):
        recorder, blocks = make([Column("a", every=2)])
        for _ in range(BLOCKS):
            recorder.write([torch.tensor(5.0)])
            recorder.flush()
        recorder.write([None])
        recorder.flush()
        assert rows(blocks)[BLOCKS] == [0.0]

    def test_that_require_a_gradient_keep_no_graph(self, make):
        recorder, blocks = make([Column("a"), Column("b")])
        parameter = torch.nn.Parameter(torch.tensor(2.0))
        recorder.write([parameter * 2, parameter.square()])
        assert not any(row.requires_grad for row in recorder._rows)
        recorder.flush()
        assert rows(blocks) == {0: [4.0, 4.0]}

    def test_of_another_precision_are_taken_into_the_records(self, make):
        recorder, blocks = make([Column("a"), Column("b")])
        recorder.write([torch.tensor(1 / 3, dtype=torch.float64), torch.tensor(1.0)])
        recorder.flush()
        assert rows(blocks) == {0: [np.float32(1 / 3).item(), 1.0]}

    def test_come_back_from_the_journal(self, make, tmp_path):
        with Journal(tmp_path / "journal") as file:
            recorder, _ = make(journal=file.values)
            for step in range(5):
                recorder.write(row(step))
            recorder.flush()
        (block,) = [frame for frame, _ in read(tmp_path / "journal") if isinstance(frame, Values)]
        assert block.values[:, 0].tolist() == [row(step)[0].item() for step in range(5)]


class TestBlocks:
    def test_are_handed_over_when_their_time_is_up(self, make, monkeypatch):
        monkeypatch.setattr(module, "FLUSH_SECONDS", 0.0)
        recorder, blocks = make()
        for step in range(3):
            recorder.write(row(step))
            while not recorder._is_idle():
                time.sleep(0.001)
        assert [(block.first_step, len(block.values)) for block in blocks] == [(0, 1), (1, 1), (2, 1)]

    def test_are_handed_to_the_journal_before_anybody_else(self, make):
        order = []
        recorder, _ = make(
            journal=lambda block: order.append(("journal", len(block.values))),
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


class TestASlowDisk:
    def test_is_waited_for_only_when_all_blocks_are_with_the_writer(self, make, gate):
        recorder, _ = make(ONE, journal=gate)
        values = torch.arange(BLOCKS * BLOCK_ROWS + 5.0).unbind()
        for value in values[: BLOCKS * BLOCK_ROWS - 1]:
            recorder.write([value])
        assert gate.reached.is_set()
        assert gate.blocks == []

        def go_on():
            for value in values[BLOCKS * BLOCK_ROWS - 1 :]:
                recorder.write([value])

        waiting = threading.Thread(target=go_on)
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        gate.open()
        waiting.join(30)
        recorder.flush()
        assert rows(gate.blocks) == {step: [float(step)] for step in range(len(values))}

    def test_gets_no_half_empty_blocks(self, make, gate, monkeypatch):
        """Or they would all be with the writer after a few seconds, whatever they hold."""
        monkeypatch.setattr(module, "FLUSH_SECONDS", 0.0)
        recorder, _ = make(journal=gate)
        for step in range(200):
            recorder.write(row(step))
        gate.open()
        recorder.flush()
        assert [len(block.values) for block in gate.blocks] == [1, 199]

    def test_is_waited_for_by_flush(self, make, gate):
        recorder, _ = make(journal=gate)
        recorder.write(row(0))
        waiting = threading.Thread(target=recorder.flush)
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
        gate.open()
        waiting.join(30)
        assert list(rows(gate.blocks)) == [0]

    def test_is_written_to_in_a_thread_of_its_own(self, make):
        threads = []
        recorder, _ = make(journal=lambda _: threads.append(threading.current_thread()))
        for _ in range(2):
            recorder.write(row(0))
            recorder.flush()
        assert len(set(threads)) == 1
        assert threads[0] is not threading.current_thread()
        recorder.close()
        assert not threads[0].is_alive()

    def test_gets_what_it_was_handed_before_the_recorder_closes(self, make, gate):
        recorder, _ = make(ONE, journal=gate)
        for _ in range(BLOCK_ROWS + 1):
            recorder.write([torch.tensor(1.0)])
        threading.Timer(0.05, gate.open).start()
        recorder.close()
        assert [len(block.values) for block in gate.blocks] == [BLOCK_ROWS]


class TestWhatGoesWrongInTheWriter:
    def broken(self, make, which):
        """A recorder whose journal, or listener, fails at the second block."""
        seen = []

        def fail(block):
            seen.append(block.first_step)
            if len(seen) == 2:
                raise OSError(28, "No space left on device")

        recorder, _ = make(ONE, **{which: fail})
        return recorder, seen

    @pytest.mark.parametrize("which", ["journal", "on_block"])
    def test_is_raised_by_flush_and_every_time(self, make, which):
        recorder, _ = self.broken(make, which)
        recorder.write([torch.tensor(1.0)])
        recorder.flush()
        recorder.write([torch.tensor(1.0)])
        for _ in range(2):
            with pytest.raises(OSError, match="No space left"):
                recorder.flush()
        recorder.close()

    def test_is_raised_by_write_and_ends_the_writing(self, make):
        recorder, seen = self.broken(make, "journal")

        def go_on():
            for _ in range((BLOCKS + 3) * BLOCK_ROWS):
                recorder.write([torch.tensor(1.0)])

        with pytest.raises(OSError, match="No space left"):
            go_on()
        with pytest.raises(OSError, match="No space left"):
            recorder.flush()
        assert seen == [0, BLOCK_ROWS]


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

    def clock(self, monkeypatch, *times):
        times = iter(times)
        monkeypatch.setattr(module, "now", lambda: next(times))

    def test_are_spread_over_the_block(self, make, monkeypatch):
        self.clock(monkeypatch, 1000, 2000)
        recorder, blocks = make()
        for step in range(4):
            recorder.write(row(step))
        recorder.flush()
        assert blocks[0].timestamps.tolist() == [1250, 1500, 1750, 2000]

    def test_never_run_backwards_when_the_clock_is_put_back(self, make, monkeypatch):
        self.clock(monkeypatch, 5000, 6000, 1000, 7000)
        recorder, blocks = make()
        for _ in range(3):
            for step in range(2):
                recorder.write(row(step))
            recorder.flush()
        times = [block.timestamps.tolist() for block in blocks]
        assert times == [[5500, 6000], [6000, 6000], [6500, 7000]]

    def test_leave_out_what_lay_between(self, make, monkeypatch):
        """An evaluation, say."""
        self.clock(monkeypatch, 1000, 2000, 9000, 9500)
        recorder, blocks = make()
        for _ in range(2):
            recorder.write(row(0))
            recorder.flush()
            if len(blocks) == 1:
                recorder.begin(1)
        assert [block.timestamps.tolist() for block in blocks] == [[2000], [9500]]

    def test_are_never_before_those_in_the_journal(self, make, monkeypatch):
        self.clock(monkeypatch, 1000, 1500, 2000, 6000)
        recorder, blocks = make(since=5000)
        recorder.begin(8)
        for step in (8, 9):
            recorder.write(row(step))
            recorder.flush()
        assert [block.timestamps.tolist() for block in blocks] == [[5000], [6000]]


class TestNonFinite:
    @pytest.mark.parametrize(("bad", "name"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")])
    @pytest.mark.parametrize("step", [0, 1, 5, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 11])
    def test_the_step_and_the_column_are_exact(self, make, bad, name, step):
        recorder, blocks = make()
        for earlier in range(step):
            recorder.write(row(earlier))
        values = row(step)
        values[1] = torch.tensor(bad)
        with pytest.raises(NonFiniteError) as caught:
            write_and_flush(recorder, [values, row(step + 1)])
        assert isinstance(caught.value, RunError)
        assert caught.value.step == step
        assert caught.value.message.startswith(f"`generator/total` became {name} at step {step}")
        assert ("the last finite values" in caught.value.message) == (step > 0)
        kept = rows(blocks)
        assert list(kept) == list(range(step + 1))
        assert kept[step][0] == values[0].item()
        assert str(kept[step][1]) == name

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
        recorder, blocks = make([Column("a"), Column("b")])
        one, bad = torch.tensor(1.0), torch.tensor(math.nan)
        for values in ([one, one], [one, bad], [bad, bad]):
            recorder.write(values)
        with pytest.raises(NonFiniteError, match="`b` became nan at step 1"):
            recorder.flush()
        assert list(rows(blocks)) == [0, 1]

    def test_the_last_flush_of_a_run_tells_it_too(self, make):
        recorder, _ = make(ONE)
        recorder.write([torch.tensor(math.nan)])
        with pytest.raises(NonFiniteError, match="`a` became nan at step 0"):
            recorder.begin(1)

    def test_what_comes_after_it_is_not_recorded(self, make, gate):
        """Though the training has gone on meanwhile."""
        recorder, _ = make(ONE, journal=gate)
        bad, one = torch.tensor(math.nan), torch.tensor(1.0)
        recorder.write([bad])
        for _ in range(3 * BLOCK_ROWS):
            recorder.write([one])
        gate.open()
        with pytest.raises(NonFiniteError, match="`a` became nan at step 0"):
            recorder.flush()
        assert list(rows(gate.blocks)) == [0]

    def test_it_may_go_on(self, make):
        recorder, blocks = make(ONE, fail_on_nonfinite=False)
        for value in (1.0, math.nan, math.inf, 2.0):
            recorder.write([torch.tensor(value)])
        recorder.flush()
        assert str(rows(blocks)) == "{0: [1.0], 1: [nan], 2: [inf], 3: [2.0]}"


def write_and_flush(recorder, steps):
    for values in steps:
        recorder.write(values)
    recorder.flush()


class TestWhatIsComputedAgain:
    def test_is_not_written_again(self, make):
        told = []
        recorder, blocks = make(recorded=[recorded(5, 8), recorded(8, 12)], on_block=told.append)
        recorder.begin(5)
        for step in range(5, 20):
            recorder.write(row(step))
            if step in (6, 9, 10, 14):
                recorder.flush()
        recorder.flush()
        assert [block.first_step for block in blocks] == [12, 15]
        assert rows(blocks) == {step: numbers(step) for step in range(12, 20)}
        assert list(rows(told)) == list(range(5, 20))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_is_equal_to_what_a_journal_has(self, make, tmp_path, dtype):
        with Journal(tmp_path / "journal") as file:
            first, _ = make(journal=file.values, dtype=dtype)
            write_and_flush(first, [row(step, dtype) for step in range(30)])
        kept = [frame for frame, _ in read(tmp_path / "journal") if isinstance(frame, Values)]
        again, blocks = make(dtype=dtype, recorded=kept)
        write_and_flush(again, [row(step, dtype) for step in range(31)])
        assert list(rows(blocks)) == [30]

    def test_and_differs_is_an_error(self, make):
        close = np.nextafter(np.float32(numbers(7)[1]), np.float32(1)).item()
        recorder, blocks = make(recorded=[recorded(5, 9, {(7, 1): close})])
        recorder.begin(5)
        with pytest.raises(MismatchError) as caught:
            write_and_flush(recorder, [row(step) for step in range(5, 20)])
        assert caught.value.message == (
            f"`generator/total` at step 7 is {numbers(7)[1]!r}, and was {close!r} when it was recorded"
        )
        assert isinstance(caught.value, RunError)
        assert "--allow-drift" in caught.value.hint
        assert blocks == []

    def test_and_differs_in_its_sign_alone_is_an_error(self, make):
        recorder, _ = make(recorded=[recorded(1, 2, {(1, 2): -0.0})])
        recorder.begin(1)
        recorder.write(row(1))
        with pytest.raises(MismatchError, match=r"gradient_norm` at step 1 is 0\.0, and was -0\.0"):
            recorder.flush()

    def test_and_is_not_a_number_both_times_is_equal(self, make):
        recorder, blocks = make(recorded=[recorded(0, 1, {(0, 0): math.nan})], fail_on_nonfinite=False)
        write_and_flush(recorder, [[torch.tensor(math.nan), *row(0)[1:]], row(1)])
        assert list(rows(blocks)) == [1]

    def test_and_is_not_finite_fails_again(self, make):
        recorder, blocks = make(recorded=[recorded(5, 8, {(7, 0): math.inf})])
        recorder.begin(5)
        bad = [torch.tensor(math.inf), *row(7)[1:]]
        with pytest.raises(NonFiniteError) as caught:
            write_and_flush(recorder, [row(5), row(6), bad, row(8)])
        assert caught.value.step == 7
        assert blocks == []

    def test_may_differ_if_that_is_tolerated(self, make):
        told = []
        changed = [recorded(5, 9, {(6, 0): 1.5, (8, 1): 2.5})]
        recorder, blocks = make(recorded=changed, tolerate=told.append)
        recorder.begin(5)
        for step in range(5, 12):
            recorder.write(row(step))
            recorder.flush()
        assert told == [f"`generator/loss` at step 6 is {numbers(6)[0]!r}, and was 1.5 when it was recorded"]
        assert rows(blocks) == {step: numbers(step) for step in range(9, 12)}


class TestHostReads:
    def test_the_trap_catches_one(self):
        with HostReads() as reads:
            torch.tensor(1.0).item()
        assert reads.count == 1

    def test_there_is_none_in_the_training_s_thread(self, make):
        recorder, blocks = make()
        with HostReads() as reads:
            for step in range(2 * BLOCK_ROWS):
                value = torch.full((), float(step))
                recorder.write([value, value, value if step % 10 == 0 else None])
            recorder.flush()
        assert reads.count == 0
        assert [len(block.values) for block in blocks] == [BLOCK_ROWS, BLOCK_ROWS]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestOnCuda:
    """The copy to the host runs beside the training, and is not read before it is there."""

    def test_no_step_waits_for_the_device(self, make):
        recorder, blocks = make(ONE, device=torch.device("cuda"))
        values = torch.arange((BLOCKS - 1) * BLOCK_ROWS, device="cuda", dtype=torch.float32).unbind()
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for value in values:
                recorder.write([value])
        finally:
            torch.cuda.set_sync_debug_mode("default")
        recorder.flush()
        assert rows(blocks) == {step: [float(step)] for step in range(len(values))}

    def test_what_is_still_being_computed_is_recorded_once_it_is(self, make):
        recorder, blocks = make(ONE, device=torch.device("cuda"))
        value = torch.zeros((), device="cuda")
        for _ in range(2):
            torch.cuda._sleep(200_000_000)  # cycles of the device; the host is far ahead
            for _ in range(BLOCK_ROWS):
                value = value + 1
                recorder.write([value])
        recorder.flush()
        assert rows(blocks) == {step: [step + 1.0] for step in range(2 * BLOCK_ROWS)}

    def test_a_device_that_lags_behind_overwrites_nothing(self, make):
        recorder, blocks = make(ONE, device=torch.device("cuda"))
        value = torch.zeros((), device="cuda")
        torch.cuda._sleep(500_000_000)
        for _ in range((BLOCKS + 3) * BLOCK_ROWS):
            value = value + 1
            recorder.write([value])
        recorder.flush()
        assert rows(blocks) == {step: [step + 1.0] for step in range((BLOCKS + 3) * BLOCK_ROWS)}
