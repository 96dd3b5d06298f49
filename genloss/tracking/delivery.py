"""Calls of MLflow that do not give up, and lose nothing but what MLflow will never take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from genloss.tracking import store

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item", Metric, Param, RunTag)

SHORTEST_WAIT, LONGEST_WAIT = 0.2, 30.0
"""Seconds; each wait is twice the one before."""

WRONG, MAYBE_WRONG = "INVALID_PARAMETER_VALUE", "BAD_REQUEST"
"""What MLflow says of values that it refuses; a database that refuses all of them says the second, too."""


@dataclass(frozen=True)
class Rejection:
    """What MLflow did not take, and why."""

    item: Metric | Param | RunTag
    error: MlflowException

    @property
    def reason(self) -> str:
        return str(self.error.message)


class RunGone(Exception):
    """The run was deleted in MLflow."""


class Delivery:
    """Calls MLflow until it answers.

    Args:
        waiting: told what is wrong with the store, each time that it has to wait.
        answered: told that it does not any more.
    """

    def __init__(self, waiting: Callable[[str], None], answered: Callable[[], None] = lambda: None) -> None:
        self._waiting = waiting
        self._answered = answered

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call until it succeeds, or fails with an error that will not pass."""
        wait = SHORTEST_WAIT
        while True:
            try:
                result = function(*args, **kwargs)
            except Exception as error:
                if not store.is_transient(error):
                    raise
                self._waiting(store.trouble(error))
            else:
                if wait > SHORTEST_WAIT:
                    self._answered()
                return result
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def attempt(self, function: Callable[[], object], check: Callable[[], None]) -> Exception | None:
        """Call once, and again after a moment where that may help; return the error that it ends with.

        For things not sent to the store, such as files, so that nothing else waits for them.

        Args:
            function: what is tried; it may raise anything, as the stores of artifacts do.
            check: called after an error; waits where it is the store that does not answer, and may raise.
        """
        error: Exception | None = None
        for _ in range(2):
            try:
                function()
                return None
            except Exception as raised:
                error = raised
            check()
            if not store.is_transient(error):
                break
            time.sleep(SHORTEST_WAIT)
        return error

    def log(
        self,
        client: MlflowClient,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
    ) -> list[Rejection]:
        """Log to a run, in as few calls as can be, and report what MLflow did not take.

        Raises:
            RunGone: the run was deleted.
            MlflowException: it is not the values that MLflow does not take.
        """

        def attempt(send: Callable[[], object]) -> MlflowException | None:
            try:
                self.call(send)
            except MlflowException as error:
                if self.is_gone(client, run_id):
                    raise RunGone(run_id) from error
                if error.error_code not in (WRONG, MAYBE_WRONG):
                    raise
                return error
            return None

        return [
            *isolate(
                params, lambda part: attempt(lambda: client.log_batch(run_id, params=part, synchronous=True))
            ),
            *isolate(
                tags, lambda part: attempt(lambda: client.log_batch(run_id, tags=part, synchronous=True))
            ),
            *isolate(
                metrics,
                lambda part: attempt(lambda: client.log_batch(run_id, metrics=part, synchronous=True)),
            ),
        ]

    def is_gone(self, client: MlflowClient, run_id: str) -> bool:
        """Return whether a run was deleted."""
        try:
            return self.call(client.get_run, run_id).info.lifecycle_stage != "active"
        except MlflowException as error:
            # A proxy whose server is away may say 404, too.
            return bool(error.error_code == "RESOURCE_DOES_NOT_EXIST")


def isolate(
    items: Sequence[Item], send: Callable[[Sequence[Item]], MlflowException | None]
) -> list[Rejection]:
    """Send all items but those that are rejected, which are found by halving.

    Args:
        items: to be sent.
        send: sends some, all or none; says why they are rejected, if they are.

    Raises:
        MlflowException: all are rejected, and not for what they are.
    """
    rejections = _halved(items, send)
    if len(rejections) == len(items) > 1:
        for rejection in rejections:
            if rejection.error.error_code != WRONG:
                raise rejection.error
    return rejections


def _halved(
    items: Sequence[Item], send: Callable[[Sequence[Item]], MlflowException | None]
) -> list[Rejection]:
    error = send(items) if items else None
    if error is None:
        return []
    if len(items) == 1:
        return [Rejection(items[0], error)]
    middle: int = len(items) // 2
    return [*_halved(items[:middle], send), *_halved(items[middle:], send)]
