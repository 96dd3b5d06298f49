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

from genloss.errors import RecordError, RequestError
from genloss.record.events import Column, ColumnsDeclared, Ended, Evaluated, Started, Status
from genloss.record.folder import ROOT, RunFolder, StudyFolder, latest_study, read_state, values_from
from genloss.record.frame import Values
from genloss.record.journal import Journal
from genloss.record.owner import this_process
from tests.tracking.studies import write_study


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
        assert sorted(path.name for path in root.iterdir()) == [".gitignore", *names]

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

    def test_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(RecordError, match=r"no study can be kept in `.*/file`: File exists"):
            StudyFolder.create("gan", tmp_path / "file")
        with pytest.raises(RecordError, match=r"no study can be kept in `.*`: Not a directory"):
            StudyFolder.create("gan", tmp_path / "file" / "x")

    def test_keeps_what_the_study_is(self, tmp_path):
        folder = StudyFolder.create("gan", tmp_path)
        written = write_study(tmp_path).read()
        folder.write(written)
        folder.write({**written, "note": "ε"})
        assert folder.read() == {**written, "note": "ε"}
        assert json.loads(folder.study.read_text())["note"] == "ε"

    @pytest.mark.parametrize("content", [None, b"", b'{"study": ', b"\xff", b"null", b"[]", b"7"])
    def test_that_cannot_be_read(self, tmp_path, content):
        folder = StudyFolder.create("gan", tmp_path)
        if content is not None:
            folder.study.write_bytes(content)
        with pytest.raises(RecordError, match=r"study\.json` cannot be read: "):
            folder.read()

    @pytest.mark.parametrize("content", [{}, {"runs": 3}, {"runs": ["a-0"]}, {"runs": [{}]}])
    def test_whose_runs_are_not_known(self, tmp_path, content):
        folder = StudyFolder.create("gan", tmp_path)
        folder.write(content)
        with pytest.raises(RecordError, match=r"study\.json` does not say what its runs are"):
            folder.unfinished()

    @pytest.mark.parametrize("name", ["../../x", "/x", "..", ".", "", "x/y"])
    def test_no_run_lies_elsewhere(self, tmp_path, name):
        folder = StudyFolder.create("gan", tmp_path)
        folder.write({"runs": [{"name": name}]})
        with pytest.raises(RecordError, match="which is not a name of a folder in it"):
            folder.unfinished()

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
        assert latest.name == "b"

    @pytest.mark.parametrize("name", ["gan", ".genloss/gan", "./.genloss/gan"])
    def test_is_found_by_name_or_path(self, tmp_path, monkeypatch, name):
        monkeypatch.chdir(tmp_path)
        StudyFolder.create("gan").write({})
        assert StudyFolder.find(name).path == ROOT / "gan"

    def test_is_found_from_within(self, tmp_path, monkeypatch):
        folder = StudyFolder.create("gan", tmp_path)
        folder.write({})
        monkeypatch.chdir(folder.path)
        assert StudyFolder.find("./").name == "gan"

    @pytest.mark.parametrize("name", ["gam", "", ".", "..", "/", "x/gan", "gan/..", "gan\0"])
    def test_that_is_not_there(self, tmp_path, monkeypatch, name):
        monkeypatch.chdir(tmp_path)
        StudyFolder.create("gan").write({})
        (tmp_path / "gam").mkdir()
        (tmp_path / "gam" / "study.json").touch()  # a plain name is none of a folder here
        with pytest.raises(RequestError, match=r"there is no study `.*` in this folder"):
            StudyFolder.find(name)

    def test_a_name_that_is_misspelt_is_answered_with_what_was_meant(self, tmp_path):
        StudyFolder.create("gan", tmp_path).write({})
        with pytest.raises(RequestError) as caught:
            StudyFolder.find("gna", tmp_path)
        assert caught.value.hint == "did you mean `gan`?"

    def test_has_runs_that_have_not_finished(self, tmp_path):
        folder = StudyFolder.create("gan", tmp_path)
        statuses = {"a-0": ["FINISHED"], "b-0": ["FAILED"], "c-0": [], "d-0": ["FINISHED", "start"]}
        folder.write({"runs": [{"name": name} for name in [*statuses, "waiting"]]})
        for name, events in statuses.items():
            folder.run(name).path.mkdir()
            with Journal(folder.run(name).journal) as journal:
                for event in events:
                    if event == "start":
                        journal.event(Started())
                    else:
                        journal.event(Ended(status=Status(event)))
        assert folder.unfinished() == ["b-0", "c-0", "d-0", "waiting"]

    def test_knows_its_launcher_while_it_lives_and_when_it_has_died(self, tmp_path):
        folder = StudyFolder.create("gan", tmp_path)
        assert not folder.is_alive()
        with folder.locked():
            assert folder.is_alive()
            assert not folder.has_crashed()
            assert folder.owner() == this_process()
            with pytest.raises(RecordError, match=rf"process {os.getpid()} on \S+ is at study `gan`"):
                folder.locked().__enter__()
        assert not folder.is_alive()
        assert not folder.has_crashed()
        folder.lock.write_text(json.dumps(asdict(this_process())))
        assert folder.has_crashed()

    def test_knows_what_is_not_shipped(self, tmp_path):
        folder = StudyFolder.create("gan", tmp_path)
        run = folder.run("wgan-0")
        run.path.mkdir()
        assert folder.pending() == 0
        with Journal(run.journal) as journal:
            size = run.journal.stat().st_size
            assert folder.pending() == 0
            cursor = {"run_id": "1", "journal": journal.id, "offset": size}
            run.shipped.write_text(json.dumps(cursor))
            journal.event(Started())
            written = run.journal.stat().st_size - size
            assert folder.pending() == written
        run.shipped.write_text(json.dumps({**cursor, "offset": size + written}))
        assert folder.pending() == 0
        with run.journal.open("ab") as file:
            file.write(b"torn")
        assert folder.pending() == 0
        run.shipped.write_text(json.dumps({**cursor, "journal": "another", "offset": size + written}))
        assert folder.pending() == written
        run.shipped.write_text(json.dumps({**cursor, "deleted": True}))
        assert folder.pending() == 0


class TestLock:
    def test_holds_and_goes(self, run):
        with run.locked(), pytest.raises(RecordError) as caught, run.locked():
            pytest.fail("two hold the lock")
        assert caught.value.message == f"{this_process()} trains in `{run.path}`"
        assert not run.is_trained()
        with run.locked():
            assert run.is_trained()

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
            with pytest.raises(RecordError, match=f"process {holder.pid} on .* trains in"), run.locked():
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
            journal.event(ColumnsDeclared(columns=tuple(columns)))
            journal.event(Ended(status=Status.INTERRUPTED))
            journal.values(values(0, 3))
            journal.event(Evaluated(step=3, values={"eval/recall": 0.5}))
            journal.event(Evaluated(step=3, values={"eval/precision": 0.25}))
            journal.values(values(3, 4))
            journal.event(Evaluated(step=7, values={"eval/recall": 1.0}))
            journal.event(Ended(status=Status.FINISHED))
        record = read_state(run)
        assert (record.status, record.message) == ("FINISHED", "")
        assert record.columns == tuple(columns)
        assert [block.first_step for block in values_from(run, 0)] == [0, 3]
        assert record.steps == 7
        assert record.evaluations == {
            3: {"eval/recall": 0.5, "eval/precision": 0.25},
            7: {"eval/recall": 1.0},
        }
        assert record.final == {"eval/recall": 1.0}
        assert 0 <= record.seconds < 60

    def test_the_duration_is_that_of_all_attempts(self, run, monkeypatch):
        clock = iter([1000, 4250, 60_000, 60_500])
        monkeypatch.setattr("genloss.record.journal.now", lambda: next(clock))
        with Journal(run.journal) as journal:
            journal.event(Started())
            journal.event(Ended(status=Status.INTERRUPTED))
            journal.event(Started())
            journal.event(Ended(status=Status.FINISHED))
        record = read_state(run)
        assert record.seconds == 3.25 + 0.5
        assert (record.attempts, record.last, record.status) == (2, 60_500, "FINISHED")

    def test_a_run_that_was_started_again_runs(self, run):
        with Journal(run.journal) as journal:
            journal.event(Ended(status=Status.FAILED, message="planted", hint="dig"))
            journal.event(Started())
        record = read_state(run)
        assert (record.status, record.message, record.hint) == ("RUNNING", "", "")

    def test_the_values_from_a_step_on(self, run):
        with Journal(run.journal) as journal:
            for first in (0, 3, 7):
                journal.values(values(first, 4 if first else 3))
        for step, firsts in ((0, [0, 3, 7]), (3, [3, 7]), (5, [5, 7]), (11, [])):
            found = values_from(run, step)
            assert [block.first_step for block in found] == firsts
            assert sum(len(block.values) for block in found) == 11 - step
            assert all(len(block.values) == len(block.timestamps) for block in found)
        assert read_state(run).steps == 11

    def test_of_a_run_that_has_not_begun(self, run):
        record = read_state(run)
        assert (record.status, record.steps, record.final, record.seconds) == ("RUNNING", 0, {}, 0.0)

    def test_of_a_run_that_failed(self, run):
        with Journal(run.journal) as journal:
            journal.event(Ended(status=Status.FAILED, message="`total` became nan"))
        record = read_state(run)
        assert (record.status, record.message) == ("FAILED", "`total` became nan")

    def test_of_a_run_that_was_torn_off(self, run):
        with Journal(run.journal) as journal:
            journal.values(values(0, 3))
            journal.event(Ended(status=Status.FINISHED))
        run.journal.write_bytes(run.journal.read_bytes()[:-1])
        record = read_state(run)
        assert (record.status, record.steps) == ("RUNNING", 3)

    def test_of_a_run_that_is_damaged(self, run):
        with Journal(run.journal) as journal:
            journal.values(values(0, 3))
            journal.event(Ended(status=Status.FINISHED))
        content = bytearray(run.journal.read_bytes())
        content[40] ^= 0xFF
        run.journal.write_bytes(content)
        with pytest.raises(RecordError, match=r"is damaged at byte \d+; "):
            read_state(run)
