"""What MLflow rejects is found by itself; what is not a rejection drops nothing."""

from __future__ import annotations

import pytest
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ErrorCode

from genloss.tracking.delivery import isolate

METRICS = [Metric("generator/total", float(step), 0, step) for step in range(1000)]


class Server:
    """Takes batches that have none of the bad steps."""

    def __init__(self, bad: set[int], code: str) -> None:
        self.bad, self.code = bad, code
        self.taken: list[int] = []
        self.calls = 0

    def send(self, metrics: list[Metric]) -> MlflowException | None:
        self.calls += 1
        steps = [metric.step for metric in metrics]
        if self.bad & set(steps):
            return MlflowException("no", error_code=ErrorCode.Value(self.code))
        self.taken += steps
        return None


@pytest.mark.parametrize("code", ["INVALID_PARAMETER_VALUE", "BAD_REQUEST"])
def test_rejected_values_are_isolated(code: str) -> None:
    server = Server({0, 500, 501, 999}, code)
    rejections = isolate(METRICS, server.send)
    assert {rejection.item.step for rejection in rejections} == server.bad
    assert server.taken == [step for step in range(1000) if step not in server.bad]
    assert server.calls < 90


def test_a_whole_batch_may_be_wrong() -> None:
    server = Server(set(range(1000)), "INVALID_PARAMETER_VALUE")
    assert len(isolate(METRICS, server.send)) == 1000


def test_a_database_that_refuses_everything_is_no_rejection() -> None:
    server = Server(set(range(1000)), "BAD_REQUEST")
    with pytest.raises(MlflowException):
        isolate(METRICS, server.send)
