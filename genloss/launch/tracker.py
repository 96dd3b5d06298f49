"""The tracker's process, as the launcher sees it."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Self

from genloss.errors import TrackingError
from genloss.launch import children
from genloss.record.folder import StudyFolder

PATIENCE = 60.0
"""Seconds without anything shipped, after training, until a study ends without it."""


class TrackerProcess:
    """Runs the tracker beside the training.

    Attributes:
        error: why the store cannot be used, if it cannot.
        page: the comparison's address, if the store is a server.
    """

    def __init__(self, folder: StudyFolder, note: Callable[[str], None]) -> None:
        self._folder = folder
        self._note = note
        self._heard = time.monotonic()
        self._done = False
        self._waits = False
        self.page: str | None = None
        self.error: TrackingError | None = None

    def __enter__(self) -> Self:
        log = (self._folder.path / "tracker.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                children.command("genloss.tracking.tracker", str(self._folder.path)),
                env=children.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves it to itself if it is not done: it ships the rest, and ends if MLflow does not answer."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._listener.join(timeout=1)
        if self._process.poll() is not None and self._process.stdout is not None:
            self._process.stdout.close()

    def finish(self, give_up: Callable[[], bool]) -> bool:
        """Waits until all is shipped; False if nothing moves any more, or `give_up` says so."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        begin = self._heard = time.monotonic()
        said = False
        while self._process.poll() is None and not give_up():
            now = time.monotonic()
            if now - self._heard > PATIENCE:
                self._process.terminate()
                self._process.wait()
                break
            if now - begin > 2 and not said:
                said = True
                self._note(f"waiting up to {PATIENCE:.0f} s for MLflow; Ctrl-C stops waiting")
            time.sleep(0.05)
        self._listener.join(timeout=1)
        return self._done

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if message["event"] == "waiting":
                if not self._waits:
                    self._note(f"MLflow at {message['why']}; training goes on, and it is asked again")
                self._waits = True
                continue
            self._heard = time.monotonic()
            self._waits = False
            if message["event"] == "ready":
                self.page = message["page"]
            elif message["event"] == "error":
                self.error = TrackingError(message["message"], hint=message["hint"])
            elif message["event"] == "done":
                self._done = True
