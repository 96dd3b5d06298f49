"""The two sentences, in each case that there is."""

from __future__ import annotations

import math

import pytest

from genloss.comparison.comparison import Comparison
from genloss.comparison.runs import Direction
from tests.comparison.studies import FAILED, HIGHER, comparison

EIGHT = [10.0, 12, 11, 13, 12, 14, 11, 13]


def shifted(by: float, *, seeds: int = 8, noise: float = 0.16) -> list[float | str]:
    """Values that are so much above the baseline's, by a little more or less each."""
    return [value + by + noise * (index % 3 - 1) for index, value in enumerate(EIGHT[:seeds])]


def said(found: Comparison) -> tuple[str, ...]:
    return found.answer()


def test_what_is_better_what_is_worse_and_what_it_would_take_to_know_more() -> None:
    found = comparison(
        {"base": EIGHT, "good": shifted(-3), "bad": shifted(2), "close": shifted(0.2, noise=1.0)},
        reference=1.5,
    )
    assert said(found) == (
        "By m (lower is better), `good` (by 3.02 ± 0.11, p = 0.023) is better than the baseline `base` and "
        "`bad` (by 1.98 ± 0.11, p = 0.023) is worse: mean paired differences over 8 common seeds ± "
        "half-width of the 95% CI, "
        "p corrected for 3 comparisons.",
        "Inconclusive: `close` (p = 0.91); a difference as large as the one observed would take more than "
        "1,000 "
        "seeds.",
    )


def test_all_decided() -> None:
    assert said(comparison({"base": EIGHT, "good": shifted(3)}, direction=Direction(True, "nats"))) == (
        "By m (nats, higher is better), `good` (by 2.98 ± 0.11, p = 0.0078) is better than the baseline "
        "`base`: mean paired differences over 8 common seeds ± half-width of the 95% CI.",
        "The comparison is conclusive.",
    )
    assert (
        said(comparison({"base": EIGHT, "b": shifted(3), "c": shifted(4)}))[1]
        == "All 2 comparisons are conclusive."
    )
    assert said(comparison({"base": EIGHT, "b": shifted(3)}))[0].startswith(
        "By m (lower is better), `b` (by 2.98 ± 0.11, p = 0.0078) is worse than the baseline `base`:"
    )


def test_too_few_seeds_to_decide_anything() -> None:
    others = {name: shifted(-3.0 - index, seeds=3) for index, name in enumerate("abcde")}
    assert said(comparison({"base": EIGHT[:3], **others}, reference=1.5)) == (
        "By m (lower is better), no objective can be told from the baseline `base`, which has 11.0 ± 2.5 "
        "(3 seeds; real data has 1.5).",
        "With 3 seeds no comparison can be significant, whatever the numbers: p cannot be below 0.25, and 5 "
        "comparisons need at least 8 seeds; differences as large as those observed would take about 8 seeds "
        "(`a`), 8 (`b`), 8 (`c`) and as many or more for the other 2.",
    )


def test_two_seeds_do_not_say_how_many_it_would_take() -> None:
    assert said(comparison({"base": EIGHT[:2], "b": [1.0, 2.0]})) == (
        "By m (lower is better), `b` cannot be told from the baseline `base`, which has 11 ± 13 (2 seeds).",
        "With 2 seeds no comparison can be significant, whatever the numbers: p cannot be below 0.5, "
        "and 1 comparison "
        "needs at least 6 seeds.",
    )


def test_a_single_seed() -> None:
    assert said(comparison({"base": [1.0], "b": [2.0], "c": [3.0]})) == (
        "By m (lower is better), no objective can be told from the baseline `base`, which has 1 (1 seed).",
        "With a single seed no comparison can be significant: 2 comparisons need at least 7 seeds.",
    )


def test_one_objective() -> None:
    assert said(comparison({"a": [1.0, 2.0, FAILED]})) == (
        "`a` has m (lower is better) 1.5 ± 6.4 (2 seeds).",
        "It is the only objective, so there is nothing to compare it with; "
        "of 3 runs, the means leave out 1 that did not finish.",
    )


def test_nothing_to_compare() -> None:
    assert said(comparison({"a": [FAILED] * 3, "b": ["INTERRUPTED"] * 3})) == (
        "None of 6 runs finished, so there is nothing to compare.",
    )
    assert said(comparison({"a": [1.0], "b": [2.0]}, metrics={})) == (
        "No metric was computed, so there is nothing to say about which objective is better: values of "
        "different losses cannot be compared.",
        "Metrics are named under `evaluation:` of the experiment.",
    )
    assert said(comparison({"a": [math.nan], "b": [math.inf]})) == (
        "No run has a finite m, so there is nothing to compare by it.",
    )
    assert said(comparison({"a": [math.nan, FAILED], "b": [1.0, 2.0]})) == (
        "The baseline `a` has no finite m, so nothing can be compared with it.",
        "`genloss compare --baseline OBJECTIVE` compares with another.",
    )


def test_identical_objectives() -> None:
    assert (
        said(comparison({"base": EIGHT, "twin": EIGHT}))[1]
        == "`twin` gave the baseline's numbers, seed by seed."
    )


def test_unequal_seeds_and_what_is_missing() -> None:
    found = comparison(
        {
            "base": EIGHT,
            "good": [*shifted(-3)[:7], FAILED],
            "better": shifted(-4),
            "lone": [3.0, math.nan, FAILED],
            "gone": {0: FAILED, 9: 5.0},
            "pruned": {0: "PRUNED"},
        }
    )
    first, second = said(found)
    assert (
        "`better` (by 4.02 ± 0.11, p = 0.016, 8 seeds) and `good` (by 3.02 ± 0.13, p = 0.016, 7 seeds)"
        in first
    )
    assert first.endswith(
        " are better than the baseline `base`: mean paired differences over the common seeds "
        "± half-width of the 95% CI, "
        "p corrected for 2 comparisons."
    )
    assert second == (
        "`lone` shares only one seed with the baseline that gave a number; `gone` and `pruned` share no seed "
        "with the baseline that gave a number; of 30 runs, the means leave out 3 that did not finish, 1 that "
        "a search pruned and 1 that finished without a finite m."
    )


def test_no_common_seed_at_all() -> None:
    assert said(comparison({"base": {0: 1.0, 1: 2.0}, "b": {2: 1.0, 3: 2.0}}))[1] == (
        "With no seed in common no comparison can be significant: 1 comparison needs at least 6 seeds."
    )


def test_of_many_the_clearest_are_named() -> None:
    many = {f"o{index}": shifted(-1.0 - index) for index in range(6)}
    first, second = said(comparison({"base": EIGHT, **many}))
    assert first.count("(by ") == 3
    assert "and 3 more are better than the baseline `base`" in first
    assert second == "All 6 comparisons are conclusive."


@pytest.mark.parametrize("pairs", [False, True])
def test_all_pairs_make_a_larger_family(pairs: bool) -> None:
    found = comparison(
        {"base": EIGHT, "good": shifted(-3), "c": shifted(0.5, noise=2.0)}, direction=HIGHER, pairs=pairs
    )
    assert f"p corrected for {3 if pairs else 2} comparisons" in said(found)[0]
