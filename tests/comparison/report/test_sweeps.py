"""Metrics against the values of sweeps."""

from __future__ import annotations

from typing import Any

import pytest

from genloss.comparison.report.drawing import Path, Symbol, Text
from genloss.comparison.report.sweeps import drawings, sweeps
from tests.comparison.report.examples import compared, runs, sweep

WEIGHT = "objectives.beta.network.gaussian_kl.weight"


def texts(drawing: Any) -> list[str]:
    return [mark.text for mark in drawing.marks if isinstance(mark, Text)]


def test_there_is_none_without_points() -> None:
    assert sweeps(compared(runs(["plain", "beta"], 2))) == []


def test_a_value_that_spans_decades_is_on_a_logarithmic_axis() -> None:
    found = sweep({WEIGHT: [0.1, 1, 10]}, ["beta"]) + runs(["elbo"], 3)
    comparison = compared(found, baseline="elbo")
    (one,) = sweeps(comparison)
    assert one.paths == (WEIGHT,)
    ((_, drawing),) = drawings(comparison, one, "distance")
    means = [mark for mark in drawing.marks if isinstance(mark, Symbol) and mark.size == 9]
    assert len(means) == 3
    assert means[1].x - means[0].x == pytest.approx(means[2].x - means[1].x)
    assert any(text.endswith("(log scale)") for text in texts(drawing))
    assert "elbo (baseline)" in texts(drawing)


def test_two_values_on_a_grid_are_a_heat_map_for_each_base() -> None:
    comparison = compared(sweep({"lr": [1e-4, 1e-3, 1e-2], "model.latent_dim": [2, 4]}, ["beta", "elbo"]))
    (one,) = sweeps(comparison)
    maps = drawings(comparison, one, "distance")
    assert [base for base, _ in maps] == ["beta", "elbo"]
    cells = [mark for mark in maps[0][1].marks if isinstance(mark, Path) and mark.filled]
    assert len(cells) == 6
    best = min(comparison.summaries["distance"], key=lambda o: comparison.summaries["distance"][o].mean)
    worst = max(comparison.summaries["distance"], key=lambda o: comparison.summaries["distance"][o].mean)
    colours = {cell.title.split(":")[0]: cell.colour for cell in cells}
    if best in colours:
        assert colours[best] == "#ffea46"
    if worst in colours:
        assert colours[worst] == "#00204d"
    assert best in colours or worst in colours


def test_more_values_have_a_plot_each_without_lines() -> None:
    comparison = compared(sweep({"a": [1, 2], "b": [1, 2], "c": [1, 2]}, ["beta"], seeds=2))
    (one,) = sweeps(comparison)
    plots = drawings(comparison, one, "distance")
    assert len(plots) == 3
    assert all(mark.title != "beta" for _, d in plots for mark in d.marks if isinstance(mark, Path))


def test_names_stand_side_by_side() -> None:
    comparison = compared(sweep({"model.network": ["mlp", "conv", "resnet"]}, ["beta"]))
    ((_, drawing),) = drawings(comparison, sweeps(comparison)[0], "distance")
    assert {"mlp", "conv", "resnet", "model.network"} <= set(texts(drawing))
    assert "0.5" not in texts(drawing)


def test_a_value_that_does_not_vary_is_no_axis() -> None:
    comparison = compared(sweep({"lr": [0.1], "steps": [1, 2]}, ["beta"]))
    assert sweeps(comparison)[0].paths == ("steps",)
