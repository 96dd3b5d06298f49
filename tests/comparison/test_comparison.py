"""A comparison whose every figure is computed again by hand, and what is done with what is missing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import pytest

from genloss.comparison.comparison import Comparison, compare_runs
from genloss.comparison.runs import Cost
from genloss.comparison.statistics import Difference, Summary
from genloss.comparison.table import details, overview
from genloss.errors import RequestError
from tests.comparison.studies import FAILED, HIGHER, LOWER, comparison, run

T = {3: 3.182446305, 7: 2.364624252, 8: 2.306004135}
"""Student's t₀.₉₇₅ by degrees of freedom, from a table."""

BASE = {0: 10, 1: 12, 2: 11, 3: 13, 4: 12, 5: 14, 6: 11, 7: 13}
GOOD = {0: 8, 1: 9, 2: 9, 3: 10, 4: 8, 5: 10, 6: 8, 7: 10, 8: 18}  # one seed more than the baseline
ODD = {2: 12, 3: 13, 4: 11, 5: 15}  # of seed 0 the run failed, of seed 1 the metric is NaN
LONE = {0: 9}


@pytest.fixture(scope="module")
def example() -> Comparison:
    return comparison(
        {
            "base": BASE,
            "good": GOOD,
            "odd": {0: FAILED, 1: math.nan, **ODD},
            "lone": {**LONE, 1: FAILED, 2: "INTERRUPTED"},
            "gone": {0: FAILED, 1: "NOT STARTED"},
        },
        reference=7.5,
        costs={"good": Cost(steps=500, seconds=40.0), "odd": Cost(steps=100, seconds=10.0)},
    )


def summary(found: Comparison, objective: str) -> Summary:
    return found.summaries["m"][objective]


def difference(found: Comparison, objective: str) -> Difference:
    wanted = found.difference(objective)
    assert wanted is not None
    return wanted


def squares(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values)


@pytest.mark.parametrize(
    ("objective", "values", "mean", "middle", "best", "worst"),
    [
        ("base", BASE, 12.0, (11 + 12 + 12 + 13) / 4, 10, 14),  # 2 of 8 are left out at either end
        ("good", GOOD, 10.0, (8 + 9 + 9 + 10 + 10) / 5, 8, 18),  # 2 of 9
        ("odd", ODD, 12.75, (12 + 13) / 2, 11, 15),  # 1 of 4
    ],
)
def test_the_figures_of_an_objective(
    example: Comparison,
    objective: str,
    values: Mapping[int, int],
    mean: float,
    middle: float,
    best: int,
    worst: int,
) -> None:
    found, count = summary(example, objective), len(values)
    deviation = math.sqrt(squares(list(values.values())) / (count - 1))
    half = T[count - 1] * deviation / math.sqrt(count)
    assert found.count == count
    assert found.mean == pytest.approx(mean, rel=1e-14)
    assert found.deviation == pytest.approx(deviation, rel=1e-14)
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half), rel=1e-9)
    assert found.interquartile_mean == pytest.approx(middle, rel=1e-14)
    assert (found.best, found.worst) == (best, worst)  # lower is better
    assert found.not_finite == (objective == "odd")


@pytest.mark.parametrize("objective", ["good", "odd"])
def test_the_figures_of_a_difference(example: Comparison, objective: str) -> None:
    other = GOOD if objective == "good" else ODD
    by_seed = {seed: other[seed] - BASE[seed] for seed in BASE if seed in other}
    values = list(by_seed.values())
    count, mean = len(values), sum(values) / len(values)
    freedom = count - 1
    deviation = math.sqrt(squares(values) / freedom)
    half = T[freedom] * deviation / math.sqrt(count)
    correction = math.gamma(freedom / 2) / (math.sqrt(freedom / 2) * math.gamma((freedom - 1) / 2))
    sums = [
        sum(sign * value for sign, value in zip(signs, values, strict=True))
        for signs in itertools.product((1, -1), repeat=count)
    ]
    p = sum(abs(each) >= abs(sum(values)) for each in sums) / 2**count
    found = difference(example, objective)
    assert (dict(found.by_seed), found.seeds) == (by_seed, count)
    assert (found.metric, found.objective, found.other) == ("m", objective, "base")
    assert found.mean == pytest.approx(mean, rel=1e-14)
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half), rel=1e-9)
    assert found.effect_size == pytest.approx(mean / deviation * correction, rel=1e-12)
    assert (found.p, found.least_p) == (p, 2 / 2**count)


def test_of_the_family_those_that_were_tested_count(example: Comparison) -> None:
    """Two of the four have two seeds in common with the baseline."""
    good, odd = difference(example, "good"), difference(example, "odd")
    # All 8 differences are negative: nothing but all flips is as extreme. Of 1, 0, -1, 1 many flips are.
    assert (good.p, good.p_holm, good.significant, good.better) == (2 / 256, 2 * 2 / 256, True, True)
    # |±1 ±0 ±1 ±1| ≥ 1 always.
    assert (odd.p, odd.p_holm, odd.significant, odd.better) == (1, 1, False, False)


def test_the_chance_to_win(example: Comparison) -> None:
    good, odd = difference(example, "good"), difference(example, "odd")
    assert (good.probability, good.probability_high) == (1, 1)
    assert good.probability_low == pytest.approx(0.025 ** (1 / 8), rel=1e-12)
    # One of four is won, one tied, two are lost.
    assert odd.probability == (1 + 0.5) / 4
    # P(at least 1 of 4 | p) = 1 − (1 − p)⁴ = 0.025 where the tie is a defeat;
    assert odd.probability_low == pytest.approx(1 - 0.975 ** (1 / 4), rel=1e-12)
    # P(at most 2 of 4 | p) = 0.025 where it is a win.
    q = odd.probability_high
    assert sum(math.comb(4, k) * q**k * (1 - q) ** (4 - k) for k in range(3)) == pytest.approx(
        0.025, rel=1e-9
    )


def test_the_seeds_that_would_decide(example: Comparison) -> None:
    """Four comparisons: 4·2/2⁸ ≤ 0.05 < 4·2/2⁷."""
    from scipy.stats import nct, t

    assert difference(example, "good").needed_seeds == 8  # its effect is so large that the least is enough
    effect = difference(example, "odd").effect_size
    powers = {}
    for seeds in range(8, 1001):
        level = math.floor(0.05 / 4 * 2 ** (seeds - 1)) / 2 ** (seeds - 1) if seeds < 50 else 0.05 / 4
        critical = t.ppf(1 - level / 2, seeds - 1)
        powers[seeds] = nct.sf(critical, seeds - 1, effect * math.sqrt(seeds))
    assert difference(example, "odd").needed_seeds == min(n for n, power in powers.items() if power >= 0.8)


def test_a_single_seed_has_a_value_and_decides_nothing(example: Comparison) -> None:
    lone, found = summary(example, "lone"), difference(example, "lone")
    assert (lone.count, lone.mean, lone.best) == (1, 9, 9)
    assert math.isnan(lone.low)
    assert (found.seeds, found.mean, found.better, found.significant) == (1, -1, True, False)
    unknown = (found.low, found.high, found.p, found.p_holm, found.effect_size, found.probability)
    assert all(map(math.isnan, (*unknown, found.needed_seeds)))


def test_where_all_runs_failed_there_is_nothing_but_that(example: Comparison) -> None:
    gone, found = summary(example, "gone"), difference(example, "gone")
    assert (gone.count, gone.not_finite, found.seeds, found.significant) == (0, 0, 0, False)
    assert math.isnan(gone.mean)
    assert math.isnan(found.mean)
    assert [run.name for run in example.of("gone")] == ["gone-0", "gone-1"]


def test_every_cell_of_the_table(example: Comparison) -> None:
    table = overview(example)
    assert table.columns == ("objective", "seeds", "m ↓", "steps", "time")
    assert table.rows == (
        # s = √(12/7) = 1.3093, half-width 2.3646·1.3093/√8 = 1.0946
        ("base", "8", "12.0 ± 1.1", "0", "0.0 s"),
        # s = √(78/8) = 3.1225, half-width 2.3060·3.1225/3 = 2.4002
        ("good", "9", "▲ 10.0 ± 2.4", "500", "40 s"),
        # s = √(8.75/3) = 1.7078, half-width 3.1824·1.7078/2 = 2.7175
        ("odd", "5 of 6", "12.8 ± 2.7", "100", "10 s"),
        ("lone", "1 of 3", "9", "0", "0.0 s"),
        ("gone", "0 of 2", "–", "0", "0.0 s"),
        ("real data", "", "7.5", "", ""),
    )
    assert table.legend == (
        "mean ± half-width of the 95% confidence interval over seeds; ↓ lower is better, ↑ higher",
        "▲ better, ▼ worse than `base` with the same seeds: p ≤ 0.05, corrected for 2 comparisons",
        "real data: the metric with real examples in place of samples",
        "time: a run's median",
        "no finite m, and not in its mean: `odd-1`",
    )


def test_every_cell_of_the_details(example: Comparison) -> None:
    table = details(example, "m")
    columns = ("objective", "seeds", "mean", "IQM", "best", "worst", "difference", "p", "corrected p")
    assert table.columns == (*columns, "effect", "wins", "seeds needed")
    good = ("0.0078", "0.016", "-3.52", "100% (63–100%)", "")
    odd = ("1", "1", "+0.19", "38% (1–93%)", f"{difference(example, 'odd').needed_seeds:.0f}")
    assert table.rows == (
        ("base", "8", "12.0 ± 1.1", "12", "10", "14", "", "", "", "", "", ""),
        # s = √(4/7) = 0.7559, half-width 0.6320, J(7) = 0.8882, g = −3/0.7559·0.8882
        ("good", "9", "10.0 ± 2.4", *("9.2", "8", "18"), "▲ -3.00 ± 0.63", *good),
        # s = √(2.75/3) = 0.9574, half-width 1.5235, J(3) = 0.7236, g = 0.25/0.9574·0.7236
        ("odd", "4", "12.8 ± 2.7", *("12.5", "11", "15"), "0.2 ± 1.5", *odd),
        ("lone", "1", "9", "9", "9", "9", "-1", "–", "–", "–", "–", "–"),
        ("gone", "0", "–", "–", "–", "–", "–", "–", "–", "–", "–", "–"),
        ("real data", "", "7.5", *[""] * 9),
    )


def test_higher_is_better_turns_everything_around() -> None:
    found = comparison({"base": list(BASE.values()), "good": list(GOOD.values())[:8]}, direction=HIGHER)
    good = difference(found, "good")
    assert (good.mean, good.significant, good.better, good.probability) == (-3, True, False, 0)
    assert (summary(found, "base").best, summary(found, "base").worst) == (14, 10)
    assert overview(found).rows[1][2].startswith("▼ ")


def test_all_pairs_are_one_family_with_the_baseline_always_the_other() -> None:
    values = {"a": [5, 6, 7], "b": [1, 2, 4], "c": [9, 9, 8]}
    found = comparison(values, baseline="b", pairs=True)
    assert [(d.objective, d.other) for d in found.pairs] == [("a", "b"), ("c", "b"), ("c", "a")]
    assert found.differences == found.pairs[:2]
    assert {d.p_holm for d in found.pairs} == {0.75}  # 3 · 2/2³
    assert comparison(values, baseline="b").pairs == ()


def test_metrics_are_families_of_their_own() -> None:
    runs = [
        run("ab"[value > 10], seed, FAILED, status="FINISHED", metrics={"m": value, "n": -value})
        for seed in range(3)
        for value in (seed, seed + 20.0)
    ]
    found = compare_runs(
        runs, name="s", objectives="ab", baseline="a", metrics={"m": LOWER, "n": LOWER}, metric="n"
    )
    assert [(d.metric, d.better, d.p_holm) for d in found.differences] == [
        ("m", False, 0.25),
        ("n", True, 0.25),
    ]
    assert found.difference("b") == found.differences[1]
    assert found.difference("b", "m") == found.differences[0]
    assert found.difference("a") is None


def test_costs_are_medians_of_what_finished() -> None:
    costs = [Cost(10, {"d": 50, "g": 10}, s, m, "cpu") for s, m in ((1.0, 7), (9.0, None), (2.0, 5))]
    runs = [run("a", seed, 1.0, cost=cost) for seed, cost in enumerate(costs)]
    runs.append(run("a", 3, FAILED, cost=Cost(1, {"d": 5, "g": 1}, 0.1, 1, "cpu")))
    found = compare_runs(runs, name="s", objectives=["a", "b"], baseline="a", metrics={})
    assert found.cost("a") == Cost(10, {"d": 50, "g": 10}, 2.0, 5, "cpu")
    assert found.cost("b") == Cost()


def test_times_that_are_not_known_are_in_no_median() -> None:
    runs = [run("a", s, 1.0, cost=Cost(seconds=t)) for s, t in enumerate((math.nan, 4.0, math.nan, 2.0))]
    runs.append(run("b", 0, 1.0, cost=Cost(seconds=math.nan)))
    found = compare_runs(runs, name="s", objectives=["a", "b"], baseline="a", metrics={})
    assert found.cost("a").seconds == 3.0
    assert math.isnan(found.cost("b").seconds)
    assert overview(found).columns == ("objective", "seeds")


def test_a_run_that_finished_without_a_number_is_counted() -> None:
    found = comparison({"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0]})
    lost = run("b", 2, FAILED, status="FINISHED", metrics={})
    found = compare_runs(
        [*found.runs, lost], name="s", objectives=["a", "b"], baseline="a", metrics={"m": LOWER}
    )
    assert (summary(found, "b").count, summary(found, "b").not_finite) == (2, 1)
    assert found.answer()[1].endswith("of 6 runs, the means leave out 1 that finished without a finite m.")


def test_the_correction_is_told_to_be_of_each_metric_where_there_are_several() -> None:
    runs = [
        run(o, s, FAILED, status="FINISHED", metrics={"m": s - 10.0 * i, "n": float(s % 2)})
        for i, o in enumerate("abc")
        for s in range(8)
    ]
    metrics = {"m": LOWER, "n": LOWER}
    found = compare_runs(runs, name="s", objectives="abc", baseline="a", metrics=metrics)
    assert overview(found).legend[1].endswith("p ≤ 0.05, corrected for 2 comparisons of each metric")


def test_what_cannot_be_compared_is_said() -> None:
    with pytest.raises(RequestError, match="there is no objective `c`"):
        comparison({"a": [1.0]}, baseline="c")
    with pytest.raises(RequestError, match="there is no metric `frechet`") as caught:
        comparison({"a": [1.0]}, metric="frechet", metrics={"frechet_distance": LOWER})
    assert caught.value.hint == "did you mean `frechet_distance`?"
    twins = [run("a", 0, 1.0), run("a", 0, 2.0, name="a-0-again")]
    with pytest.raises(RequestError, match="`a-0` of `s-1` and `a-0-again` of `s-1` are both objective `a`"):
        compare_runs(twins, name="s", objectives=["a"], baseline="a", metrics={})


def test_runs_that_failed_alike_stand_together_whatever_their_numbers() -> None:
    messages = (
        "`g/total` became nan at step 21; the last finite values were `g/total` 1.2e+03",
        "KeyError: 'x'",
        "`g/total` became nan at step 1,400; the last finite values were `g/total` -0.5",
        "`d/total` became nan at step 21; the last finite values were `g/total` 1",
    )
    runs = [run("a", seed, FAILED, message=message) for seed, message in enumerate(messages)]
    found = compare_runs(runs, name="s", objectives=["a"], baseline="a", metrics={})
    assert [[run.seed for run in group] for group in found.failures()] == [[0, 2], [1], [3]]


def test_a_run_that_a_search_pruned_has_come_to_its_end_but_is_in_no_mean() -> None:
    found = comparison({"a": [1.0, 2.0], "b": {0: "PRUNED", 1: FAILED}})
    assert [run.name for run in found.unfinished()] == ["b-1"]
    assert summary(found, "b").count == 0


def test_it_shows_itself_in_few_words() -> None:
    found = comparison({"a": [1.0, 2.0, 6.0], "b": [3.0, FAILED, 1.0]})
    assert repr(found) == "<comparison of s-1: a, b by m>"
    assert repr(found.runs[0]) == "<run a-0: FINISHED>"
    assert repr(comparison({"a": [FAILED]}, metrics={}, references={})) == "<comparison of s-1: a>"
