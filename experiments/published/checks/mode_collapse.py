"""Modes of a mixture captured by adversarial objectives, compared with those of PacGAN's GAN."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import genloss

from .expected import PACGAN, PACGAN_GRID_MODES, PACGAN_RING_MODES
from .frame import Check, Row, measured, number, seen, values

THEIRS = "non_saturating"
"""The objective of PacGAN's GAN."""

ABOUT = """\
Six adversarial objectives with the same network, data, budget and seeds. Of 2,500 samples, one is good if it
is within three standard deviations of its nearest mode; a mode is captured if it is nearest to a good sample,
as in PacGAN."""

WHY = """\
**Published numbers do not transfer.** How many modes "the GAN" captures depends on details that tables seldom
report: PacGAN's has a generator of four layers of 400 with batch normalisation, a discriminator of three
maxout layers of 200, batches of 100, Adam with learning rate 1e-4 and β₁ 0.8, and 400,000 steps (its code,
`synthetic_data_experiments`); in another table, a GAN captures 1 of the ring's 8 modes (Srivastava et al.
2017, VEEGAN, arXiv:1705.07761). Only objectives within one protocol can be compared, as in the rows of this
table."""

READ = """\
A single good sample captures a mode, so read the number of modes together with the share of good samples, and
compare both with those of points distributed uniformly over the square around the modes. Student's t does not
respect bounds, so intervals are clipped to 0 and the number of modes."""

UNDECIDED = """\
With the default's five seeds, none of the five comparisons with `non_saturating` can be significant: the
exact test of `genloss compare` needs eight (`--set seeds=8`; `--full` uses ten). With five, differences in
the table are observed, not significant."""

SAMPLES = 2500
THRESHOLD = 3
"""Standard deviations."""


@dataclass(frozen=True)
class Mixture:
    """A mixture of identical modes.

    Attributes:
        modes: number of modes.
        scale: standard deviation of each mode.
        side: side of a square around all modes, with a margin of half the distance between neighbours.
        theirs: number of modes captured by PacGAN's GAN, and the reported error.
    """

    modes: int
    scale: float
    side: float
    theirs: tuple[float, float]

    def scattered(self) -> tuple[float, float]:
        """Return expected captured modes and share of good samples for uniform points in the square."""
        each = math.pi * (THRESHOLD * self.scale) ** 2 / self.side**2
        return self.modes * (1 - (1 - each) ** SAMPLES), self.modes * each


RING = Mixture(8, 0.01, 2 + 2 * math.sin(math.pi / 8), PACGAN_RING_MODES)
GRID = Mixture(25, 0.05, 10.0, PACGAN_GRID_MODES)


def rows_of(mixture: Mixture) -> Callable[[genloss.StudyResult], Sequence[Row]]:
    """Return a function that compares the objectives with PacGAN's GAN and with uniform points."""

    def rows(result: genloss.StudyResult) -> list[Row]:
        objectives = list(dict.fromkeys(run.objective for run in result.runs))
        modes = {name: list(values(result, name, "modes_captured").values()) for name in objectives}
        good = {name: list(values(result, name, "high_quality").values()) for name in objectives}
        by_chance, good_by_chance = mixture.scattered()
        possible = (0, mixture.modes)
        return [
            *(
                measured(f"`{name}`: modes", *mixture.theirs, ours, spread_of="error", possible=possible)
                if name == THEIRS
                else seen(f"`{name}`: modes", ours, possible)
                for name, ours in modes.items()
                if ours
            ),
            Row("uniform points: modes", "–", number(by_chance), "", "computed"),
            *(seen(f"`{name}`: share of good samples", ours, (0, 1)) for name, ours in good.items() if ours),
            Row("uniform points: share of good samples", "–", number(good_by_chance), "", "computed"),
        ]

    return rows


FULL = {"training.steps": 400_000, "evaluation.every": 50_000, "seeds": 10}

CHECKS: Sequence[Check] = (
    Check("mode_collapse_ring", (PACGAN,), ABOUT, rows_of(RING), FULL, (READ, UNDECIDED, WHY)),
    Check("mode_collapse_grid", (PACGAN,), ABOUT, rows_of(GRID), FULL, (READ, UNDECIDED, WHY)),
)
