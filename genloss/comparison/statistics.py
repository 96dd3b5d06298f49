"""Statistics over seeds: means, paired differences, and their uncertainty.

Functions of arrays have the seeds in the last axis, all finite. None of them warns: what is undefined,
such as an interval of one seed, is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LEVEL = 0.05
"""Of all tests; intervals are at 1 − LEVEL."""
POWER = 0.8
FLIPS = 2**13
"""Enumerate up to this many sign flips; sample this many beyond."""
MOST_SEEDS = 1000
"""The largest number of seeds that is looked for."""
ROUNDING = 1e-14
"""Relative tolerance below which a standard deviation counts as zero."""
CHUNK = 256


@dataclass(frozen=True)
class Summary:
    """A metric of one objective over its seeds.

    Attributes:
        count: seeds that finished with a finite number.
        mean: of those.
        low: the lower end of the mean's 95% confidence interval; NaN for a single seed.
        high: its upper end.
        interquartile_mean: see the function.
        best: the best seed's.
        worst: the worst seed's.
        deviation: the sample's standard deviation; NaN for a single seed.
        not_finite: seeds that finished with NaN, infinity or no number, which are in none of the above.
    """

    count: int = 0
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    interquartile_mean: float = math.nan
    best: float = math.nan
    worst: float = math.nan
    deviation: float = math.nan
    not_finite: int = 0

    @property
    def half_width(self) -> float:
        """Of the mean's interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Difference:
    """A metric's `objective` − `other`, over the seeds that both have.

    Attributes:
        by_seed: the differences.
        seeds: how many there are.
        mean: of the differences.
        low: the lower end of its 95% confidence interval; NaN with fewer than two seeds, as all below are.
        high: its upper end.
        effect_size: Hedges' g of the differences.
        p: the sign-flip test's.
        p_holm: the same, corrected for the other comparisons of the metric.
        least_p: no p can be below it with so many seeds.
        probability: that `objective` beats `other` with the same seed.
        probability_low: the lower end of its 95% confidence interval.
        probability_high: its upper end.
        needed_seeds: how many would make a difference as large as the observed one significant; infinite if
            more than 1,000, NaN if nothing can be said.
        significant: whether p_holm is at most 0.05.
        better: whether the mean is in favour of `objective`.
    """

    metric: str
    objective: str
    other: str
    by_seed: Mapping[int, float] = field(default_factory=dict)
    seeds: int = 0
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    effect_size: float = math.nan
    p: float = math.nan
    p_holm: float = math.nan
    least_p: float = math.nan
    probability: float = math.nan
    probability_low: float = math.nan
    probability_high: float = math.nan
    needed_seeds: float = math.nan
    significant: bool = False
    better: bool = False


def summarize(values: npt.ArrayLike, *, higher_is_better: bool) -> Summary:
    """The summary of one objective's values; what is not finite is counted, and left out."""
    every = np.asarray(values, dtype=np.float64)
    finite = every[np.isfinite(every)]
    missing = len(every) - len(finite)
    if not len(finite):
        return Summary(not_finite=missing)
    mean, low, high = t_interval(finite)
    least, most = float(finite.min()), float(finite.max())
    return Summary(
        count=len(finite),
        mean=float(mean),
        low=float(low),
        high=float(high),
        interquartile_mean=float(interquartile_mean(finite)),
        best=most if higher_is_better else least,
        worst=least if higher_is_better else most,
        deviation=float(standard_deviation(finite)),
        not_finite=missing,
    )


def t_interval(values: Array) -> tuple[Array, Array, Array]:
    """The mean and its 95% confidence interval by Student's t: mean ± t₀.₉₇₅(n−1)·s/√n.

    It covers at its level for normal values; for skewed ones the few seeds of a study cover less.

    Source: Student 1908, The probable error of a mean (Biometrika 6).
    """
    from scipy.stats import t

    count = values.shape[-1]
    scale = _scale(values)
    with np.errstate(over="ignore"):
        mean = np.mean(values / scale[..., None], axis=-1) * scale
        if count < 2:
            return mean, np.full_like(mean, math.nan), np.full_like(mean, math.nan)
        half = t.ppf(1 - LEVEL / 2, count - 1) * standard_deviation(values) / math.sqrt(count)
        return mean, mean - half, mean + half


def standard_deviation(values: Array) -> Array:
    """The sample's standard deviation (divisor n − 1); NaN for one value, 0 where only rounding differs."""
    scale = _scale(values)
    if values.shape[-1] < 2:
        return np.full_like(scale, math.nan)
    relative = np.std(values / scale[..., None], axis=-1, ddof=1)
    return np.where(relative <= ROUNDING, 0.0, relative) * scale


def interquartile_mean(values: Array) -> Array:
    """The mean of the middle half of the seeds: a quarter of them, rounded down, is left out at either end.

    More robust than the mean, more efficient than the median. With fewer than four seeds nothing is left out,
    and it is the mean; with four to seven the best and the worst are.

    Source: Agarwal et al. 2021, Deep reinforcement learning at the edge of the statistical precipice
    (arXiv:2108.13264).
    """
    from scipy.stats import trim_mean

    scale = _scale(values)
    trimmed: Array = trim_mean(values / scale[..., None], 0.25, axis=-1) * scale
    return trimmed


def hedges_g(differences: Array) -> Array:
    """Effect size of paired differences: d_z = mean / s, times Hedges' correction J(n−1) for few seeds.

    J(m) = Γ(m/2) / (√(m/2) Γ((m−1)/2)), which is 0 for two seeds: d_z has no expectation there, and g is NaN.
    Infinite where all differences are equal and not zero.

    Source: Lakens 2013, Calculating and reporting effect sizes (Frontiers in Psychology 4:863); and for J,
    Hedges 1981, Distribution theory for Glass's estimator of effect size (J. Educational Statistics 6).
    """
    from scipy.special import gammaln

    count = differences.shape[-1]
    if count < 3:
        return np.full(differences.shape[:-1], math.nan)
    freedom = count - 1
    correction = math.exp(gammaln(freedom / 2) - gammaln((freedom - 1) / 2)) / math.sqrt(freedom / 2)
    mean, deviation = np.mean(differences, axis=-1), standard_deviation(differences)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((mean == 0) & (deviation == 0), 0.0, mean / deviation * correction)


def sign_flip_p(differences: Array) -> Array:
    """Two-sided p-value of the sign-flip permutation test of the mean.

    Under the null hypothesis the two objectives are exchangeable within a seed, so that each difference might
    as well have the other sign. Up to 13 seeds all flips are gone through and the test is exact, whatever the
    distribution; beyond, 8,192 are drawn with a fixed generator. With n seeds no p is below 2/2ⁿ. Objectives
    with the same mean whose differences are skewed are no such pair: there it claims too much.

    Source: Fisher 1935, The design of experiments, § 21; Phipson and Smyth 2010, Permutation p-values should
    never be zero (arXiv:1603.05766), for those that are drawn.
    """
    from scipy.stats import permutation_test

    count = differences.shape[-1]
    shape = differences.shape[:-1]
    if count < 2:
        return np.full(shape, math.nan)
    rows = (differences / _scale(differences)[..., None]).reshape(-1, count)
    p = [
        permutation_test(
            (rows[begin : begin + CHUNK],),
            _mean,
            permutation_type="samples",
            vectorized=True,
            n_resamples=FLIPS,
            batch=64,
            axis=-1,
            rng=np.random.default_rng(0),
        ).pvalue
        for begin in range(0, len(rows), CHUNK)
    ]
    return np.concatenate(p).reshape(shape) if p else np.empty(shape)


def _mean(values: Array, axis: int) -> Array:
    mean: Array = np.mean(values, axis=axis)
    return mean


def least_p(seeds: int) -> float:
    """No p-value of the sign-flip test is below it: 2/2ⁿ; NaN where there is none."""
    if seeds < 2:
        return math.nan
    return 2 / 2**seeds if 2**seeds <= FLIPS else 2 / (FLIPS + 1)


def holm(p: npt.ArrayLike) -> Array:
    """p-values corrected for the size of their family, in the last axis: the chance of any false claim in it
    stays at the level.

    The i-th smallest of m is multiplied by m − i + 1, and is no smaller than those before it. NaN stays
    NaN and does not count, since no test was made.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure (Scand. J. Statistics 6).
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, axis=-1)  # NaN comes last
    made = np.isfinite(values).sum(axis=-1, keepdims=True)
    stepped = np.take_along_axis(values, order, axis=-1) * (made - np.arange(values.shape[-1]))
    corrected = np.empty_like(values)
    np.put_along_axis(corrected, order, np.minimum(np.maximum.accumulate(stepped, axis=-1), 1.0), axis=-1)
    return corrected


def probability_of_winning(wins: int, ties: int, seeds: int) -> tuple[float, float, float]:
    """The probability that one beats the other with the same seed, ties counting half, and its 95% confidence
    interval.

    The interval's lower end takes each tie for a defeat and its upper end for a win, so that it holds.

    Source: Clopper and Pearson 1934, The use of confidence or fiducial limits illustrated in the case of the
    binomial (Biometrika 26).
    """
    from scipy.stats import binomtest

    if not seeds:
        return math.nan, math.nan, math.nan
    low = binomtest(wins, seeds).proportion_ci(1 - LEVEL).low
    high = binomtest(wins + ties, seeds).proportion_ci(1 - LEVEL).high
    return (wins + ties / 2) / seeds, float(low), float(high)


def least_seeds(comparisons: int) -> int:
    """The number of seeds with which the exact test can be significant in m comparisons: m·2/2ⁿ ≤ 0.05."""
    return max(2, math.ceil(math.log2(2 * max(comparisons, 1) / LEVEL)))


def attained_level(seeds: int, comparisons: int) -> float:
    """The largest significant p-value in m comparisons; sign flips give multiples of 2/2ⁿ."""
    level = LEVEL / max(comparisons, 1)
    steps = 2 ** min(seeds - 1, 52)
    return float(math.floor(level * steps) / steps)


def needed_seeds(effect_size: float, comparisons: int) -> float:
    """How many seeds would decide an effect of that size.

    These are what the exact test needs to decide anything, or what Student's paired test needs for 80% power
    if that is more; both at the level of Holm's first step, 0.05/m, as far as the exact test attains it.

    The observed effect of few seeds is itself uncertain, and so is this number.

    Source: Cohen 1988, Statistical power analysis for the behavioral sciences, ch. 2.

    Returns:
        A whole number; infinite if it is more than 1,000; NaN where the effect is.
    """
    from scipy.stats import nct, t

    if math.isnan(effect_size):
        return math.nan

    def decides(seeds: int) -> bool:
        # Of the two sides only the right one, whose tail scipy can compute; beyond 20 the power is 1.
        shift = min(abs(effect_size) * math.sqrt(seeds), 20.0)
        critical = t.isf(attained_level(seeds, comparisons) / 2, seeds - 1)
        return float(nct.sf(critical, seeds - 1, shift)) >= POWER

    few, many = least_seeds(comparisons), MOST_SEEDS
    if decides(few):
        return few
    if not decides(many):
        return math.inf
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if decides(middle) else (middle, many)
    return many


def compare_pairs(
    metric: str,
    values: Mapping[str, Mapping[int, float]],
    pairs: Sequence[tuple[str, str]],
    *,
    higher_is_better: bool,
) -> tuple[Difference, ...]:
    """The differences of pairs of objectives in one metric, corrected as one family.

    Args:
        metric: its name.
        values: of each objective by seed; all finite.
        pairs: objective and other.
        higher_is_better: the metric's direction.
    """
    found = [_differences(values[one], values[other]) for one, other in pairs]
    p = np.full(len(pairs), math.nan)
    for count in {len(each.seeds) for each in found}:
        alike = [index for index, each in enumerate(found) if len(each.seeds) == count]
        p[alike] = sign_flip_p(np.stack([found[index].values for index in alike]))
    corrected = holm(p)
    return tuple(
        _difference(
            metric, *pair, each, float(p[index]), float(corrected[index]), len(pairs), higher_is_better
        )
        for index, (pair, each) in enumerate(zip(pairs, found, strict=True))
    )


@dataclass(frozen=True)
class _Paired:
    """The differences over the seeds that both have, in a unit in which none overflows."""

    seeds: Sequence[int]
    values: Array
    unit: float


def _differences(one: Mapping[int, float], other: Mapping[int, float]) -> _Paired:
    seeds = [seed for seed in one if seed in other]
    values = np.array([[one[seed] for seed in seeds], [other[seed] for seed in seeds]])
    unit = float(_scale(values.reshape(-1)))
    return _Paired(seeds, values[0] / unit - values[1] / unit, unit)


def _difference(
    metric: str,
    objective: str,
    other: str,
    paired: _Paired,
    p: float,
    p_holm: float,
    comparisons: int,
    higher_is_better: bool,
) -> Difference:
    count = len(paired.seeds)
    if not count:
        return Difference(metric, objective, other)
    with np.errstate(over="ignore"):
        by_seed = dict(zip(paired.seeds, (paired.values * paired.unit).tolist(), strict=True))
        mean, low, high = (float(x * paired.unit) for x in t_interval(paired.values))
    better = mean > 0 if higher_is_better else mean < 0
    if count < 2:
        return Difference(metric, objective, other, by_seed, count, mean, better=better)
    gains = paired.values if higher_is_better else -paired.values
    chance = probability_of_winning(int((gains > 0).sum()), int((gains == 0).sum()), count)
    effect_size, significant = float(hedges_g(paired.values)), p_holm <= LEVEL
    needed = needed_seeds(effect_size, comparisons)
    return Difference(
        metric,
        objective,
        other,
        by_seed,
        count,
        mean,
        low,
        high,
        effect_size,
        p,
        p_holm,
        least_p(count),
        *chance,
        needed_seeds=needed if significant else max(needed, count + 1.0),
        significant=significant,
        better=better,
    )


def _scale(values: Array) -> Array:
    """The power of two below the largest of the absolute values: divided by it, neither squares nor sums
    overflow, and the digits stay.
    """
    largest: Array = np.max(np.abs(values), axis=-1, initial=0.0)
    scale: Array = np.ldexp(1.0, np.frexp(largest)[1] - 1)
    return scale
