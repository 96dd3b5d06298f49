"""Where studies and runs lie, who may train there, and what a run's record says."""

import json
import os
import subprocess
import sys
import textwrap
import threading
from dataclasses import asdict

import numpy as np
import pytest

from genloss.errors import RecordError
from genloss.record.folder import ROOT, RunFolder, StudyFolder, latest_study, read_record
from genloss.record.journal import Column, Journal, Values


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "wgan-0")
    folder.path.mkdir()
    return folder


class TestStudyFolder:
    def test_bears_the_studys_name_or_the_next_that_is_free(self, tmp_path):
        root = tmp_path / ".genloss"
        names = [StudyFolder.create("gan", root).name for _ in range(3)]
        assert names == ["gan", "gan-2", "gan-3"]
        assert sorted(path.name for path in root.iterdir()) == names

    def test_lies_in_the_working_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert StudyFolder.create("gan").path.resolve() == tmp_path / ROOT / "gan"

    def test_is_never_that_of_another_study(self, tmp_path):
        made, barrier = [], threading.Barrier(8)

        def create():
            barrier.wait()
            made.extend(StudyFolder.create("gan", tmp_path).name for _ in range(5))

        threads = [threading.Thread(target=create) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == len(set(made)) == 40
        assert set(made) == {"gan", *(f"gan-{number}" for number in range(2, 41))}

    def test_keeps_what_the_study_is(self, tmp_path):
        folder = StudyFolder.create("gan", tmp_path)
        folder.write({"study": "gan", "runs": [1]})
        folder.write({"study": "gan", "runs": [1, 2], "note": "ε"})
        assert folder.read() == {"study": "gan", "runs": [1, 2], "note": "ε"}
        assert json.loads(folder.study.read_text())["note"] == "ε"

    @pytest.mark.parametrize("content", [None, b"", b'{"study": ', b"\xff"])
    def test_that_cannot_be_read(self, tmp_path, content):
        folder = StudyFolder.create("gan", tmp_path)
        if content is not None:
            folder.study.write_bytes(content)
        with pytest.raises(RecordError, match=r"study\.json` cannot be read: "):
            folder.read()

    def test_has_the_runs_that_have_begun(self, tmp_path):
        folder = StudyFolder.create("gan", tmp_path)
        for name in ("wgan-1", "wgan-0", "waiting"):
            folder.run(name).path.mkdir()
        for name in ("wgan-1", "wgan-0"):
            Journal(folder.run(name).journal).close()
        assert folder.runs() == [folder.run("wgan-0"), folder.run("wgan-1")]

    def test_the_latest_is_the_one_begun_last(self, tmp_path):
        assert latest_study(tmp_path / "nothing") is None
        assert latest_study(tmp_path) is None
        for age, name in enumerate(["b", "a", "c"]):
            folder = StudyFolder.create(name, tmp_path)
            folder.write({"study": name})
            os.utime(folder.study, (1_700_000_000 - age, 1_700_000_000 - age))
        StudyFolder.create("without-study-json", tmp_path)
        (tmp_path / "cache").mkdir()
        latest = latest_study(tmp_path)
        assert latest is not None
        assert latest.read() == {"study": "b"}


class TestLock:
    def test_holds_and_goes(self, run):
        with run.locked(), pytest.raises(RecordError) as caught, run.locked():
            pytest.fail("two hold the lock")
        assert caught.value.message == f"another process trains in `{run.path}`"
        with run.locked():
            pass

    def test_goes_with_an_error(self, run):
        with pytest.raises(ValueError), run.locked():
            raise ValueError
        with run.locked():
            pass

    def test_keeps_another_process_out_until_it_dies(self, run):
        code = f"""
            import pathlib, sys
            from genloss.record.folder import RunFolder

            with RunFolder(pathlib.Path({str(run.path)!r})).locked():
                print("held", flush=True)
                sys.stdin.read()
        """
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(RecordError, match="another process trains in"), run.locked():
                pytest.fail("two processes hold the lock")
            holder.kill()
            holder.wait()
        with run.locked():
            pass


def values(first_step, rows):
    return Values(first_step, np.arange(rows) + 1_700_000_000_000, np.full((rows, 2), float(first_step)))


class TestReadRecord:
    def test_gathers_what_the_journal_says(self, run):
        columns = [Column("generator/total"), Column("generator/r1", every=16)]
        with Journal(run.journal) as journal:
            journal.event("columns", columns=[asdict(column) for column in columns])
            journal.event("status", status="RUNNING")
            journal.values(values(0, 3))
            journal.event("evaluation", step=3, values={"eval/recall": 0.5})
            journal.event("evaluation", step=3, values={"eval/precision": 0.25})
            journal.values(values(3, 4))
            journal.event("evaluation", step=7, values={"eval/recall": 1.0})
            journal.event("image", path="samples/step-7.png")
            journal.event("status", status="FINISHED")
        record = read_record(run)
        assert (record.status, record.message) == ("FINISHED", "")
        assert record.columns == columns
        assert [block.first_step for block in record.values] == [0, 3]
        assert record.steps == 7
        assert record.evaluations == {
            3: {"eval/recall": 0.5, "eval/precision": 0.25},
            7: {"eval/recall": 1.0},
        }
        assert record.final == {"eval/recall": 1.0}
        assert 0 <= record.duration < 60

    def test_the_duration_is_that_of_the_events(self, run, monkeypatch):
        clock = iter([1000, 1500, 4250])
        monkeypatch.setattr("genloss.record.journal.now", lambda: next(clock))
        with Journal(run.journal) as journal:
            journal.event("columns", columns=[])
            journal.event("evaluation", step=1, values={})
            journal.event("status", status="FINISHED")
        assert read_record(run).duration == 3.25

    def test_of_a_run_that_has_not_begun(self, run):
        record = read_record(run)
        assert (record.status, record.steps, record.final, record.duration) == ("RUNNING", 0, {}, 0.0)

    def test_of_a_run_that_failed(self, run):
        with Journal(run.journal) as journal:
            journal.event("status", status="FAILED", message="`total` became nan")
        record = read_record(run)
        assert (record.status, record.message) == ("FAILED", "`total` became nan")

    def test_of_a_run_that_was_torn_off(self, run):
        with Journal(run.journal) as journal:
            journal.values(values(0, 3))
            journal.event("status", status="FINISHED")
        run.journal.write_bytes(run.journal.read_bytes()[:-1])
        record = read_record(run)
        assert (record.status, record.steps) == ("RUNNING", 3)

    def test_of_a_run_that_is_damaged(self, run):
        with Journal(run.journal) as journal:
            journal.values(values(0, 3))
            journal.event("status", status="FINISHED")
        content = bytearray(run.journal.read_bytes())
        content[40] ^= 0xFF
        run.journal.write_bytes(content)
        with pytest.raises(RecordError, match="is damaged at byte 18"):
            read_record(run)
