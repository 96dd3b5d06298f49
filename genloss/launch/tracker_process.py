"""The tracker's process, seen from the launcher."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from genloss.errors import TrackingError
from genloss.launch import subprocesses
from genloss.record.folder import StudyFolder
from genloss.tracking import address
from genloss.tracking.messages import Message

PATIENCE = 60.0
"""Seconds in which MLflow does not answer, after training, until a study ends without it."""

SILENCE = 300.0
"""Seconds in which the tracker says nothing: more than its longest call takes, a large file's upload."""

MOST_STARTS = 5
"""How often it is started in all, if it dies."""

REST = 1.0
"""Seconds between a death and the next start; each time twice as long."""


class TrackerProcess:
    """Runs the tracker beside the training; starts it again if it dies.

    Args:
        folder: the study's.
        note: told what the user should know.
        uri: the store's address, relative to where the study was run; the settings' by default.
        options: of the tracker's command line.
        progress: told how many values are shipped, and how many bytes of the journals are left.
        waiting: what goes on while MLflow does not answer.

    Attributes:
        error: why the store cannot be used at all, if it cannot.
        page: the comparison's address, if the store is a server.
    """

    def __init__(
        self,
        folder: StudyFolder,
        note: Callable[[str], None],
        *,
        uri: str | None = None,
        options: Sequence[str] = (),
        progress: Callable[[int, int], None] = lambda _values, _left: None,
        waiting: str = "training goes on, and it is asked again",
    ) -> None:
        self._folder = folder
        self._note = note
        self._environment = {} if uri is None else {address.SETTING: uri}
        self._options = options
        self._progress = progress
        self._waiting = waiting
        self._lock = threading.Lock()
        self._starts = 0
        self._closing = threading.Event()
        self._left_alone = threading.Event()
        self._heard = time.monotonic()
        self._shipped = self._waits = self._late = False
        self.page: str | None = None
        self.error: TrackingError | None = None

    def __enter__(self) -> Self:
        self._start()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it to itself if it is not done: it ships the rest, and end if MLflow does not answer."""
        self._left_alone.set()
        self._close()
        self._listener.join(timeout=1)

    def finish(self, give_up: Callable[[], bool]) -> bool:
        """Wait until all is shipped; False if nothing moves any more, or `give_up` says so.

        What it waits for is noted after a moment.
        """
        self._close()
        begin = self._heard = time.monotonic()
        said = False
        while self._listener.is_alive() and not give_up():
            now = time.monotonic()
            if now - self._heard > (PATIENCE if self._waits else SILENCE):
                self.stop()
                break
            if now - begin > 2 and not said:
                said = True
                self._note(
                    f"waiting up to {PATIENCE:.0f} s for MLflow; Ctrl-C stops waiting"
                    if self._waits
                    else "MLflow is given the rest; Ctrl-C stops waiting for it"
                )
            time.sleep(0.05)
        self._listener.join(timeout=1)
        return self._shipped

    def stop(self) -> None:
        """End the process; what it has not shipped is left."""
        with self._lock:
            self._left_alone.set()
            self._process.terminate()
        self._process.wait()

    def _start(self) -> None:
        """Start the process in the study's working folder, which the store's address may be relative to."""
        self._starts += 1
        path, cwd = self._folder.path.absolute(), self._folder.working_folder
        if cwd is not None:
            path = path.relative_to(cwd)
        with subprocesses.log(self._folder.path / "tracker.log") as log:
            self._process = subprocess.Popen(
                subprocesses.command(
                    "genloss.tracking.tracker", str(path), *subprocesses.parent(), *self._options
                ),
                env=subprocesses.environment(**self._environment),
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )

    def _close(self) -> None:
        """Tell the process that nothing more will be written."""
        with self._lock:
            self._closing.set()
            if self._process.stdin is not None:
                self._process.stdin.close()

    def _listen(self) -> None:
        """Hears the process to its end, and the one after it."""
        rest = REST
        while True:
            process = self._process
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    with suppress(ValueError):  # a line that death cut off
                        self._hear(json.loads(line))
            code = process.wait()
            if code == 0 or self._shipped or self.error or self._left_alone.is_set():
                return
            how = (
                f"was ended by {subprocesses.signal_name(code)}"
                if code < 0
                else f"ended with exit code {code}"
            )
            if self._starts == MOST_STARTS:
                self._note(f"the tracker {how}, for the {MOST_STARTS}th time; it is not started again")
                return
            self._note(f"the tracker {how}; it is started again")
            if self._left_alone.wait(rest):
                return
            rest *= 2
            with self._lock:
                if self._left_alone.is_set():
                    return
                if process.stdin is not None:
                    process.stdin.close()
                self._start()
                if self._closing.is_set() and self._process.stdin is not None:
                    self._process.stdin.close()

    def _hear(self, message: Mapping[str, Any]) -> None:
        event = message["event"]
        if event == Message.WAITING:
            if not self._waits:
                self._note(f"MLflow at {message['why']}; {self._waiting}")
            self._waits = self._late = True
            return
        self._heard = time.monotonic()
        self._waits = False
        if event == Message.READY:
            self._late, self.page = True, message["page"]
        elif event == Message.SHIPPED:
            self._progress(message["values"], message["left"])
        elif event == Message.NOTE:
            self._note(message["text"])
        elif event == Message.ERROR:
            self._fail(message["message"], message["hint"])
        elif event == Message.DONE:
            self._shipped = message["shipped"]

    def _fail(self, message: str, hint: str | None) -> None:
        """What comes to light late is no reason to end what is being trained."""
        if self._late:
            self._left_alone.set()
            self._note(f"{message}; MLflow is sent no more of it")
            if hint:
                self._note(f"  {hint}")
        else:
            self.error = TrackingError(message, hint=hint)
