"""The built-in losses, models, datasets and metrics, registered like those of any other plugin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import genloss

if TYPE_CHECKING:
    from genloss.contracts.dataset import DatasetDefinition
    from genloss.contracts.metric import MetricDefinition


@genloss.hookimpl
def genloss_losses() -> Iterable[genloss.Loss[Any]]:
    from genloss_builtin.losses import (
        adversarial,
        categorical,
        diffusion,
        discrepancy,
        divergence,
        feature_matching,
        gradient_penalty,
        images,
        likelihood,
        reconstruction,
        relativistic,
        variational,
        vector_quantisation,
    )

    for module in (
        likelihood,
        categorical,
        reconstruction,
        images,
        divergence,
        variational,
        discrepancy,
        adversarial,
        relativistic,
        gradient_penalty,
        feature_matching,
        diffusion,
        vector_quantisation,
    ):
        yield from (value for value in vars(module).values() if isinstance(value, genloss.Loss))


@genloss.hookimpl
def genloss_models() -> Iterable[type[genloss.Model]]:
    from genloss_builtin.models.autoencoder import Autoencoder
    from genloss_builtin.models.autoregressive import Autoregressive
    from genloss_builtin.models.diffusion import Diffusion
    from genloss_builtin.models.flow_matching import FlowMatching
    from genloss_builtin.models.gan import GAN
    from genloss_builtin.models.language import Language
    from genloss_builtin.models.normalizing_flow import NormalizingFlow
    from genloss_builtin.models.vae import VAE
    from genloss_builtin.models.vqvae import VQVAE

    yield from (
        Autoencoder,
        Autoregressive,
        Diffusion,
        FlowMatching,
        GAN,
        Language,
        NormalizingFlow,
        VAE,
        VQVAE,
    )


@genloss.hookimpl
def genloss_datasets() -> Iterable[DatasetDefinition[Any]]:
    from genloss_builtin.datasets.arrays import arrays
    from genloss_builtin.datasets.digits import digits
    from genloss_builtin.datasets.huggingface import huggingface
    from genloss_builtin.datasets.idx import idx
    from genloss_builtin.datasets.image_folder import image_folder
    from genloss_builtin.datasets.markov import markov_text
    from genloss_builtin.datasets.photo_patches import photo_patches
    from genloss_builtin.datasets.points import (
        gaussian_grid,
        gaussian_ring,
        moons_to_gaussians,
        s_curve,
        swiss_roll,
        two_moons,
    )
    from genloss_builtin.datasets.text import python_docs, text

    yield from (
        arrays,
        digits,
        gaussian_grid,
        gaussian_ring,
        huggingface,
        idx,
        image_folder,
        markov_text,
        moons_to_gaussians,
        photo_patches,
        python_docs,
        s_curve,
        swiss_roll,
        text,
        two_moons,
    )


@genloss.hookimpl
def genloss_metrics() -> Iterable[MetricDefinition[Any]]:
    from genloss_builtin.metrics.likelihood import negative_log_likelihood
    from genloss_builtin.metrics.mixture import mixture_coverage
    from genloss_builtin.metrics.reconstruction import reconstruction_error
    from genloss_builtin.metrics.transport import wasserstein_distance
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
        wasserstein_distance,
    )
