"""Modes that chance captures."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch

import genloss


@pytest.mark.parametrize(("name", "data"), [("RING", "gaussian_ring"), ("GRID", "gaussian_grid")])
def test_points_that_are_scattered_evenly_capture_modes(
    name: str, data: str, module: Callable[[str], ModuleType]
) -> None:
    """Computed, and counted by the metric on 400 draws of 2,500 points."""
    mode_collapse = module("checks.mode_collapse")
    mixture = getattr(mode_collapse, name)
    truth = genloss.catalogue().datasets[data](size=2, held_out=2).truth
    assert (len(truth["modes"]), truth["mode_scale"]) == (mixture.modes, mixture.scale)
    metric = genloss.catalogue().metrics["mixture_coverage"]
    generator = torch.Generator().manual_seed(1)
    found = []
    for _ in range(400):
        points = mixture.side * (torch.rand(mode_collapse.SAMPLES, 2, generator=generator) - 0.5)
        counted = metric(samples=points, modes=truth["modes"], mode_scale=truth["mode_scale"])
        found.append(list(metric.numbers(counted).values()))
    counts = torch.tensor(found, dtype=torch.float64)
    error = counts.std(0) / len(counts) ** 0.5
    apart = counts.mean(0) - torch.tensor(mixture.scattered(), dtype=torch.float64)
    assert bool((apart.abs() < 5 * error).all())
