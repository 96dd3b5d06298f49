"""The four hooks of a plugin. Each is called once, to fill the catalogue; never while training.

A plugin is a module that implements one or more of them:

    import genloss

    @genloss.hookimpl
    def genloss_losses():
        from my_package.losses import quartic_error
        yield quartic_error

An installed one is named by an entry point in the group `genloss`:

    [project.entry-points.genloss]
    my-package = "my_package"

That module imports no torch at its top (its hook bodies do), so that `genloss --help` stays fast. A single
file may be given instead, by `--plugin FILE` or by `plugins:` in the experiment.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from genloss.contracts.dataset import DatasetDefinition
    from genloss.contracts.loss import Loss
    from genloss.contracts.metric import MetricDefinition
    from genloss.contracts.model import Model

PROJECT = "genloss"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def genloss_losses() -> Iterable[Loss[Any]]:  # type: ignore[empty-body]
    """Losses, made by `genloss.loss`.

    Example:
        @genloss.hookimpl
        def genloss_losses():
            from my_package.losses import quartic_error
            yield quartic_error
    """


@hookspec
def genloss_models() -> Iterable[type[Model]]:  # type: ignore[empty-body]
    """Models, subclasses of `genloss.Model`.

    Example:
        @genloss.hookimpl
        def genloss_models():
            from my_package.models import TinyVAE
            yield TinyVAE
    """


@hookspec
def genloss_datasets() -> Iterable[DatasetDefinition[Any]]:  # type: ignore[empty-body]
    """Datasets, made by `genloss.dataset`.

    Example:
        @genloss.hookimpl
        def genloss_datasets():
            from my_package.datasets import two_spirals
            yield two_spirals
    """


@hookspec
def genloss_metrics() -> Iterable[MetricDefinition[Any]]:  # type: ignore[empty-body]
    """Metrics, made by `genloss.metric`.

    Example:
        @genloss.hookimpl
        def genloss_metrics():
            from my_package.metrics import energy_distance
            yield energy_distance
    """
