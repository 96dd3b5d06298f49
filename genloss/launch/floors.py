"""What a perfect model would get from a study's metrics, computed while it is trained."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from genloss.record.files import publish

if TYPE_CHECKING:
    from genloss.launch.scheduler import Study


class Floors:
    """Computes the floors that are missing, in a thread.

    Args:
        study: its experiment and data.
        note: told of metrics that have no floor because they raise an error.
    """

    def __init__(self, study: Study, note: Callable[[str], None]) -> None:
        self._study = study
        self._note = note
        # A daemon: the process does not wait for it after a second signal.
        self._thread = threading.Thread(target=self._write, daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def wait(self, give_up: Callable[[], bool]) -> None:
        """Waits until all are there, or `give_up` says so."""
        while self._thread.is_alive() and not give_up():
            self._thread.join(timeout=0.2)

    def _write(self) -> None:
        settings = self._study.experiment.evaluation
        if settings is None:
            return
        from genloss.training.evaluation import floor, judges

        path = self._study.folder.floors
        found = self._found()
        for judge in judges(settings, self._study.catalogue.metrics):
            if judge.metric.higher_is_better.keys() <= found.keys():
                continue
            try:
                found |= floor(judge, self._study.data, settings.samples, self._study.folder.cache)
            except Exception as error:  # the runs that the metric fails in keep the traceback
                name, kind = judge.metric.name, type(error).__name__
                self._note(f"metric `{name}` has no floor: {kind}: {error}")
            try:
                publish(path, json.dumps(found).encode())
            except OSError as error:
                self._note(f"`{path}` could not be written: {error}")

    def _found(self) -> dict[str, float]:
        """Those that were computed before."""
        try:
            found: dict[str, float] = json.loads(self._study.folder.floors.read_text())
        except (OSError, ValueError):
            return {}
        return found
