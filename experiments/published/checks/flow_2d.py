"""Flows between distributions in the plane, with independent or optimal transport coupling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from scipy import stats

import genloss

from .expected import FLOW_2D, FLOW_2D_DISTANCES
from .frame import Check, Interval, Row, measured, number, ordering, values

METRIC = "wasserstein_distance"
SEEDS = 5
"""The paper's number of seeds."""
NAMES = {"ot_cfm": "OT-CFM", "i_cfm": "I-CFM"}
PAIRS = {
    "flow_2d_normal_8gaussians": (
        "N(0, I)",
        "a ring of eight Gaussians, of radius 5 and standard deviation 1",
    ),
    "flow_2d_moons_8gaussians": (
        "two moons, with coordinates of standard deviation 7,",
        "a ring of eight Gaussians, of radius 12 and standard deviation 1.5",
    ),
    "flow_2d_normal_moons": ("N(0, I)", "two moons of radius 2 with noise 0.1"),
    "flow_2d_normal_scurve": ("N(0, I)", "an S of radius 1.5 with noise 0.075"),
}
FULL = {"training.steps": 19_000, "evaluation.samples": 10_000, "seeds": SEEDS}
"""1,000 epochs of 19 batches, and the paper's number of samples and seeds."""

NOTES = (
    "σ and the scales of the distributions are taken from the experiments in the authors' repository "
    "(atong01/conditional-flow-matching, folder `runner`); its tutorials use other scales.",
    "The default's distances may differ from the paper's: it trains for 100 of the 1,000 epochs and uses "
    "4,000 of the 10,000 samples; `--full` uses the paper's numbers. A distance between finitely many points "
    "is never 0: the reference is that of training data to the same held-out data. From moons to eight "
    "Gaussians it is 0.648 with 4,000 samples, above the paper's 0.601 for OT-CFM, which the default "
    "therefore cannot reach. With eight modes, most of the reference comes from the random number of points "
    "in each mode; our points are drawn once and are the same for all seeds.",
    "The default has ten seeds; the paper and `--full` have five. With five seeds and the default's budget, "
    "two of the four differences were not significant, and no exact test could be (the minimum p of "
    "`genloss compare` is 0.062).",
)


def rows(name: str, result: genloss.StudyResult) -> list[Row]:
    """Compare each objective's distance with the paper's, and the two objectives."""
    found = {objective: values(result, objective, METRIC) for objective in NAMES}
    reference = result.comparison.references[METRIC]
    return [
        *(
            measured(
                f"{NAMES[objective]}, 2-Wasserstein distance",
                *FLOW_2D_DISTANCES[name][objective],
                list(found[objective].values()),
                spread_of="standard deviation over five seeds",
            )
            for objective in NAMES
        ),
        difference(name, found),
        Row("real data in place of samples", "", number(reference), "", "best expected"),
    ]


def difference(name: str, found: Mapping[str, Mapping[int, float]]) -> Row:
    """Compare OT-CFM with I-CFM; the difference must be below 0 if it is significant in the paper."""
    row = ordering("OT-CFM − I-CFM, paired seeds", found["ot_cfm"], found["i_cfm"])
    seeds = found["ot_cfm"].keys() & found["i_cfm"].keys()
    ours = Interval.of([found["ot_cfm"][seed] - found["i_cfm"][seed] for seed in seeds])
    if ours.low <= 0 <= ours.high and not shown_by_the_paper(name):
        return replace(row, verdict=f"{row.verdict}, as with the paper's five", missed=False)
    return row


def shown_by_the_paper(name: str) -> bool:
    """Return whether Welch's t-test on the paper's means and standard deviations has p < 0.05."""
    paper = FLOW_2D_DISTANCES[name]
    test = stats.ttest_ind_from_stats(*paper["ot_cfm"], SEEDS, *paper["i_cfm"], SEEDS, equal_var=False)
    return bool(test.pvalue < 0.05)


def check(name: str) -> Check:
    """Return the check of one pair of distributions."""
    source, target = PAIRS[name]
    return Check(
        name,
        (FLOW_2D,),
        f"From {source} to {target}, by conditional flow matching with independent coupling (I-CFM) or with "
        "each batch coupled by optimal transport (OT-CFM): an MLP with three layers of 64 SELUs, σ = 0.1 "
        "around the path, AdamW, batches of 512 from 10,000 points, 100 steps of Euler's method.",
        partial(rows, name),
        full=FULL,
        notes=NOTES,
    )


CHECKS: Sequence[Check] = tuple(check(name) for name in PAIRS)
