"""Computing the references of a study's metrics while it trains."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from genloss.errors import FOREIGN, RecordError, told
from genloss.launch.pool import STOPPING_SECONDS
from genloss.record.files import publish

if TYPE_CHECKING:
    from genloss.launch.signals import Signals
    from genloss.launch.study import Study


class References:
    """Computes the references that are missing, in a thread.

    Args:
        study: its experiment and data.
        note: told of metrics that have no reference because they raise an error.
    """

    def __init__(self, study: Study, note: Callable[[str], None]) -> None:
        self._study = study
        self._note = note
        # A daemon: the process does not wait for it after a second signal.
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._metric, self._since = "", 0.0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wait(self, signals: Signals) -> None:
        """Wait until all are there; not for long after a signal, nor for a metric that hangs."""
        settings, began = self._study.experiment.evaluation, time.monotonic()
        timeout = settings.timeout if settings else None
        while self._thread.is_alive():
            now = time.monotonic()
            if signals.count > 1 or (signals.count and now - began > STOPPING_SECONDS):
                return
            if timeout is not None and now - max(began, self._since) > timeout:
                why = f"no progress for {timeout:g} s (`evaluation.timeout`)"
                self._note(f"metric `{self._metric}` has no reference: {why}")
                return
            self._thread.join(timeout=0.2)

    def _write(self) -> None:
        settings = self._study.experiment.evaluation
        if settings is None:
            return
        from genloss.training.bound_metrics import bound
        from genloss.training.evaluation import reference
        from genloss.training.surroundings import kept

        path = self._study.folder.references
        found = self._found()
        for metric in bound(settings, self._study.catalogue.metrics):
            if metric.definition.higher_is_better.keys() <= found.keys():
                continue
            self._metric, self._since = metric.definition.name, time.monotonic()
            try:
                with kept():
                    found |= reference(metric, self._study.data, settings.samples, self._study.folder.cache)
            except FOREIGN as error:  # the runs that the metric fails in keep the traceback
                self._note(f"metric `{metric.definition.name}` has no reference: {told(error)}")
            try:
                publish(path, json.dumps(found).encode())
            except OSError as error:
                self._note(f"`{path}` could not be written: {error}")

    def _found(self) -> dict[str, float]:
        """Those that were computed before."""
        try:
            return self._study.folder.read_references()
        except RecordError:
            return {}
