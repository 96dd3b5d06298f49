"""The journal gives back what was appended, bit for bit, and notices what a crash or a disk did to it."""

import gzip
import math
import os
import struct
import subprocess
import sys
import textwrap
import threading
import zlib

import numpy as np
import pytest

from genloss.errors import RecordError
from genloss.record import journal
from genloss.record.events import Column, ColumnsDeclared, Ended, Evaluated, Event, Status, Unknown
from genloss.record.frame import Values
from genloss.record.journal import HEAD, MAGIC, Damaged, Journal, identity, read

NEGATIVE_NAN = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_0001))[0]
AWKWARD = [math.nan, NEGATIVE_NAN, math.inf, -math.inf, -0.0, 0.0, 5e-324, 1.7976931348623157e308, 0.1]


def block(first_step=0, rows=2, columns=3, start=1_700_000_000_000):
    return Values(
        first_step,
        np.arange(start, start + rows, dtype=np.int64),
        np.arange(rows * columns, dtype=np.float64).reshape(rows, columns) + first_step,
    )


def same(one, other):
    return (
        one.first_step == other.first_step
        and one.timestamps.tobytes() == other.timestamps.tobytes()
        and one.values.shape == other.values.shape
        and one.values.tobytes() == other.values.tobytes()
    )


def summary(path, offset=0, **how):
    """The names of events and the first steps of values."""
    frames = read(path, offset, **how)
    return [_name(frame) if isinstance(frame, Event) else frame.first_step for frame, _ in frames]


def _name(event: Event) -> str:
    return event.name if isinstance(event, Unknown) else event.NAME


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def written(path):
    """A journal of four frames, and the offsets where they end."""
    with Journal(path) as file:
        file.event(ColumnsDeclared(columns=tuple(Column(key) for key in "abc")))
        file.values(block(0))
        file.values(block(2))
        file.event(Ended(status=Status.FINISHED))
    return path, [HEAD.size, *(end for _, end in read(path))]


class TestRoundTrip:
    def test_values_are_exact(self, path):
        values = Values(
            2**40,
            np.array([0, 1_700_000_000_000, 253_402_300_799_999], dtype=np.int64),
            np.array([AWKWARD, AWKWARD[::-1], [1 / 3] * 9]),
        )
        with Journal(path) as file:
            file.values(values)
        ((read_back, _),) = read(path)
        assert same(read_back, values)
        assert read_back.values.dtype == np.float64
        assert read_back.timestamps.dtype == np.int64

    def test_values_that_lie_otherwise_in_memory(self, path):
        table = np.arange(6, dtype=">f8").reshape(3, 2).T
        with Journal(path) as file:
            file.values(Values(0, np.array([1, 2], dtype=">i8"), table))
            file.values(Values(2, np.array([3, 4], dtype=np.int32), table.astype(np.float32)))
        (first, _), (second, _) = read(path)
        assert first.values.tolist() == second.values.tolist() == [[0, 2, 4], [1, 3, 5]]
        assert (first.timestamps.tolist(), second.timestamps.tolist()) == ([1, 2], [3, 4])

    def test_no_rows(self, path):
        with Journal(path) as file:
            file.values(Values(7, np.empty(0, np.int64), np.empty((0, 3))))
        with pytest.raises(Damaged, match="its values are not as many as it says"):
            list(read(path))

    def test_events_have_their_content_and_the_time(self, path):
        before = journal.now()
        with Journal(path) as file:
            file.event(Evaluated(step=3, values={"eval/é": 0.1, "x": math.inf}))
        ((event, _),) = read(path)
        assert event == Evaluated(step=3, values={"eval/é": 0.1, "x": math.inf}, time=event.time)
        assert before <= event.time <= journal.now()

    def test_a_value_of_an_event_that_is_not_a_number(self, path):
        with Journal(path) as file:
            file.event(Evaluated(step=3, values={"x": math.nan}))
        ((event, _),) = read(path)
        assert math.isnan(event.values["x"])

    def test_columns(self, path):
        columns = [Column("generator/total"), Column("generator/r1", every=16)]
        with Journal(path) as file:
            file.event(ColumnsDeclared(columns=tuple(columns)))
        ((event, _),) = read(path)
        assert event.columns == tuple(columns)

    def test_a_new_journal_has_its_id_alone(self, path):
        with Journal(path) as file:
            assert identity(path) == file.id
        assert path.stat().st_size == HEAD.size
        assert list(read(path)) == []

    def test_an_id_is_the_journals_own_and_stays(self, path, tmp_path):
        with Journal(path) as file, Journal(tmp_path / "other") as other:
            assert file.id != other.id
        for _ in range(2):
            with Journal(path) as again:
                assert again.id == file.id

    def test_the_format_is_that_of_the_docstring(self, path):
        """So that what was written once can be read by later versions."""
        with Journal(path) as file:
            file.values(Values(5, np.array([7], dtype=np.int64), np.array([[0.5, -2.0]])))
        head = struct.pack("<16sI", bytes.fromhex(file.id), zlib.crc32(bytes.fromhex(file.id)))
        payload = struct.pack("<QIIqdd", 5, 1, 2, 7, 0.5, -2.0)
        header = struct.pack("<IBI", len(payload), 2, zlib.crc32(payload))
        assert path.read_bytes() == (
            b"genloss journal 2\n" + head + header + struct.pack("<I", zlib.crc32(header)) + payload
        )


class TestAppending:
    def test_goes_on_where_it_ended(self, written):
        path, ends = written
        with Journal(path) as file:
            file.values(block(4))
        assert summary(path) == ["columns", 0, 2, "status", 4]
        assert [end for _, end in read(path)][:-1] == ends[1:]

    def test_what_is_appended_is_there_at_once(self, path):
        with Journal(path) as file:
            file.event(Unknown(name="first"))
            assert summary(path) == ["first"]
            file.values(block(3))
            assert summary(path) == ["first", 3]

    def test_reading_goes_on_at_any_frame(self, written):
        path, ends = written
        frames = ["columns", 0, 2, "status"]
        for number, end in enumerate(ends):
            assert summary(path, end) == frames[number:]
        assert summary(path) == summary(path, 0) == frames
        assert ends[-1] == path.stat().st_size

    def test_a_reader_sees_frames_as_they_come(self, path):
        offset, seen = 0, []
        with Journal(path) as file:
            for step in range(5):
                file.values(block(2 * step))
                ((frame, offset),) = read(path, offset)
                seen.append(frame.first_step)
        assert seen == [0, 2, 4, 6, 8]

    def test_syncs_by_itself_and_when_it_is_asked_to(self, path, monkeypatch):
        synced = []
        monkeypatch.setattr(os, "fsync", synced.append)
        monkeypatch.setattr(journal, "SYNC_SECONDS", 3600)
        with Journal(path) as file:
            assert len(synced) == 1  # the file's name
            synced.clear()
            file.event(Unknown(name="a"))
            assert len(synced) == 0
            file.sync()
            assert len(synced) == 1
            monkeypatch.setattr(journal, "SYNC_SECONDS", 0)
            file.event(Unknown(name="b"))
            assert len(synced) == 2
        assert len(synced) == 3


class TestTornOff:
    @pytest.mark.parametrize("last", ["event", "values"])
    def test_at_every_byte_of_the_last_frame(self, path, last):
        with Journal(path) as file:
            file.event(ColumnsDeclared(columns=tuple(Column(key) for key in "ab")))
            file.values(block(0, columns=2))
            start = path.stat().st_size
            if last == "event":
                file.event(Ended(status=Status.FINISHED))
            else:
                file.values(block(2, rows=2, columns=2))
        whole = path.read_bytes()
        for length in range(start, len(whole)):
            path.write_bytes(whole[:length])
            assert summary(path) == ["columns", 0]
            with Journal(path) as file:
                assert path.stat().st_size == start
                file.event(Unknown(name="again"))
            assert summary(path) == ["columns", 0, "again"]
        path.write_bytes(whole)
        assert len(summary(path)) == 3

    def test_at_every_byte_of_the_beginning(self, path):
        Journal(path).close()
        head = path.read_bytes()
        for length in range(HEAD.size):
            path.write_bytes(head[:length])
            assert summary(path) == []
            with Journal(path) as file:
                file.event(Unknown(name="first"))
            assert summary(path) == ["first"]
            assert identity(path) != head[len(MAGIC) :][:16].hex()

    @pytest.mark.parametrize("tail", [bytes(1), bytes(4096), b"\x00\x00\xff" * 50])
    def test_an_end_that_was_never_written_is_cut_away(self, written, tail):
        """A power cut may leave a file as long as it was to be, with anything in it."""
        path, ends = written
        with path.open("ab") as file:
            file.write(tail)
        assert summary(path) == ["columns", 0, 2, "status"]
        Journal(path).close()
        assert path.stat().st_size == ends[-1]

    def test_a_last_frame_that_is_not_what_was_written_is_cut_away(self, written):
        path, ends = written
        damaged = bytearray(path.read_bytes())
        for place in range(ends[3], ends[4]):
            damaged[place] ^= 0xFF
            path.write_bytes(damaged)
            assert summary(path) == ["columns", 0, 2]
            damaged[place] ^= 0xFF

    def test_a_reader_waits_for_the_rest(self, written):
        path, ends = written
        whole = path.read_bytes()
        path.write_bytes(whole[: ends[3] + 5])
        frames = list(read(path))
        assert frames[-1][1] == ends[3]
        path.write_bytes(whole)
        assert summary(path, frames[-1][1]) == ["status"]


class TestDamaged:
    @pytest.mark.parametrize("frame", [1, 2], ids=["first block", "second block"])
    def test_at_every_byte_of_a_middle_frame(self, written, frame):
        path, ends = written
        whole = path.read_bytes()
        for place in range(ends[frame], ends[frame + 1]):
            for flip in (0x01, 0x80, 0xFF):
                damaged = bytearray(whole)
                damaged[place] ^= flip
                path.write_bytes(damaged)
                before = []
                with pytest.raises(Damaged) as caught:
                    before.extend(read(path))
                assert len(before) == frame
                kept = "2 to 3" if frame == 1 else "0 to 1"
                assert caught.value.message == (
                    f"the journal `{path}` is damaged at byte {ends[frame]}; "
                    f"the values of the steps {kept} can be read"
                )
                whole_frames = ["columns", 0, 2, "status"]
                whole_frames.pop(frame)
                assert summary(path, salvage=True) == whole_frames

    def test_its_id(self, written):
        path, _ = written
        damaged = bytearray(path.read_bytes())
        damaged[len(MAGIC) + 3] ^= 0x10
        path.write_bytes(damaged)
        for reading in (identity, lambda path: list(read(path)), Journal):
            with pytest.raises(Damaged, match="in its id"):
                reading(path)
        assert path.read_bytes() == damaged

    def test_which_steps_can_be_read(self, path):
        with Journal(path) as file:
            for step in range(0, 20, 2):
                file.values(block(step))
        ends = [end for _, end in read(path)]
        damaged = bytearray(path.read_bytes())
        for number in (2, 3, 7):
            damaged[ends[number] - 1] ^= 0xFF
        path.write_bytes(damaged)
        assert journal.readable_steps(path) == [range(0, 4), range(8, 14), range(16, 20)]
        with pytest.raises(Damaged, match="the steps 0 to 3 and 8 to 13 and 16 to 19 can be read"):
            list(read(path))

    def test_it_is_not_opened_to_append_and_nothing_is_cut_away(self, written):
        path, ends = written
        damaged = bytearray(path.read_bytes())
        for place in (ends[1] + 3, ends[1] + 20):  # in the length, in the payload
            damaged[place] ^= 0xFF
            path.write_bytes(damaged)
            with pytest.raises(RecordError, match="is damaged at byte"):
                Journal(path)
            assert path.read_bytes() == damaged

    def test_what_stands_behind_can_be_read_from_its_offset(self, written):
        path, ends = written
        damaged = bytearray(path.read_bytes())
        damaged[ends[1] + 20] ^= 0xFF
        path.write_bytes(damaged)
        assert summary(path, ends[2]) == [2, "status"]

    @pytest.mark.parametrize(
        "content",
        [b"x", b"genlosx", b"SQLite format 3\x00", b"genloss journal 1\n" + bytes(40), bytes(100), bytes(3)],
        ids=["one letter", "nearly", "SQLite", "another version", "zeros", "a few zeros"],
    )
    def test_a_file_of_another_kind_is_left_as_it_is(self, path, content):
        path.write_bytes(content)
        with pytest.raises(RecordError, match="is not a journal of this version of genloss"):
            list(read(path))
        with pytest.raises(RecordError, match="is not a journal of this version of genloss"):
            Journal(path)
        assert path.read_bytes() == content


def test_a_full_disk_leaves_whole_frames(path):
    """A limit on the size of files stands for the disk: the last frame is written in part, or not at all."""
    code = f"""
        import pathlib, resource, signal
        import numpy as np
        from genloss.errors import RecordError
        from genloss.record.events import Unknown
        from genloss.record.frame import Values
        from genloss.record.journal import Journal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        file = Journal(pathlib.Path({str(path)!r}))
        file.event(Unknown(name="first"))
        size = pathlib.Path({str(path)!r}).stat().st_size
        for room in (10, 0):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, resource.RLIM_INFINITY))
            try:
                file.values(Values(0, np.zeros(9, np.int64), np.zeros((9, 9))))
            except RecordError as error:
                print(error.message.removeprefix("the journal `{path}` "))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        file.event(Unknown(name="last"))
        file.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "could not be written: is the disk full?",
        "could not be written: File too large",
    ]
    assert summary(path) == ["first", "last"]


def test_a_killed_writer_leaves_all_that_it_appended(path):
    code = f"""
        import os, pathlib, signal
        from genloss.record.events import Warned
        from genloss.record.journal import Journal

        file = Journal(pathlib.Path({str(path)!r}))
        for number in range(100):
            file.event(Warned(message=str(number)))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == -9
    assert [int(event.message) for event, _ in read(path)] == list(range(100))


def test_two_threads_append_whole_frames(path):
    with Journal(path) as file:

        def write(first):
            for step in range(first, first + 2000, 2):
                file.values(block(step))

        threads = [threading.Thread(target=write, args=(first,)) for first in (0, 10_000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(summary(path)) == [*range(0, 2000, 2), *range(10_000, 12_000, 2)]


def test_a_compressed_copy_is_read_like_the_journal(written, tmp_path):
    path, ends = written
    copy = tmp_path / "journal.gz"
    journal.compress(path, copy)
    assert gzip.decompress(copy.read_bytes()) == path.read_bytes()
    assert summary(copy) == summary(path)
    assert summary(copy, ends[2]) == [2, "status"]
    assert identity(copy) == identity(path)
    first = copy.read_bytes()
    journal.compress(path, copy)
    assert copy.read_bytes() == first
    assert sorted(each.name for each in tmp_path.iterdir()) == ["journal", "journal.gz"]


def test_a_reader_can_wait_until_it_is_on_the_disk(written, monkeypatch):
    path, ends = written
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino) or fsync(file))
    assert journal.sync(path) == ends[-1]
    assert synced == [path.stat().st_ino]


def test_times_do_not_run_backwards_where_the_clock_was_put_back(path, monkeypatch):
    times = iter([5000, 4000, 3000])
    monkeypatch.setattr(journal, "now", lambda: next(times))
    with Journal(path) as file:
        file.event(Unknown(name="a"))
        file.event(Unknown(name="b"))
        file.values(Values(0, np.array([5500, 6000]), np.zeros((2, 1))))
    with Journal(path) as file:
        file.event(Unknown(name="c"))
    assert [frame.last for frame, _ in read(path)] == [5000, 5000, 6000, 6000]
