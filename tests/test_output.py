"""Output that cannot be written ends nothing."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

FULL = Path("/dev/full")
needs_a_full_disk = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
PROTECTED = "from genloss import output; output.protect()\n"
EVERYTHING = """
import logging, sys, warnings
from rich.console import Console
print("x" * 10_000, flush=True)
print("x" * 10_000, file=sys.stderr)
warnings.warn("a warning")
logging.error("a message")
Console(stderr=True).print("rich")
with Console(stderr=True).status("rich"):
    pass
sys.stderr.buffer.write(b"bytes")
open(sys.argv[1], "w").write("done")
sys.exit(3)
"""


def run(code: str, *arguments: object, stdout: int, stderr: int) -> int:
    command = [sys.executable, "-c", PROTECTED + code, *map(str, arguments)]
    return subprocess.run(command, stdout=stdout, stderr=stderr, timeout=300).returncode


def without_reader() -> int:
    """A pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def without_terminal() -> int:
    """A terminal that was closed."""
    master, slave = os.openpty()
    os.close(master)
    return slave


@pytest.mark.parametrize("broken", [without_reader, without_terminal], ids=["pipe", "terminal"])
def test_a_process_whose_reader_is_gone_goes_on_to_its_end(tmp_path: Path, broken: Callable[[], int]) -> None:
    stream = broken()
    try:
        assert run(EVERYTHING, tmp_path / "end", stdout=stream, stderr=stream) == 3
    finally:
        os.close(stream)
    assert (tmp_path / "end").read_text() == "done"


@needs_a_full_disk
def test_a_process_goes_on_where_the_disk_takes_nothing(tmp_path: Path) -> None:
    with FULL.open("wb") as full:
        assert run(EVERYTHING, tmp_path / "end", stdout=full.fileno(), stderr=full.fileno()) == 3
    assert (tmp_path / "end").read_text() == "done"


def test_a_pipe_that_does_not_wait_gets_all_of_it() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    got = bytearray()

    def read() -> None:
        while block := os.read(reading, 65536):
            got.extend(block)

    reader = threading.Thread(target=read)
    reader.start()
    assert run("print('x' * 500_000)", stdout=writing, stderr=writing) == 0
    os.close(writing)
    reader.join()
    os.close(reading)
    assert len(got) == 500_001


def test_a_list_whose_reader_has_seen_enough_is_no_error() -> None:
    writing = without_reader()
    command = [sys.executable, "-m", "genloss", "list", "losses"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=300)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@needs_a_full_disk
def test_results_that_the_disk_does_not_take_are_an_error() -> None:
    with FULL.open("wb") as full:
        command = [sys.executable, "-m", "genloss", "--help"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr == "error: the output could not be written: No space left on device\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_line_is_there_at_once_for_whoever_reads_a_file_or_a_pipe(unbuffered: str) -> None:
    """As the address that `genloss ui` prints before it goes on for hours."""
    code = "from genloss.commands.terminal import say\nsay('the address')\ninput()"
    process = subprocess.Popen(
        [sys.executable, "-c", PROTECTED + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    assert process.stdout is not None
    try:
        assert select.select([process.stdout], [], [], 120)[0], "nothing has come"
        assert process.stdout.readline() == b"the address\n"
    finally:
        process.communicate(b"\n", timeout=300)
