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

SHORTEST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds; each wait is twice the one before."""


@dataclass(frozen=True)
class Rejection:
    """What MLflow did not take, and why."""

    item: Metric | Param | RunTag
    reason: str


class RunGone(Exception):
    """The run was deleted in MLflow."""


class Delivery:
    """Calls MLflow until it answers.

    Args:
        waiting: told why, each time that it has to wait.
    """

    def __init__(self, waiting: Callable[[str], None]) -> None:
        self._waiting = waiting

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls until it succeeds, or fails with an error that will not pass."""
        wait = SHORTEST_WAIT
        while True:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                if not store.passing(error):
                    raise
                self._waiting(store.reason(error))
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def log(
        self,
        client: MlflowClient,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
    ) -> list[Rejection]:
        """Logs to a run, in as few calls as can be, and says what MLflow did not take.

        Raises:
            RunGone: the run was deleted.
        """

        def attempt(send: Callable[[], object]) -> str | None:
            try:
                self.call(send)
            except MlflowException as error:
                if self.is_gone(client, run_id):
                    raise RunGone(run_id) from error
                return error.message
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
        """Whether a run was deleted."""
        try:
            return self.call(client.get_run, run_id).info.lifecycle_stage != "active"
        except MlflowException:
            return True


def isolate(items: Sequence[Item], send: Callable[[Sequence[Item]], str | None]) -> list[Rejection]:
    """Sends all items but those that are rejected, which are found by halving.

    Args:
        items: to be sent.
        send: sends some, all or none; says why they are rejected, if they are.
    """
    reason = send(items) if items else None
    if reason is None:
        return []
    if len(items) == 1:
        return [Rejection(items[0], reason)]
    middle: int = len(items) // 2
    return [*isolate(items[:middle], send), *isolate(items[middle:], send)]
