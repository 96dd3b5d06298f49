"""Lock files, and whom they name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from genloss.errors import RecordError
from genloss.record import owner
from genloss.record.owner import Owner, this_process

HOLD = """
import pathlib, sys, time
from genloss.record import owner

with owner.held(pathlib.Path(sys.argv[1]), "holds it"):
    print("held", flush=True)
    time.sleep(600)
"""


def hold(path: Path) -> subprocess.Popen[bytes]:
    """A process that holds a lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    process.stdout.close()
    return process


def test_this_process_runs_and_another_of_its_number_does_not() -> None:
    this = this_process()
    assert this.process == os.getpid()
    assert this.is_running()
    assert not replace(this, started="when the earth was young").is_running()
    assert not replace(this, started="").is_running()
    assert not replace(this, host="elsewhere").is_running()
    assert not replace(this, process=2**22 + 1, started="").is_running()
    assert str(replace(this, host="here")) == f"process {os.getpid()} on here"


def test_a_lock_says_who_holds_it_while_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not owner.is_held(path)
    assert owner.read(path) is None
    with owner.held(path, "holds it"):
        assert owner.is_held(path)
        assert owner.read(path) == this_process()
    assert not owner.is_held(path)
    assert path.read_text() == ""


def test_an_error_leaves_what_the_file_said(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text('{"host": "h", "process": 1, "started": "then"}')
    with pytest.raises(ZeroDivisionError), owner.held(path, "holds it"):
        raise ZeroDivisionError
    assert owner.read(path) == Owner("h", 1, "then")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b'{"host": "h"}', b"\xff", b"7"])
def test_words_that_name_nobody(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lock"
    path.write_bytes(content)
    assert owner.read(path) is None
    with owner.held(path, "holds it"):
        assert owner.read(path) == this_process()


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "lock"
    with pytest.raises(RecordError, match="lock` cannot be locked: No such file or directory"):
        owner.held(path, "holds it").__enter__()
    assert not owner.is_held(path)


def test_a_process_that_dies_leaves_its_name_and_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = hold(path)
    with pytest.raises(RecordError, match=f"process {holder.pid} on .* holds it"):
        owner.held(path, "holds it").__enter__()
    found = owner.read(path)
    assert found is not None
    assert found.process == holder.pid
    assert found.is_running()
    assert found.kill()
    assert holder.wait() == -signal.SIGKILL
    assert not found.is_running()
    assert not found.kill()
    assert not owner.is_held(path)
    assert owner.read(path) == found


def test_a_lock_may_be_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    began = threading.Event()

    def briefly() -> None:
        with owner.held(path, "holds it"):
            began.set()
            time.sleep(0.2)

    thread = threading.Thread(target=briefly)
    thread.start()
    began.wait()
    with owner.held(path, "holds it", patience=10):
        assert owner.read(path) == this_process()
    thread.join()


FORK = """
import os, pathlib, sys, time
from genloss.record import owner

with owner.held(pathlib.Path(sys.argv[1]), "holds it"):
    if forked := os.fork():
        if sys.argv[2] == "ends":
            os.waitpid(forked, 0)
            print(forked, flush=True)
        time.sleep(600)
    elif sys.argv[2] == "stays":
        print(os.getpid(), flush=True)
        time.sleep(600)
"""


@pytest.mark.parametrize("forked", ["stays", "ends"])
def test_forked_processes_have_no_part_in_the_lock(tmp_path: Path, forked: str) -> None:
    """Neither one that outlives who holds it, nor one that comes to the end of what it was forked from."""
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", FORK, path, forked], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    process = int(holder.stdout.readline())
    holder.stdout.close()
    try:
        found = owner.read(path)
        assert found is not None
        assert found.process == holder.pid
        assert owner.is_held(path)
        holder.kill()
        holder.wait()
        assert not owner.is_held(path)
    finally:
        holder.kill()
        if forked == "stays":
            os.kill(process, signal.SIGKILL)
