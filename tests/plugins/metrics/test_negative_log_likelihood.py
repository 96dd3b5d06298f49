"""Held-out likelihood: its mean, its units, and what is asked of a model."""

from __future__ import annotations

import math

import pytest
import torch

from genloss.errors import DefinitionError
from genloss_builtin.datasets.points import gaussian_grid, two_moons
from genloss_builtin.metrics.likelihood import negative_log_likelihood


def test_uniform_binary_images_cost_one_bit_a_pixel():
    x = torch.zeros(7, 1, 4, 4)
    numbers = negative_log_likelihood(lambda x: torch.full((len(x),), -16 * math.log(2)), x, batch_size=3)
    assert numbers["nll"] == pytest.approx(16 * math.log(2), rel=1e-6)
    assert numbers["bits_per_dimension"] == pytest.approx(1, rel=1e-6)


def test_exact_density_gives_the_entropy():
    data = gaussian_grid()
    entropy = math.log(25) + math.log(2 * math.pi * math.e * 0.05**2)
    numbers = negative_log_likelihood(data.truth["log_density"], data.held_out["x"])
    assert numbers["nll"] == pytest.approx(entropy, abs=4 / math.sqrt(2_500))
    assert numbers["bits_per_dimension"] == pytest.approx(numbers["nll"] / (2 * math.log(2)))


def test_no_other_density_is_better_than_the_exact_one():
    data = two_moons()
    exact, blurred = (
        negative_log_likelihood(two_moons(noise=noise).truth["log_density"], data.held_out["x"])["nll"]
        for noise in (0.1, 0.15)
    )
    assert exact < blurred - 0.05


def test_every_example_counts_once_whatever_the_batches():
    x = torch.arange(10.0)[:, None]
    for batch_size in (1, 3, 10, 500):
        numbers = negative_log_likelihood(lambda x: -x.flatten(), x, batch_size=batch_size)
        assert numbers["nll"] == pytest.approx(4.5)


def test_no_gradient_is_tracked():
    weight = torch.ones(1, requires_grad=True)
    tracked = []

    def log_likelihood(x):
        values = (weight * x).flatten()
        tracked.append(values.requires_grad)
        return values

    negative_log_likelihood(log_likelihood, torch.ones(4, 1))
    assert tracked == [False]


def test_impossible_examples_have_infinite_nll():
    numbers = negative_log_likelihood(lambda x: x.flatten().log(), torch.tensor([[1.0], [0.0]]))
    assert numbers == {"nll": math.inf, "bits_per_dimension": math.inf}


@pytest.mark.parametrize("reduced", [lambda x: x.mean(), lambda x: x, lambda x: x.sum(0)])
def test_a_model_that_gives_no_value_per_example_is_refused(reduced):
    with pytest.raises(DefinitionError, match="`log_likelihood` returned shape") as raised:
        negative_log_likelihood(reduced, torch.ones(4, 3))
    assert "one value per example" in raised.value.hint
