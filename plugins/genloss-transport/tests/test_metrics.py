"""The metrics against closed forms, and what they do with more points than they want."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from genloss_transport import metrics


def sinkhorn(samples: Tensor, held_out: Tensor, size: int = 1000) -> float:
    value = metrics.sinkhorn_divergence(samples, held_out, size=size)
    assert isinstance(value, float)
    return value


def sliced(samples: Tensor, held_out: Tensor) -> float:
    value = metrics.sliced_wasserstein_distance(samples, held_out)
    assert isinstance(value, float)
    return value


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_same_points_in_any_order_are_at_no_distance() -> None:
    x = normal(50, 1, 4, 4)
    assert sinkhorn(x.flip(0), x) == pytest.approx(0, abs=1e-12)
    assert sliced(x.flip(0), x) == pytest.approx(0, abs=1e-12)


def test_a_translation() -> None:
    x = normal(200, 2)
    moved = x + torch.tensor([3.0, 4.0])
    assert sinkhorn(moved, x) == pytest.approx(25 / 2, rel=1e-3)
    assert sliced(moved, x) == pytest.approx(math.sqrt(25 / 2), rel=0.05)


def test_data_is_nearer_to_data_than_to_what_is_not() -> None:
    x, y, wider = normal(400, 2), normal(400, 2, seed=1), 2 * normal(400, 2, seed=2)
    assert 0 < sinkhorn(y, x) < 0.2 < sinkhorn(wider, x)
    assert 0 < sliced(y, x) < 0.3 < sliced(wider, x)


def test_lines_and_lots_are_always_the_same_and_leave_torch_s_generator_alone() -> None:
    samples, held_out = normal(300, 3), normal(200, 3, seed=1)
    before = torch.get_rng_state()
    values = [(sinkhorn(samples, held_out, size=50), sliced(samples, held_out)) for _ in range(2)]
    assert values[0] == values[1]
    assert torch.equal(torch.get_rng_state(), before)


def test_points_beyond_the_size_are_left_out_by_lot() -> None:
    samples, held_out = normal(300, 3), normal(200, 3, seed=1)
    few = sinkhorn(samples, held_out, size=50)
    assert sinkhorn(samples[:50], held_out, size=50) == few
    assert sinkhorn(samples, held_out) < few
    in_order = torch.cat([torch.zeros(100, 1), torch.ones(100, 1)])
    assert sliced(in_order[:100] + 0.5, in_order) == pytest.approx(0.5, abs=0.1)


def test_samples_that_are_not_finite_are_at_no_distance_that_is_known() -> None:
    x = normal(10, 2)
    assert math.isnan(sinkhorn(x / 0, x))
    assert math.isnan(sliced(x / 0 - x / 0, x))
