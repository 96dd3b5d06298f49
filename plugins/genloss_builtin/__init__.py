"""The built-in losses, models, datasets and metrics; a plugin like any other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import genloss

if TYPE_CHECKING:
    from genloss.contracts.dataset import DatasetDefinition
    from genloss.contracts.metric import MetricDefinition


@genloss.hookimpl
def genloss_losses() -> Iterable[genloss.Loss[Any]]:
    from genloss_builtin.losses import adversarial, divergence, likelihood, reconstruction

    for family in (likelihood, reconstruction, divergence, adversarial):
        yield from (value for value in vars(family).values() if isinstance(value, genloss.Loss))


@genloss.hookimpl
def genloss_models() -> Iterable[type[genloss.Model]]:
    from genloss_builtin.models.autoencoder import Autoencoder
    from genloss_builtin.models.autoregressive import Autoregressive
    from genloss_builtin.models.gan import GAN
    from genloss_builtin.models.vae import VAE

    yield from (Autoencoder, Autoregressive, GAN, VAE)


@genloss.hookimpl
def genloss_datasets() -> Iterable[DatasetDefinition[Any]]:
    from genloss_builtin.datasets.arrays import arrays
    from genloss_builtin.datasets.digits import digits
    from genloss_builtin.datasets.points import gaussian_grid, gaussian_ring, swiss_roll, two_moons

    yield from (arrays, digits, gaussian_grid, gaussian_ring, swiss_roll, two_moons)


@genloss.hookimpl
def genloss_metrics() -> Iterable[MetricDefinition[Any]]:
    from genloss_builtin.metrics.likelihood import negative_log_likelihood
    from genloss_builtin.metrics.mixture import mixture_coverage
    from genloss_builtin.metrics.reconstruction import reconstruction_error
    from genloss_builtin.metrics.two_sample import (
        frechet_distance,
        maximum_mean_discrepancy,
        precision_recall,
    )

    yield from (
        frechet_distance,
        maximum_mean_discrepancy,
        mixture_coverage,
        negative_log_likelihood,
        precision_recall,
        reconstruction_error,
    )
