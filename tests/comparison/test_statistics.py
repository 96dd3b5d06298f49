"""The statistics against sums written out, other libraries, and cases in which nothing can be said."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from genloss.comparison.statistics import (
    FLIPS,
    Difference,
    attained_level,
    compare_pairs,
    hedges_g,
    holm,
    interquartile_mean,
    least_p,
    least_seeds,
    needed_seeds,
    probability_of_winning,
    sign_flip_p,
    standard_deviation,
    summarize,
    t_interval,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("count", [2, 3, 8, 30])
def test_the_interval_is_students(count: int) -> None:
    values = RNG.normal(3.0, 2.0, size=(4, count))
    mean, low, high = t_interval(values)
    for index, row in enumerate(values):
        expected = stats.ttest_1samp(row, 0).confidence_interval(0.95)
        assert (low[index], high[index]) == pytest.approx((expected.low, expected.high), rel=1e-12)
        assert mean[index] == pytest.approx(math.fsum(row) / count, rel=1e-14)


def test_the_interquartile_mean_leaves_out_a_quarter_at_either_end() -> None:
    assert interquartile_mean(np.array([100.0, 1.0, 2.0, 3.0, -100.0, 4.0, 6.0, 5.0])) == 3.5
    assert interquartile_mean(np.array([1.0, 2.0, 3.0, 90.0])) == 2.5
    assert interquartile_mean(np.array([1.0, 2.0, 90.0])) == 31.0  # of three nothing is


def test_hedges_g_is_the_mean_in_standard_deviations_made_smaller() -> None:
    # Mean 3, s² = (4 + 1 + 9)/2 = 7, J(2) = Γ(1) / (√1 Γ(½)) = 1/√π.
    assert hedges_g(np.array([1.0, 2.0, 6.0])) == pytest.approx(3 / math.sqrt(7) / math.sqrt(math.pi))
    # For many the correction is nearly 1 − 3/(4m − 1).
    values = RNG.normal(1.0, 1.0, size=25)
    approximate = values.mean() / values.std(ddof=1) * (1 - 3 / (4 * 24 - 1))
    assert hedges_g(values) == pytest.approx(approximate, rel=1e-3)


def test_hedges_g_is_unbiased() -> None:
    many = RNG.normal(0.8, 1.0, size=(200_000, 5))
    assert float(np.mean(hedges_g(many))) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("count", range(2, 11))
def test_p_is_the_share_of_the_sign_flips_that_are_as_extreme(count: int) -> None:
    values = RNG.integers(-9, 12, size=count)
    sums = [abs(sum(s * v for s, v in zip(signs, values.tolist(), strict=True))) for signs in flips(count)]
    share = Fraction(sum(each >= sums[0] for each in sums), len(sums))
    assert sign_flip_p(values.astype(float)) == float(share)


def flips(count: int) -> itertools.product[tuple[int, ...]]:
    """All signs, those that leave everything as it is first."""
    return itertools.product((1, -1), repeat=count)


def test_p_cannot_be_smaller_than_two_flips_of_all() -> None:
    for count in range(2, 14):
        assert float(sign_flip_p(np.arange(1.0, count + 1))) == least_p(count) == 2 / 2**count
    assert least_p(1) is math.nan
    assert least_p(3) == 0.25


def test_of_many_flips_some_are_drawn_always_the_same() -> None:
    values = RNG.normal(0.5, 1.0, size=(5, 20))
    together = sign_flip_p(values)
    assert [float(sign_flip_p(row)) for row in values] == together.tolist()
    assert together == pytest.approx([stats.ttest_1samp(row, 0).pvalue for row in values], abs=0.02)
    assert float(sign_flip_p(np.ones(20))) == least_p(20) == 2 / (FLIPS + 1)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels(p: list[float]) -> None:
    assert holm(p).tolist() == pytest.approx(multipletests(p, method="holm")[1].tolist(), abs=1e-15)


def test_holm_leaves_out_what_was_not_tested() -> None:
    families = np.array([[0.04, math.nan, 0.01, 0.03], [math.nan] * 4])
    corrected = holm(families)
    assert corrected[0].tolist() == pytest.approx([0.06, math.nan, 0.03, 0.06], nan_ok=True)
    assert np.isnan(corrected[1]).all()
    assert holm([]).tolist() == []


def test_the_chance_to_win_has_clopper_and_pearsons_interval_and_ties_count_half() -> None:
    assert probability_of_winning(8, 0, 8) == (1.0, pytest.approx(0.025 ** (1 / 8)), 1.0)
    for wins in range(9):
        expected = stats.binomtest(wins, 8).proportion_ci(0.95, "exact")
        assert probability_of_winning(wins, 0, 8) == pytest.approx((wins / 8, expected.low, expected.high))
    half, low, high = probability_of_winning(3, 2, 8)
    assert half == 0.5
    assert low == pytest.approx(stats.binomtest(3, 8).proportion_ci(0.95, "exact").low)
    assert high == pytest.approx(stats.binomtest(5, 8).proportion_ci(0.95, "exact").high)
    assert probability_of_winning(0, 6, 6) == (0.5, 0.0, 1.0)
    assert all(map(math.isnan, probability_of_winning(0, 0, 0)))


def test_five_comparisons_need_eight_seeds() -> None:
    assert [least_seeds(count) for count in (1, 2, 5, 10, 20)] == [6, 7, 8, 9, 10]
    for count in range(1, 200):
        seeds = least_seeds(count)
        assert count * 2 / 2**seeds <= 0.05 < count * 2 / 2 ** (seeds - 1)


def test_the_seeds_that_are_needed_give_80_percent_power() -> None:
    assert needed_seeds(0.5, 1) == 34  # Cohen's table has 33 for d = .5 of one sample at 80 %
    assert needed_seeds(5.0, 1) == 6
    assert needed_seeds(-0.5, 1) == needed_seeds(0.5, 1)
    assert needed_seeds(0.01, 1) == math.inf
    assert needed_seeds(0.0, 1) == math.inf
    assert needed_seeds(math.inf, 5) == 8
    assert math.isnan(needed_seeds(math.nan, 5))
    # With six seeds the only attainable level under 0.05 is 2/64.
    assert attained_level(6, 1) == 2 / 64
    assert attained_level(30, 1) == pytest.approx(0.05)


@settings(max_examples=60)
@given(st.floats(0.09, 60), st.sampled_from([1, 2, 5, 20, 300, 7000]))
def test_needed_seeds_grow_as_the_effect_gets_smaller_and_the_comparisons_more(
    effect: float, count: int
) -> None:
    seeds = needed_seeds(effect, count)
    assert seeds >= least_seeds(count)
    assert needed_seeds(effect * 0.9, count) >= seeds
    assert needed_seeds(effect, 2 * count) >= seeds


@pytest.mark.parametrize("effect", [0.2, 0.7, 1.3])
def test_needed_seeds_are_what_statsmodels_solves_for(effect: float) -> None:
    solved = TTestPower().solve_power(effect, alpha=0.05, power=0.8)
    assert solved <= needed_seeds(effect, 1) <= math.ceil(solved) + 1


def test_one_value_has_no_interval_and_none_has_nothing() -> None:
    one = summarize([2.5], higher_is_better=True)
    assert (one.count, one.mean, one.interquartile_mean, one.best, one.worst) == (1, 2.5, 2.5, 2.5, 2.5)
    assert all(map(math.isnan, (one.low, one.high, one.deviation, one.half_width)))
    none = summarize([math.nan, math.inf], higher_is_better=True)
    assert (none.count, none.not_finite) == (0, 2)
    assert all(map(math.isnan, (none.mean, none.low, none.interquartile_mean, none.best)))
    assert summarize([], higher_is_better=True).count == 0


def test_best_and_worst_go_by_the_direction() -> None:
    higher = summarize([1.0, 3.0, 2.0], higher_is_better=True)
    lower = summarize([1.0, 3.0, 2.0], higher_is_better=False)
    assert (higher.best, higher.worst) == (lower.worst, lower.best) == (3.0, 1.0)


def test_values_that_differ_by_rounding_alone_have_no_spread() -> None:
    assert standard_deviation(np.array([0.3, 0.1 + 0.2, 0.3])) == 0
    assert standard_deviation(np.array([0.3, 0.3 + 1e-12, 0.3])) > 0
    same = difference({0: 0.3, 1: 0.4, 2: 0.5}, {0: 0.1, 1: 0.2, 2: 0.3})
    assert (same.low, same.high) == (same.mean, same.mean)
    assert same.effect_size == math.inf


def difference(one: dict[int, float], other: dict[int, float]) -> Difference:
    return compare_pairs("m", {"a": one, "b": other}, [("a", "b")], higher_is_better=True)[0]


def test_two_identical_objectives_differ_in_nothing() -> None:
    values = {seed: 1.0 + seed for seed in range(8)}
    same = difference(values, values)
    assert (same.mean, same.low, same.high, same.effect_size, same.p) == (0, 0, 0, 0, 1)
    assert (same.probability, same.probability_low, same.probability_high) == (0.5, 0, 1)
    assert same.needed_seeds == math.inf
    assert not same.significant
    assert not same.better


def test_a_difference_that_never_varies_is_decided_once_there_are_seeds_enough() -> None:
    for seeds, decided in ((5, False), (6, True)):
        found = difference({s: 2.0 + s for s in range(seeds)}, {s: 1.0 + s for s in range(seeds)})
        assert (found.low, found.mean, found.high, found.effect_size) == (1, 1, 1, math.inf)
        assert (found.significant, found.needed_seeds) == (decided, 6)


def test_two_seeds_have_a_wide_interval_and_no_effect() -> None:
    two = difference({0: 1.0, 1: 3.0}, {0: 0.0, 1: 1.0})
    half = 12.706204736 * math.sqrt(0.5) / math.sqrt(2)
    assert (two.low, two.high) == pytest.approx((1.5 - half, 1.5 + half))
    assert (two.p, two.least_p) == (0.5, 0.5)
    assert math.isnan(two.effect_size)
    assert math.isnan(two.needed_seeds)


def test_what_is_not_decided_needs_more_seeds_than_it_has() -> None:
    # With six seeds one difference of the wrong sign keeps p at 4/64 or above, whatever its size.
    found = difference({0: -0.01, **{s: 1.0 + s / 10 for s in range(1, 6)}}, dict.fromkeys(range(6), 0.0))
    assert (found.p, found.significant, found.needed_seeds) == (4 / 64, False, 7)


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_nothing_warns_whatever_the_numbers(data: st.DataObject) -> None:
    """pytest makes a warning an error."""
    seeds = data.draw(st.integers(0, 6))
    kind = data.draw(st.sampled_from([FINITE, st.sampled_from([0.0, 1.0, 1e-320, -1e308, 1e308])]))
    values = {name: {s: data.draw(kind) for s in range(seeds)} for name in "ab"}
    for row in values.values():
        summary = summarize(list(row.values()), higher_is_better=False)
        assert summary.count == seeds
        if seeds > 1:
            assert not summary.low > summary.high
    (found,) = compare_pairs("m", values, [("b", "a")], higher_is_better=False)
    assert found.seeds == seeds
    if seeds > 1:
        assert least_p(seeds) <= found.p <= 1
        assert 0 <= found.probability_low <= found.probability <= found.probability_high <= 1
        assert not found.significant or seeds == 6
