"""Plots of losses by step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from genloss.comparison.report import losses
from genloss.comparison.report.drawing import Symbol, Text
from genloss.comparison.report.losses import loss_curves
from genloss.record.events import Column, ColumnsDeclared, Evaluated
from genloss.record.folder import RunFolder
from genloss.record.frame import Values
from genloss.record.journal import Journal
from tests.comparison.report.examples import Memory, compared, failed, runs, source

STEPS = np.array([0.0, 1.0, 2.0])


def test_losses_have_a_plot_a_player_and_a_line_a_term() -> None:
    found = runs(["plain"], 3)
    one, other = losses.losses(compared(found), source(found), "plain")
    assert (one.player, other.player) == ("discriminator", "generator")
    assert [name for name, _, _ in one.terms] == ["fit", "penalty", "total"]
    assert len({dash for _, _, dash in one.terms}) == 3
    assert (one.held_out, other.held_out) == (False, True)
    assert not one.failed


def test_a_single_terms_total_is_left_out() -> None:
    found = runs(["plain"], 1)
    values = {
        "network/nll": (STEPS, STEPS),
        "network/total": (STEPS, STEPS),
        "network/gradient_norm": (STEPS, STEPS),
    }
    (plot,) = losses.losses(compared(found), Memory(lines={"plain-0": values}), "plain")
    assert [name for name, _, _ in plot.terms] == ["nll"]


def test_a_run_that_failed_is_a_thin_line_with_a_cross() -> None:
    found = runs(["plain"], 3)
    found[1] = failed(found[1])
    plot = losses.losses(compared(found), source(found), "plain")[0]
    assert plot.failed
    crosses = [mark for mark in plot.drawing.marks if isinstance(mark, Symbol) and mark.shape == "cross"]
    assert len(crosses) == 3


def test_losses_that_are_nowhere_finite_have_no_plot() -> None:
    found = [failed(run) for run in runs(["plain"], 2)]
    nothing = {run.name: {"network/nll": (STEPS, np.full(3, np.nan))} for run in found}
    assert losses.losses(compared(found), Memory(lines=nothing), "plain") == []
    assert losses.losses(compared(found), Memory(), "plain") == []


@pytest.mark.parametrize("cut", [0, 2])
def test_steps_go_to_the_last_that_was_done(cut: int) -> None:
    found = [replace(run, cost=replace(run.cost, steps=1000)) for run in runs(["plain"], 1)]
    plot = losses.losses(compared(found), source(found), "plain")[cut // 2]
    labels = [mark.text for mark in plot.drawing.marks if isinstance(mark, Text)]
    assert "1000" in labels


def test_a_figure_has_a_panel_a_player(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    path = tmp_path / "curves.png"
    with Journal(folder.journal) as journal:
        assert not loss_curves(folder, path)
        columns = ["one/a", "one/total", "two/b", "two/total"]
        journal.event(ColumnsDeclared(columns=tuple(Column(key, 1) for key in columns)))
        values = np.random.default_rng(0).normal(size=(100, 4))
        journal.values(Values(0, np.zeros(100, np.int64), values))
        journal.event(Evaluated(step=100, values={"held_out/one/a": 0.5}))
    assert loss_curves(folder, path)
    with PIL.Image.open(path) as image:
        assert image.width > 2 * image.height > 400
