"""Modes captured and samples of high quality, on samples that were put where they are."""

from __future__ import annotations

import math

import pytest
import torch

from genloss_builtin.datasets.points import gaussian_grid, gaussian_ring
from genloss_builtin.metrics.mixture import mixture_coverage

MODES = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


def test_planted_samples():
    samples = torch.tensor(
        [
            [0.0, 1.4],  # on the first mode, at 2.8 standard deviations
            [0.5, 0.0],
            [10.0, 1.6],  # nearest to the second mode, but at 3.2
            [0.0, 9.0],  # on the third
            [5.0, 5.0],  # between all
            [math.nan, 0.0],
            [math.inf, 0.0],
            [-1e30, 1e30],
        ]
    )
    numbers = mixture_coverage(samples, MODES, 0.5)
    assert numbers == {"modes_captured": 2, "high_quality": 3 / 8}
    assert mixture_coverage(samples, MODES, 0.5, threshold=3.3) == {
        "modes_captured": 3,
        "high_quality": 4 / 8,
    }


def test_nothing_captured():
    assert mixture_coverage(MODES + 5, MODES, 0.1) == {"modes_captured": 0, "high_quality": 0}


def test_modes_of_any_shape_and_precision():
    samples = MODES.reshape(3, 1, 2, 1).double()
    assert mixture_coverage(samples, MODES.reshape(3, 1, 2, 1), 0.5) == {
        "modes_captured": 3,
        "high_quality": 1,
    }


@pytest.mark.parametrize("dataset", [gaussian_ring, gaussian_grid])
@pytest.mark.parametrize("threshold", [1.0, 3.0])
def test_reference_is_that_of_a_gaussian_in_the_plane(dataset, threshold):
    data = dataset()
    numbers = mixture_coverage(
        data.train["x"], data.truth["modes"], data.truth["mode_scale"], threshold=threshold
    )
    share = 1 - math.exp(-(threshold**2) / 2)
    assert numbers["modes_captured"] == len(data.truth["modes"])
    assert numbers["high_quality"] == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 10_000))
