"""The tracker: the process that carries a study's records to MLflow.

    python -m genloss.tracking.tracker FOLDER

looks twice a second which journals have grown, and ships them. When its standard input ends, nothing more
will be written: it ships what is left, writes the view and the note, and ends. A store that cannot be
reached is asked again, for ever; killed at any moment, it goes on where it was when it is started again.

What happens it says on standard output, a JSON object a line:

    {"event": "waiting", "why": …}                   the store does not answer, in a sentence
    {"event": "ready", "experiment_id": …, "uri": …, "page": the comparison's address, on a server}
    {"event": "shipped", "values": so many in all}
    {"event": "error", "message": …, "hint": …}      it cannot be used, and the tracker ends
    {"event": "done"}
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from genloss.errors import GenlossError, RecordError
from genloss.record.folder import StudyFolder
from genloss.tracking import address, note, store, views
from genloss.tracking.delivery import Delivery
from genloss.tracking.shipping import RunShipping, tell

POLL_SECONDS = 0.5
NICENESS = 5
"""Below the workers, and yet enough on a busy machine to keep up with them."""

GARBAGE = 100_000
"""Objects between two collections: with Python's own number they take a fifth of the time."""

LAST_WORDS_SECONDS = 30.0
"""How long a worker whose launcher has died may take to say how its run ended."""


class Tracker:
    """Ships a study.

    Args:
        folder: the study's.
        table: gives the comparison of a study as a Markdown table.
        report: told of what happens, see above.
    """

    def __init__(
        self,
        folder: StudyFolder,
        table: Callable[[StudyFolder], str],
        report: Callable[..., None],
    ) -> None:
        self._folder = folder
        self._table = table
        self._report = report
        self._content = folder.read()
        self._delivery = Delivery(self._wait)
        self._runs: dict[Path, RunShipping] = {}
        self._refused: dict[str, str] = {}
        self._shown: tuple[list[str], dict[str, int]] | None = None
        self._values = 0

    def open(self) -> None:
        """Opens the store and the experiment.

        Raises:
            TrackingError: they cannot be used.
        """
        uri = self._uri = address.resolve(self._content["tracking_uri"])
        self._client: MlflowClient = self._delivery.call(store.connect, uri)
        self._experiment_id = self._delivery.call(
            store.experiment, self._client, self._content["experiment_name"]
        )
        page = views.page(uri, self._experiment_id, self._folder.name) if store.is_server(uri) else None
        self._report(event="ready", experiment_id=self._experiment_id, uri=uri, page=page)
        self._show()

    def _wait(self, why: str) -> None:
        self._report(event="waiting", why=f"`{store.shown(self._uri)}` does not answer: {why}")

    def pass_over(self, *, at_once: bool = False) -> bool:
        """Ships what is due; says whether anything was."""
        shipped = False
        for folder in self._folder.runs():
            run = self._runs.get(folder.path)
            if run is None:
                run = self._runs[folder.path] = RunShipping(
                    folder,
                    self._folder,
                    self._content,
                    experiment_id=self._experiment_id,
                    client=self._client,
                    delivery=self._delivery,
                    refused=self._refused,
                )
            if run.due(at_once=at_once):
                shipped |= run.ship()
                self._count()
        self._show()
        return shipped

    def finish(self) -> None:
        """Ships the rest, says how those runs ended that did not say so themselves, and writes the note."""
        deadline = time.monotonic() + LAST_WORDS_SECONDS
        while self.pass_over(at_once=True) or (any(self._in_training()) and time.monotonic() < deadline):
            time.sleep(0.05)
        for run, in_training in zip(self._runs.values(), self._in_training(), strict=True):
            if not run.ended and not in_training:
                run.end("its process ended without a word")
        description = self._content["experiment"]["description"]
        table = self._table(self._folder)
        self._delivery.call(
            note.write, self._client, self._experiment_id, self._folder.name, description, table
        )
        self._count()
        self._report(event="done")

    def _in_training(self) -> Iterator[bool]:
        """For each run, whether it has not ended and still has a process."""
        for run in self._runs.values():
            try:
                if not run.ended:
                    with run.folder.locked():
                        pass
            except RecordError:
                yield True
            else:
                yield False

    def _count(self) -> None:
        values = sum(run.values for run in self._runs.values())
        if values != self._values:
            self._values = values
            self._report(event="shipped", values=values)

    def _show(self) -> None:
        """Writes the view anew if there are metrics or pictures that it has no charts for."""
        keys = list(dict.fromkeys(key for run in self._runs.values() for key in run.keys))
        pictures: dict[str, int] = {}
        for run in self._runs.values():
            pictures |= {key: max(step, pictures.get(key, 0)) for key, step in run.pictures.items()}
        if self._shown != (keys, pictures):
            self._shown = (keys, pictures)
            objectives = self._content["experiment"]["objectives"]
            self._delivery.call(
                views.write, self._client, self._experiment_id, self._folder.name, objectives, keys, pictures
            )


def main(folder: Path, table: Callable[[StudyFolder], str] | None = None) -> int:
    """Tracks a study until standard input ends; gives the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    gc.freeze()
    gc.set_threshold(GARBAGE)
    store.fail_fast()
    parent = os.getppid()
    last: dict[str, Any] = {}
    # MLflow prints a line of its own for each run that ends on a server: that goes to the log.
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def report(**event: Any) -> None:
        nonlocal last
        if event["event"] == "waiting" and os.getppid() != parent:
            tell(f"{event['why']}; nobody waits for it any more")
            raise SystemExit(1)
        if event != last:
            with suppress(BrokenPipeError):
                events.write(f"{json.dumps(event)}\n")
                events.flush()
        last = event

    study = StudyFolder(folder)
    with _alone(study):
        try:
            tracker = Tracker(study, table or _table, report)
            tracker.open()
            while _goes_on():
                tracker.pass_over()
            tracker.finish()
        except GenlossError as error:
            report(event="error", message=error.message, hint=error.hint)
            tell(str(error))
            return 1
    return 0


def _goes_on() -> bool:
    """Waits a moment; says whether standard input is still open."""
    readable, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
    return not readable or bool(os.read(sys.stdin.fileno(), 4096))


def _table(study: StudyFolder) -> str:
    from genloss.comparison.table import markdown

    return markdown(study)


@contextmanager
def _alone(study: StudyFolder) -> Iterator[None]:
    """Waits until no other tracker ships this study."""
    with (study.path / "tracker.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
