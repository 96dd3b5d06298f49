"""Modes of a mixture that adversarial objectives capture, beside those of PacGAN's GAN."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import genloss

from .expected import PACGAN, PACGAN_GRID_MODES, PACGAN_RING_MODES
from .frame import Check, Row, measured, seen, values

THEIRS = "non_saturating"
"""The objective that PacGAN's GAN has, too."""

ABOUT = """\
Six adversarial objectives with the same network, data, budget and seeds. Of 2,500 samples, one is good if it
is within three standard deviations of its nearest mode; a mode is captured if it is nearest to a good sample,
as in PacGAN."""

WHY = """\
**Published numbers do not transfer.** How many modes "the GAN" captures depends on what a table seldom says:
PacGAN's has a generator of four layers of 400 with batch normalisation, a discriminator of three maxout
layers of 200, batches of 100, Adam with learning rate 1e-4 and β₁ 0.8, and 400,000 steps (its code,
`synthetic_data_experiments`); another table has a GAN that captures 1 of the ring's 8 modes (Srivastava et
al. 2017, VEEGAN, arXiv:1705.07761). What can be compared are objectives within one protocol, as in the rows
of this table."""


def rows_beside(number: tuple[float, float]) -> Callable[[genloss.StudyResult], Sequence[Row]]:
    """The rows, with the number of modes that PacGAN's GAN captures."""

    def rows(result: genloss.StudyResult) -> list[Row]:
        objectives = list(dict.fromkeys(run.objective for run in result.runs))
        modes = {name: list(values(result, name, "modes_captured").values()) for name in objectives}
        good = {name: list(values(result, name, "high_quality").values()) for name in objectives}
        found = [
            measured(f"`{name}`: modes", *number, ours, spread_of="error")
            if name == THEIRS
            else seen(f"`{name}`: modes", ours)
            for name, ours in modes.items()
            if ours
        ]
        return found + [seen(f"`{name}`: good samples, share", ours) for name, ours in good.items() if ours]

    return rows


FULL = {"training.steps": 400_000, "evaluation.every": 50_000, "seeds": 10}

CHECKS: Sequence[Check] = (
    Check("mode_collapse_ring", (PACGAN,), ABOUT, rows_beside(PACGAN_RING_MODES), FULL, (WHY,)),
    Check("mode_collapse_grid", (PACGAN,), ABOUT, rows_beside(PACGAN_GRID_MODES), FULL, (WHY,)),
)
