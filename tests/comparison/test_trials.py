"""The trials of a search: which are best, what is said of them, and that nothing is tested."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from genloss.comparison.comparison import Comparison, compare_runs
from genloss.comparison.runs import Direction, RunResult
from genloss.comparison.table import markdown, overview
from genloss.comparison.trials import chosen_by, values
from tests.comparison.studies import HIGHER, LOWER, comparison, run

LR = "training.optimizer.lr"
WEIGHT = "objectives.a.network.kl.weight"


def trial(base: str, number: int, *by_seed: float | str, **fields: Any) -> list[RunResult]:
    """A trial's runs, a seed each."""
    own = {
        "base": base,
        "trial": number,
        "point": {LR: 10.0**-number},
        "reproduce": f"genloss run a.yaml --objective {base} --set 'seeds=[0]' --set {LR}=1 --set b='x y'",
        **fields,
    }
    return [run(f"{base},trial={number}", seed, value, **own) for seed, value in enumerate(by_seed)]


def search(*trials: Sequence[RunResult], direction: Direction = LOWER, **more: Any) -> Comparison:
    """The comparison of a study that has these runs."""
    runs = [each for own in trials for each in own]
    names = list(dict.fromkeys(each.objective for each in runs))
    given: Mapping[str, Any] = {
        "name": "s-1",
        "objectives": names,
        "baseline": names[0],
        "metrics": {"m": direction},
    }
    return compare_runs(runs, **{**given, **more})


def test_the_best_is_said_with_its_values_and_that_it_is_optimistic() -> None:
    found = search(
        trial("a", 0, 3.0),
        trial("a", 1, 1.25, point={LR: 0.0212345, WEIGHT: 2}),
        trial("a", 2, "PRUNED"),
        trial("a", 3, "FAILED"),
        trial("b", 0, 2.0, point={"model.hidden": [64, 64]}),
        trial("b", 1, "INTERRUPTED"),
        references={"m": 0.5},
    )
    assert found.answer() == (
        "By m (lower is better), the best of 4 trials (1 pruned, 1 failed) of `a` is trial 1 with 1.25 "
        "(lr = 0.02123, weight = 2) and the best of 2 trials (1 not ended) of `b` is trial 0 with 2 "
        "(hidden = [64, 64]); real data has 0.5.",
        "That is optimistic: the trials were chosen by the numbers of a single seed, and were lucky, too; "
        "fresh seeds decide which objective is better.",
    )


def test_of_one_objective_fresh_seeds_decide_what_it_is_worth() -> None:
    found = search(trial("a", 0, 3.0, 5.0), trial("a", 1, 4.5, 4.5), direction=HIGHER)
    first, second = found.answer()
    assert "the best of 2 trials of `a` is trial 1 with 4.5 ± 0 (lr = 0.1)." in first
    assert second == (
        "That is optimistic: the trial was chosen by the numbers of the same 2 seeds, and was lucky, too; "
        "fresh seeds decide what it is worth."
    )


def test_a_trial_counts_once_all_of_its_seeds_have_finished() -> None:
    found = search(
        trial("a", 0, 3.0, 5.0),
        trial("a", 1, 1.0, "NOT STARTED"),
        trial("a", 2, 1.0, "FAILED"),
        trial("a", 3, 1.0, math.nan),
        trial("a", 4, "PRUNED"),
        trial("a", 5, 2.0, 4.0),
    )
    (trials,) = found.trials()
    assert dict(trials.finished) == {"a,trial=5": 3.0, "a,trial=0": 4.0}
    assert (trials.left, trials.failed) == (("a,trial=1",), ("a,trial=2", "a,trial=3"))
    assert trials.pruned == ("a,trial=4",)
    assert found.ranked() == trials.names
    assert [name.partition("=")[2] for name in trials.names] == ["5", "0", "4", "2", "3", "1"]


def test_of_equal_trials_the_first_is_the_best() -> None:
    for direction in (LOWER, HIGHER):
        (best,) = search(trial("a", 0, 1.0), trial("a", 1, 1.0), direction=direction).best()
        assert best.trial == 0


def test_the_metric_that_is_asked_for_decides() -> None:
    both = {"m": LOWER, "n": HIGHER}
    one = trial("a", 0, 1.0, metrics={"m": 1.0, "n": 1.0})
    found = search(one, trial("a", 1, 2.0, metrics={"m": 2.0, "n": 2.0}), metrics=both, metric="n")
    assert (found.best()[0].trial, found.best()[0].value, found.best()[0].metric) == (1, 2.0, "n")


def test_the_best_comes_with_the_line_that_trains_it_with_other_seeds() -> None:
    (best,) = search(trial("a", 0, 1.0, 2.0, point={LR: 0.1, WEIGHT: 3})).best()
    assert best.seeds == (0, 1)
    assert best.overrides == (f"objectives.a.with.{LR}=0.1", f"{WEIGHT}=3")
    words = shlex.split(best.command)
    assert words[words.index("--objective") : words.index("--objective") + 4] == [
        "--objective",
        "a",
        "--set",
        "seeds=[2, 3, 4, 5, 6, 7, 8, 9]",
    ]
    assert words[-1] == "b=x y"


@pytest.mark.parametrize("line", ["", "genloss run a.yaml --set 'seeds=[0", "genloss run a.yaml"])
def test_there_is_no_line_where_the_runs_is_not_known(line: str) -> None:
    (best,) = search(trial("a", 0, 1.0, reproduce=line)).best()
    assert best.command == ""


def test_trials_are_not_compared_with_one_another() -> None:
    eight = [float(number) for number in range(8)]
    found = search(
        trial("a", 0, *eight), trial("a", 1, *[each + 9 for each in eight]), pairs=True, baseline="a,trial=1"
    )
    assert (found.differences, found.pairs) == ((), ())
    table = overview(found)
    assert table.columns == ("trial", "seeds", "m ↓", "values")
    assert [row[0] for row in table.rows] == ["a,trial=0", "a,trial=1"]
    assert [row[-1] for row in table.rows] == ["lr = 1", "lr = 0.1"]
    assert "none is tested" in " ".join(table.legend)
    assert not set("▲▼") & set(markdown(found))
    assert "baseline" not in markdown(found)


def test_a_trial_that_was_pruned_has_no_share_of_its_seeds() -> None:
    rows = {row[0]: row for row in overview(search(trial("a", 0, 1.0, 2.0), trial("a", 1, "PRUNED"))).rows}
    assert [row[1] for row in rows.values()] == ["2", "pruned"]


def test_an_objective_without_a_best_trial_is_told() -> None:
    found = search(trial("a", 0, 1.0), trial("b", 0, "FAILED"), trial("b", 1, "PRUNED"))
    assert "none of 2 trials (1 pruned, 1 failed) of `b` has a value" in found.answer()[0]
    assert "what it is worth" in found.answer()[1]
    assert search(trial("a", 0, 1.0, "FAILED")).answer() == (
        "By m (lower is better), none of 1 trial (1 failed) of `a` has a value.",
    )
    assert search(trial("a", 0, "FAILED")).answer()[0].startswith("None of 1 run finished")


def test_beside_a_search_other_objectives_are_compared() -> None:
    eight = [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]
    plain = [
        [run("c", seed, value) for seed, value in enumerate(eight)],
        [run("d", seed, value - 9) for seed, value in enumerate(eight)],
    ]
    found = search(*plain, trial("a", 0, 3.0))
    assert [(each.objective, each.other) for each in found.differences] == [("d", "c")]
    assert not found.is_search
    answer = found.answer()
    assert len(answer) == 4
    assert "`d`" in answer[0]
    assert "of `a` is trial 0" in answer[2]
    alone = search(plain[0], trial("a", 0, 3.0)).answer()
    assert "the only objective that is not a trial of a search" in alone[1]
    assert "of `a` is trial 0" in alone[2]


def test_what_is_no_search_has_no_trials() -> None:
    found = comparison({"base": [1.0, 2.0], "other": [2.0, 3.0]})
    assert (found.is_search, found.trials(), found.best()) == (False, (), ())
    assert found.ranked() == found.objectives == ("base", "other")


def test_values_are_short_and_told_apart() -> None:
    assert values({"a.lr": 0.123456, "b.lr": 3, "name": "adam"}) == "a.lr = 0.1235, b.lr = 3, name = adam"


def test_seeds_in_words() -> None:
    one, two = search(trial("a", 0, 1.0)).best(), search(trial("b", 0, 1.0, 2.0)).best()
    assert (chosen_by(one), chosen_by(two)) == ("a single seed", "the same 2 seeds")
    assert chosen_by([*one, *two]) == "a few seeds"
