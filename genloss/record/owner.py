"""Who holds a lock file: a process that is known by its host, its number and the time it was started.

The lock is released with the process, however that ends; processes that it has forked do not keep it. A
process
that ends normally empties the file: a non-empty lock file that nobody holds means its owner crashed.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from genloss.errors import RecordError
from genloss.record.files import Descriptor
from genloss.record.parsing import Fields, read_json

LOCK_SECONDS = 5.0
"""Seconds to wait for a lock. Even checking whether it is held takes it briefly."""

BOOT = Path("/proc/sys/kernel/random/boot_id")

_files: set[IO[str]] = set()
"""The lock files that this process holds."""


def _let_go() -> None:
    """What a forked process does first: a lock is free when all that have the file open have closed it."""
    for file in _files:
        file.close()
    _files.clear()


os.register_at_fork(after_in_child=_let_go)


@dataclass(frozen=True)
class Owner:
    """A process, as another one may know it again.

    Attributes:
        host: the machine's name.
        process: its number there.
        started: when it was started, in the system's own words: numbers are given again.
    """

    host: str
    process: int
    started: str

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"

    def is_running(self) -> bool:
        """Return whether it is a process of this machine, and that very one."""
        return self.host == platform.node() and self.started == _started(self.process) != ""

    def kill(self) -> bool:
        """End it at once, if it is running and ours to end."""
        if not self.is_running():
            return False
        try:
            os.kill(self.process, signal.SIGKILL)
        except OSError:
            return False
        return True


def this_process() -> Owner:
    """The process that asks."""
    return Owner(platform.node(), os.getpid(), _started(os.getpid()))


def read(path: Path) -> Owner | None:
    """The owner named by a lock file; None if there is no file, or its last owner ended normally."""
    try:
        said = Fields(read_json(path))
        return Owner(said.text("host"), said.count("process", least=1, most=2**31 - 1), said.text("started"))
    except RecordError:
        return None


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock now."""
    try:
        with path.open(encoding="utf-8") as file:
            return not _locked(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


@contextmanager
def held(path: Path, what: str, patience: float = 0.0) -> Iterator[Callable[[], None]]:
    """Hold a lock file, and write its owner into it.

    Yields a function to call when work begins. An error after that call leaves this owner in the file, as the
    end was not orderly. An error before it leaves the previous content unchanged.

    Args:
        path: the file; made where there is none.
        what: what its holder does, for the message: `process 7 on this-host` + what.
        patience: seconds to wait for another holder. To look whether a lock is held takes it for a moment.

    Raises:
        RecordError: another process holds it, it cannot be made, or the file system has no locks.
    """
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise RecordError(f"`{path}` cannot be locked: {error.strerror}") from error
    with file:
        deadline = time.monotonic() + patience
        while not _locked(file, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                raise RecordError(f"{read(path) or 'another process'} {what}")
            time.sleep(0.05)
        before = read(path)
        _files.add(file)
        descriptor = Descriptor(file.fileno())
        _write(file, this_process())
        begun = False

        def begin() -> None:
            nonlocal begun
            begun = True

        try:
            yield begin
        except BaseException:  # also Ctrl-C: what did not begin leaves no word of itself
            if not begun and descriptor.is_own():
                _write(file, before)
            raise
        else:
            if descriptor.is_own():
                _write(file, None)
        finally:
            _files.discard(file)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait for a lock file that is only of use while it is held, and remove it afterwards."""
    while True:
        file = path.open("w", encoding="utf-8")
        fcntl.flock(file, fcntl.LOCK_EX)
        # Who held it before has removed it: this may be a file without a name by now.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()
    try:
        yield
    finally:
        path.unlink()
        file.close()


def _locked(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise RecordError(
            f"`{file.name}` cannot be locked: {error.strerror}",
            hint="its file system has no locks: work in a folder of a local disk",
        ) from error
    return True


def _write(file: IO[str], owner: Owner | None) -> None:
    if file.closed:  # in a forked process, which comes to the end of what it was forked from
        return
    with suppress(OSError):  # a full disk: the lock holds without words, too
        os.ftruncate(file.fileno(), 0)
        if owner is not None:
            os.write(file.fileno(), json.dumps(asdict(owner)).encode())


def _started(process: int) -> str:
    """When a process was started; empty where there is none."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        # After the command's name, which may hold anything, the 20th field counts ticks since the boot.
        return f"{BOOT.read_text(encoding='utf-8').strip()} {stat.rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return ""
    listing = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(process)],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    return listing.stdout.strip()
