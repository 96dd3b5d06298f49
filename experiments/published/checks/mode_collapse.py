"""Modes of a mixture that adversarial objectives capture, beside those of PacGAN's GAN."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import genloss

from .expected import PACGAN, PACGAN_GRID_MODES, PACGAN_RING_MODES
from .frame import Check, Row, measured, number, seen, values

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

READ = """\
A single good sample captures a mode, so that the number of modes is to be read with the share of good
samples, and with both for points that are scattered evenly over the square around the modes. Intervals end at
0 and at the number of modes, where Student's t, which knows of no bounds, goes beyond."""

UNDECIDED = """\
The default's five seeds can decide none of the five comparisons with `non_saturating`: the exact test of
`genloss compare` needs eight for that (`--set seeds=8`; `--full` takes ten). With five, what differs in the
table is seen, not shown."""

SAMPLES = 2500
THRESHOLD = 3
"""Standard deviations."""


@dataclass(frozen=True)
class Mixture:
    """Modes that all are alike.

    Attributes:
        modes: how many.
        scale: standard deviation of each.
        side: of a square that has all of them inside, by half the distance of neighbours.
        theirs: modes that PacGAN's GAN captures, and the error given there.
    """

    modes: int
    scale: float
    side: float
    theirs: tuple[float, float]

    def scattered(self) -> tuple[float, float]:
        """Modes captured, in expectation, and share of good samples, of points scattered evenly there."""
        each = math.pi * (THRESHOLD * self.scale) ** 2 / self.side**2
        return self.modes * (1 - (1 - each) ** SAMPLES), self.modes * each


RING = Mixture(8, 0.01, 2 + 2 * math.sin(math.pi / 8), PACGAN_RING_MODES)
GRID = Mixture(25, 0.05, 10.0, PACGAN_GRID_MODES)


def rows_of(mixture: Mixture) -> Callable[[genloss.StudyResult], Sequence[Row]]:
    """The rows, beside what PacGAN's GAN captures and what chance would."""

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
            Row("scattered evenly: modes", "–", number(by_chance), "", "computed"),
            *(seen(f"`{name}`: good samples, share", ours, (0, 1)) for name, ours in good.items() if ours),
            Row("scattered evenly: good samples, share", "–", number(good_by_chance), "", "computed"),
        ]

    return rows


FULL = {"training.steps": 400_000, "evaluation.every": 50_000, "seeds": 10}

CHECKS: Sequence[Check] = (
    Check("mode_collapse_ring", (PACGAN,), ABOUT, rows_of(RING), FULL, (READ, UNDECIDED, WHY)),
    Check("mode_collapse_grid", (PACGAN,), ABOUT, rows_of(GRID), FULL, (READ, UNDECIDED, WHY)),
)
