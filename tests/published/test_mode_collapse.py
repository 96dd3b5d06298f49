"""Modes that chance captures."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest
import torch

import genloss
from genloss.comparison.statistics import least_seeds
from genloss.planning.plan import plan
from tests.comparison.studies import run
from tests.published.conftest import PUBLISHED


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


@pytest.mark.parametrize(("name", "modes"), [("RING", 8), ("GRID", 25)])
def test_intervals_end_at_the_number_of_modes(
    name: str, modes: int, module: Callable[[str], ModuleType]
) -> None:
    runs = [
        run(objective, seed, "FINISHED", metrics={"modes_captured": modes - lost, "high_quality": share})
        for objective in ("non_saturating", "minimax")
        for seed, (lost, share) in enumerate([(0, 0.9), (0, 0.01), (2, 0.95)])
    ]
    mode_collapse = module("checks.mode_collapse")
    rows = mode_collapse.rows_of(getattr(mode_collapse, name))(SimpleNamespace(runs=runs))
    ends = {row.what: row.ours.rpartition(", ")[2] for row in rows if "`" in row.what}
    assert ends == {
        f"`{objective}`: {what}": end
        for objective in ("non_saturating", "minimax")
        for what, end in (("modes", f"{modes}.0]"), ("share of good samples", "1.0]"))
    }
    (minimax,) = (row.ours for row in rows if row.what == "`minimax`: share of good samples")
    assert minimax == "0.6 [0.0, 1.0]"


def test_the_seeds_are_too_few_to_decide_as_the_note_says(module: Callable[[str], ModuleType]) -> None:
    mode_collapse = module("checks.mode_collapse")
    for check in mode_collapse.CHECKS:
        experiment = plan(PUBLISHED / f"{check.experiment}.yaml").experiment
        names = [objective.name for objective in experiment.objectives]
        assert (names[0], len(names) - 1) == ("non_saturating", 5)
        assert (len(experiment.seeds), least_seeds(5), check.full["seeds"]) == (5, 8, 10)
        assert mode_collapse.UNDECIDED in check.notes
