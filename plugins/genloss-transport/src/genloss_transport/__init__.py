"""Optimal transport losses and metrics for genloss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import genloss

if TYPE_CHECKING:
    from genloss.contracts.metric import MetricDefinition


@genloss.hookimpl
def genloss_losses() -> Iterable[genloss.Loss[Any]]:
    from genloss_transport.losses import sinkhorn_divergence, sliced_wasserstein, wasserstein

    yield from (sinkhorn_divergence, sliced_wasserstein, wasserstein)


@genloss.hookimpl
def genloss_metrics() -> Iterable[MetricDefinition[Any]]:
    from genloss_transport import metrics

    yield from (metrics.sinkhorn_divergence, metrics.sliced_wasserstein_distance)
