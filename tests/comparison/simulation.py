"""How often the claims of a comparison are right, on simulated studies whose truth is known.

    python -m tests.comparison.simulation

prints the tables and writes them to RESULTS.md, in about a minute. The functions are those of the product;
the studies are gone through together, as arrays `[study, objective, seed]`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genloss.comparison.statistics import (
    LEVEL,
    POWER,
    holm,
    needed_seeds,
    probability_of_winning,
    sign_flip_p,
    t_interval,
)

Array = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

SEED = 0
STUDIES = 2000
SEEDS = (3, 5, 10)
OBJECTIVES = 4
PAIRS = math.comb(OBJECTIVES, 2)
MONTE_CARLO = math.sqrt(LEVEL * (1 - LEVEL) / STUDIES)
"""The standard error of a rate near 5 % or 95 %."""
RESULTS = Path(__file__).with_name("RESULTS.md")


@dataclass(frozen=True)
class Truth:
    """How a metric is distributed: a share of the seed, which all objectives have, and a run's own noise.

    Both have the same distribution and the mean 0, so that no objective is better than another.

    Attributes:
        draw: values with the mean 0.
        scales: of the objectives' own noise.
        normal: whether the values and their differences are normal, as Student's t assumes.
        symmetric: whether the differences are symmetric around 0, as the sign flips assume. They are where
            the objectives are exchangeable, whatever the distribution.
        deviation: the standard deviation of a value that is drawn.
    """

    name: str
    draw: Draw
    scales: tuple[float, ...] = (1.0,) * OBJECTIVES
    normal: bool = False
    symmetric: bool = True
    deviation: float = 1.0

    def studies(self, count: int, seeds: int, rng: np.random.Generator) -> Array:
        """Values `[study, objective, seed]`."""
        shared = self.draw(rng, (count, 1, seeds))
        own = self.draw(rng, (count, len(self.scales), seeds))
        return shared + own * np.array(self.scales)[:, None]


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.normal(size=shape)


def _exponential(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.exponential(size=shape) - 1


def _lognormal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.lognormal(size=shape) - math.exp(0.5)


UNEQUAL = (1.0, 3.0, 3.0, 3.0)
TRUTHS = (
    Truth("normal", _normal, normal=True),
    Truth("normal, unequal spread", _normal, UNEQUAL, normal=True),
    Truth("exponential", _exponential),
    Truth("lognormal", _lognormal, deviation=math.sqrt((math.e - 1) * math.e)),
    Truth("exponential, unequal spread", _exponential, UNEQUAL, symmetric=False),
    Truth("lognormal, unequal spread", _lognormal, UNEQUAL, symmetric=False),
)


@dataclass(frozen=True)
class Rates:
    """Shares of the studies.

    Attributes:
        mean: whose interval of an objective's mean covers the truth.
        difference: whose interval of a paired difference does.
        probability: whose interval of the probability to win does; NaN where the truth is not ½.
        one: that make a false claim in a single comparison.
        baseline: that make one in the comparisons with the baseline.
        pairs: that make one in those of all pairs.
    """

    truth: Truth
    seeds: int
    mean: float
    difference: float
    probability: float
    one: float
    baseline: float
    pairs: float


def rates(truth: Truth, seeds: int, studies: int = STUDIES) -> Rates:
    """The rates of a truth at a number of seeds."""
    values = truth.studies(studies, seeds, np.random.default_rng((SEED, seeds, TRUTHS.index(truth))))
    differences = paired(values)
    p = sign_flip_p(differences)
    chance = math.nan
    if truth.symmetric:
        wins = (differences[:, 0] > 0).sum(axis=-1)
        chances = [probability_of_winning(each, 0, seeds) for each in wins.tolist()]
        chance = float(np.mean([low <= 0.5 <= high for _, low, high in chances]))
    return Rates(
        truth,
        seeds,
        covered(values[:, 1]),
        covered(differences[:, 0]),
        chance,
        float(np.mean(p[:, 0] <= LEVEL)),
        false_claims(p[:, : OBJECTIVES - 1]),
        false_claims(p),
    )


def paired(values: Array) -> Array:
    """The differences `[study, pair, seed]`, those with the first objective first."""
    return np.stack(
        [
            values[:, one] - values[:, other]
            for other, one in itertools.combinations(range(values.shape[1]), 2)
        ],
        axis=1,
    )


def covered(values: Array) -> float:
    """The share of the rows whose interval covers 0."""
    _, low, high = t_interval(values)
    return float(np.mean((low <= 0) & (high >= 0)))


def false_claims(p: Array) -> float:
    """The share of the studies whose family of p-values has a claim after Holm's correction."""
    return float(np.mean((holm(p) <= LEVEL).any(axis=-1)))


@dataclass(frozen=True)
class Differing:
    """How often the claims of a family are right where two of five objectives differ from the others.

    Attributes:
        family: `baseline` or `all pairs`.
        wrong: the share of the studies that claim a difference of objectives that are alike.
        found: by the effect, the share of the differences of that size that are claimed.
    """

    truth: Truth
    seeds: int
    family: str
    wrong: float
    found: Mapping[float, float]


EFFECTS = (0.0, 0.0, 0.0, 1.0, 2.0)
"""By how many standard deviations of a paired difference each is worse; the first is the baseline."""
DIFFERING = ((TRUTHS[0], 8), (TRUTHS[0], 10), (TRUTHS[0], 12), (TRUTHS[2], 10), (TRUTHS[3], 10))
"""Exchangeable but for their means, and numbers of seeds."""


def differing(truth: Truth, seeds: int, studies: int = STUDIES) -> list[Differing]:
    """The rates of both families."""
    rng = np.random.default_rng((SEED, seeds, len(TRUTHS) + TRUTHS.index(truth)))
    values = replace(truth, scales=(1.0,) * len(EFFECTS)).studies(studies, seeds, rng)
    # Of each difference the seed's share cancels, and two noises are left.
    values += (math.sqrt(2) * truth.deviation * np.array(EFFECTS))[:, None]
    p = sign_flip_p(paired(values))
    effects = np.array([one - other for other, one in itertools.combinations(EFFECTS, 2)])
    found = []
    for family, size in (("baseline", len(EFFECTS) - 1), ("all pairs", len(effects))):
        claimed = holm(p[:, :size]) <= LEVEL
        sizes = effects[:size]
        powers = {effect: float(claimed[:, sizes == effect].mean()) for effect in (1.0, 2.0)}
        wrong = float(claimed[:, sizes == 0].any(axis=-1).mean())
        found.append(Differing(truth, seeds, family, wrong, powers))
    return found


@dataclass(frozen=True)
class Power:
    """How often an effect is decided with the seeds that `needed_seeds` says.

    Attributes:
        effect: mean over standard deviation of the differences, which are normal.
        comparisons: of the family.
        seeds: needed.
        found: the share of the studies whose sign-flip test decides at the level of Holm's first step.
    """

    effect: float
    comparisons: int
    seeds: int
    found: float


def powers(studies: int = STUDIES) -> Iterator[Power]:
    for effect, comparisons in itertools.product((1.2, 1.5, 2.0), (1, 5)):
        seeds = int(needed_seeds(effect, comparisons))
        rng = np.random.default_rng((SEED, seeds, comparisons))
        p = sign_flip_p(rng.normal(effect, size=(studies, seeds)))
        yield Power(effect, comparisons, seeds, float(np.mean(p <= LEVEL / comparisons)))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown whose columns stand below each other."""
    lines = [columns, *rows]
    sizes = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    texts = [[cell.ljust(size) for cell, size in zip(line, sizes, strict=True)] for line in lines]
    texts.insert(1, ["-" * size for size in sizes])
    return "".join(f"| {' | '.join(line)} |\n" for line in texts)


INTRODUCTION = f"""# How often a comparison is right

{STUDIES:,} simulated studies a line, each with {OBJECTIVES} objectives of which none is better
than another, but where it is said: the values are a share of the seed, which all objectives have, plus a
noise of each run's own, both of the distribution named. Random seed {SEED}; the Monte Carlo error of a rate
near 5 % or 95 % is {MONTE_CARLO:.1%}. Made by `python -m tests.comparison.simulation`;
`tests/comparison/test_simulation.py` holds it to its bounds.
"""
COVERAGE = """
## What the 95% confidence intervals cover

Student's t assumes normal values. Where they are skewed, the interval of an objective's mean covers too
little; that of the paired difference of exchangeable objectives covers rather too much, since the skew
cancels. "Unequal spread": the noise of the others is three times the baseline's.

"""
CLAIMS = f"""
## How often there is a false claim

By the exact sign-flip test at {LEVEL}, Holm-corrected within each family: one comparison alone, the
{OBJECTIVES - 1} with the baseline, the {PAIRS} of all pairs. The test assumes differences that are symmetric
around 0, as those of exchangeable objectives are. With 3 seeds p is at least 0.25, with 5 at least 0.0625:
nothing is claimed, rightly or wrongly.

"""
STRONG = f"""
## Whether true differences bring false claims

Five objectives, of which two are worse than the other three: by 1 and by 2 standard deviations of the paired
differences. "Wrong": the share of the studies with any claim among the three that are alike, two of them
compared with the third as the baseline, or the three pairs of them; it must stay at {LEVEL:.0%}, too.
"Found by 1", "found by 2": the share of the differences of that size that are claimed, after Holm's
correction for the 4 comparisons with the baseline, or for all 10 pairs. With 8 seeds 10 pairs cannot be
decided.

"""
NEEDED = f"""
## Whether the seeds that are said to be needed are enough

Normal differences, whose mean is so many times their standard deviation. "Needed" is meant to give a power of
{POWER:.0%}; "decided" is the share of the studies that the sign-flip test decides then.

"""


def report() -> str:
    """All of it, as Markdown."""
    every = [rates(truth, seeds) for truth in TRUTHS for seeds in SEEDS]
    coverage = [
        [
            *(each.truth.name, str(each.seeds)),
            *map(percent, (each.mean, each.difference, each.probability)),
            "yes" if each.truth.normal else "no",
        ]
        for each in every
    ]
    claims = [
        [
            *(each.truth.name, str(each.seeds)),
            *map(percent, (each.one, each.baseline, each.pairs)),
            "yes" if each.truth.symmetric else "no",
        ]
        for each in every
    ]
    strong = [
        [
            *(each.truth.name, str(each.seeds), each.family, percent(each.wrong)),
            *map(percent, each.found.values()),
        ]
        for case in DIFFERING
        for each in differing(*case)
    ]
    power = [[str(p.effect), str(p.comparisons), str(p.seeds), percent(p.found)] for p in powers()]
    return "".join(
        [
            INTRODUCTION,
            COVERAGE,
            table(["values", "seeds", "mean", "difference", "wins", "t's assumption holds"], coverage),
            CLAIMS,
            table(["values", "seeds", "one", "baseline", "all pairs", "test's assumption holds"], claims),
            STRONG,
            table(["values", "seeds", "family", "wrong", "found by 1", "found by 2"], strong),
            NEEDED,
            table(["effect", "comparisons", "needed", "decided"], power),
        ]
    )


def percent(rate: float) -> str:
    return "–" if math.isnan(rate) else f"{rate:.1%}"


if __name__ == "__main__":
    RESULTS.write_text(report())
    print(RESULTS.read_text())
