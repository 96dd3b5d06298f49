"""The tracker: the process that carries a study's records to MLflow.

    python -m genloss.tracking.tracker FOLDER [--deleted] [--parent PROCESS]

ships to the store that `MLFLOW_TRACKING_URI` names, whatever the study says (see allowed.py). It
looks twice a second which journals have grown, and ships them. When its standard input ends, nothing more
will be written: it ships what is left, writes the comparison run and the note, and ends. A store that cannot
be reached is asked again, for as long as the process lives that started it (its number is given, since it may
die before this one can ask for it); killed at any moment, it goes on where it was when it is started again.

It reports on standard output, one JSON object per line: see messages.py.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from mlflow.exceptions import MlflowException

from genloss import output
from genloss.errors import GenlossError, told
from genloss.record import owner
from genloss.record.folder import RunFolder, StudyFolder
from genloss.tracking import address, comparison_run, fail_fast, note, store, views
from genloss.tracking.delivery import Delivery, RunGone
from genloss.tracking.messages import Message
from genloss.tracking.shipping import RunShipping, tell
from genloss.tracking.target import StudyContext

if TYPE_CHECKING:
    from genloss.comparison.comparison import Comparison

POLL_SECONDS = 0.5
NICENESS, LEAST = 7, 19
"""Below the workers: two of them on two cores leave it a fifth of one. What it has not shipped when they end,
it ships then; with a core of its own it keeps pace."""

AUTOGROUP = Path("/proc/self/autogroup")
"""Where Linux groups processes by session, niceness counts within the session alone; this is the session's
own, which may be taken back by anybody."""

GARBAGE = 100_000
"""Objects between two collections in the midst of shipping: with Python's own number they take a fifth of the
time."""

LAST_WORDS_SECONDS = 30.0
"""How long a worker whose launcher has died may take to say how its run ended."""

MOST_NOTES = 20
"""The number of problems with a study's runs that are reported; the log has all of them."""


@dataclass
class Tracker:
    """Ships a study.

    Attributes:
        folder: the study's.
        compare: gives the comparison of a study.
        report: called with what happens, see above.
        uri: the store; what the user's settings name by default, and not what the study says.
        deleted: whether runs that were deleted in MLflow are created again.
    """

    folder: StudyFolder
    compare: Callable[[StudyFolder], Comparison]
    report: Callable[..., None]
    uri: str | None = None
    deleted: bool = False
    _runs: dict[Path, RunShipping] = field(default_factory=dict, init=False)
    _shown: tuple[list[str], dict[str, int]] | None = field(default=None, init=False)
    _count: tuple[int, int] = field(default=(0, 0), init=False)
    _notes: int = field(default=0, init=False)

    def open(self) -> None:
        """Open the store and the experiment.

        Raises:
            TrackingError: they cannot be used.
        """
        self._content = self.folder.read()
        self._uri = uri = address.resolve(self.uri)
        delivery = Delivery(self._wait, lambda: self.report(event=Message.ANSWERED))
        client = delivery.call(store.connect, uri)
        experiment_id = delivery.call(store.experiment, client, self._content["experiment_name"])
        self._store = StudyContext(client, delivery, experiment_id, self._content, {}, self._tell)
        page = views.page(uri, experiment_id, self.folder.name) if address.is_server(uri) else None
        self.report(event=Message.READY, experiment_id=experiment_id, page=page)
        self._show()

    def _wait(self, why: str) -> None:
        self.report(event=Message.WAITING, why=f"`{address.without_secrets(self._uri)}` {why}")

    def _tell(self, text: str) -> None:
        tell(text)
        self._notes += 1
        if self._notes <= MOST_NOTES:
            self.report(event=Message.NOTE, text=text.split("\n", 1)[0])

    def ship_due(self, *, at_once: bool = False) -> bool:
        """Ship what is due; return whether anything was.

        Raises:
            TrackingError: the experiment was deleted.
        """
        shipped = False
        for folder in self._folders():
            run = self._runs.get(folder.path)
            if run is None:
                run = self._runs[folder.path] = RunShipping(folder, self._store, anew=self.deleted)
            if run.due(at_once=at_once):
                shipped |= run.ship()
                self._tell_count()
        self._show()
        return shipped

    def _folders(self) -> list[RunFolder]:
        """The runs that have begun, and those that began once and have lost their journal."""
        lost = [RunFolder(path.parent) for path in sorted(self.folder.path.glob("*.damaged-*/shipped.json"))]
        return [*self.folder.runs(), *(folder for folder in lost if not folder.journal.exists())]

    def finish(self, superseded: Callable[[], bool] = lambda: False) -> None:
        """Ship the rest, says how those runs ended that did not, and write the comparison.

        Args:
            superseded: whether another tracker is to go on instead; asked now and then.

        Raises:
            TrackingError: the experiment was deleted.
        """
        deadline = time.monotonic() + LAST_WORDS_SECONDS
        while self.ship_due(at_once=True) or (any(self._in_training()) and time.monotonic() < deadline):
            if superseded():
                self.report(
                    event=Message.NOTE, text=f"study `{self.folder.name}` goes on; its own tracker ships it"
                )
                return
            time.sleep(0.05)
        for run, in_training in zip(self._runs.values(), self._in_training(), strict=True):
            if not in_training:
                run.end()
            run.send_again()
        self._store.check()
        shipped = self._conclude() if self._runs else True
        store.settle(self._uri)
        self._tell_count()
        self.report(event=Message.DONE, shipped=shipped and all(run.complete for run in self._runs.values()))

    def _in_training(self) -> Iterator[bool]:
        """For each run, whether it has not ended and still has a process."""
        for run in self._runs.values():
            yield not run.seen.ended and run.folder.is_trained()

    def _conclude(self) -> bool:
        """Write the comparison run and the experiment's note; return whether MLflow has the report."""
        folder, experiment_id, name = self.folder, self._store.experiment_id, self.folder.name
        references: Mapping[str, float] = {}
        try:
            comparison = self.compare(folder)
            said, references = note.Said.of(comparison), comparison.references
        except Exception as error:  # the runs are whole without it
            why = error.message if isinstance(error, GenlossError) else told(error)
            said = note.Said(f"The table cannot be made: {why}", "The table cannot be made.")
        shipped = False
        with self._lenient():
            run = comparison_run.find_or_create(self._store, name)
            run_id = run.info.run_id
            pages = {
                "report": comparison_run.address(folder, experiment_id, run_id),
                "samples": views.within(experiment_id, name + views.SAMPLES) if self._pictures() else "",
                "charts": views.within(experiment_id, name),
            }
            links = " · ".join(note.link(text, page) for text, page in pages.items() if page)
            shipped = comparison_run.write(self._store, folder, run, said, links, references)
            description = self._content["experiment"]["description"]
            self._store.delivery.call(
                note.write, self._store.client, experiment_id, name, description, said, links
            )
        return shipped

    def _tell_count(self) -> None:
        runs = self._runs.values()
        count = (sum(run.values for run in runs), sum(run.left() for run in runs))
        if count != self._count:
            self._count = count
            self.report(event=Message.SHIPPED, values=count[0], left=count[1])

    def _show(self) -> None:
        """Write the view anew if there are metrics or pictures that it has no charts for."""
        keys = list(dict.fromkeys(key for run in self._runs.values() for key in run.seen.keys))
        pictures = self._pictures()
        if self._shown != (keys, pictures):
            self._shown = (keys, pictures)
            with self._lenient():
                client, experiment_id = self._store.client, self._store.experiment_id
                self._store.delivery.call(views.write, client, experiment_id, self._content, keys, pictures)

    def _pictures(self) -> dict[str, int]:
        """The last step of each kind of picture."""
        pictures: dict[str, int] = {}
        for run in self._runs.values():
            pictures |= {key: max(step, pictures.get(key, 0)) for key, step in run.seen.pictures.items()}
        return pictures

    @contextmanager
    def _lenient(self) -> Iterator[None]:
        """For what is said of the experiment, without which the runs are whole, too."""
        try:
            yield
        except (MlflowException, requests.HTTPError, RunGone) as error:
            self._store.check()
            self._tell(f"MLflow did not take what is said of the experiment: {error}")


def main(arguments: list[str], compare: Callable[[StudyFolder], Comparison] | None = None) -> int:
    """Tracks a study until standard input ends; gives the exit code."""
    parser = argparse.ArgumentParser(prog="genloss.tracking.tracker")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--deleted", action="store_true")
    parser.add_argument("--parent", type=int, default=os.getppid())
    options = parser.parse_args(arguments)
    output.protect()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    _be_nice(min(usual + NICENESS, LEAST))
    gc.freeze()
    gc.set_threshold(GARBAGE)
    fail_fast()
    last: dict[str, Any] = {}
    # MLflow prints a line of its own for each run that ends on a server: that goes to the log.
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def report(**event: Any) -> None:
        nonlocal last
        if event["event"] == "waiting" and os.getppid() != options.parent:
            tell(f"{event['why']}; nobody waits for it any more")
            raise SystemExit(1)
        if event != last:
            with suppress(BrokenPipeError):
                events.write(f"{json.dumps(event)}\n")
                events.flush()
        last = event

    study = StudyFolder(options.folder)

    def superseded() -> bool:
        """Return whether a launcher is at the study that did not start this tracker; it starts its own."""
        launcher = study.owner()
        return launcher is not None and launcher.process != options.parent and study.is_alive()

    with _alone(study, report):
        try:
            tracker = Tracker(study, compare or _compare, report, deleted=options.deleted)
            tracker.open()
            gc.freeze()
            more = False
            while _goes_on(0.0 if more else POLL_SECONDS):
                more = tracker.ship_due()
                gc.collect()  # milliseconds, and memory stays flat however long the study is
            _be_nice(usual)  # the workers are done
            tracker.finish(superseded)
        except GenlossError as error:
            report(event=Message.ERROR, message=error.message, hint=error.hint)
            tell(str(error))
            return 1
    return 0


def _be_nice(niceness: int) -> None:
    """Return way to other processes, as far as the system lets go back on that."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # where there are no such groups
            AUTOGROUP.write_text(str(niceness), encoding="utf-8")


def _goes_on(seconds: float) -> bool:
    """Wait a moment; return whether standard input is still open."""
    readable, _, _ = select.select([sys.stdin], [], [], seconds)
    return not readable or bool(os.read(sys.stdin.fileno(), 4096))


def _compare(study: StudyFolder) -> Comparison:
    from genloss.comparison.from_records import comparison_of

    return comparison_of(study)


@contextmanager
def _alone(study: StudyFolder, report: Callable[..., None]) -> Iterator[None]:
    """Wait until no other tracker ships this study."""
    if owner.is_held(study.tracker_lock):
        report(event=Message.NOTE, text=f"another tracker still ships study `{study.name}`")
    with owner.held(study.tracker_lock, f"ships study `{study.name}`", math.inf):
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
