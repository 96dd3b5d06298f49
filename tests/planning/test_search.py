"""Searches: what is read and checked of them before anything is trained, and which values are chosen."""

from __future__ import annotations

import itertools
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from genloss.commands.planned import print_plan
from genloss.experiment.schema import Experiment, Range, Search
from genloss.experiment.search import with_trials
from genloss.planning import suggest
from genloss.planning.plan import Plan, plan, runs
from genloss.planning.suggest import Trial, is_pruned, next_point
from genloss.planning.trials import Trials, command, overrides

Planned = Callable[..., Plan]
Refused = Callable[..., str]

WEIGHT, SCALE = "objectives.second.critic.pull.weight", "objectives.second.actor.push.scale"
LR = "training.optimizer.lr: {log_uniform: [1e-5, 1e-2]}"


def searched(*space: str, more: str = "trials: 4", metric: str = "spread") -> tuple[str, str]:
    """The text replacement that gives the valid experiment a search; its first line is the file's 16th."""
    lines = ["search:", f"  metric: {metric}", f"  {more}", "  space:", *(f"    {line}" for line in space)]
    return "seeds: [3, 1]", "\n".join([*lines, "seeds: [3, 1]"])


def search_of(planned: Plan) -> Search:
    assert planned.experiment.search is not None
    return planned.experiment.search


def test_a_path_into_an_objective_is_chosen_for_it_alone(planned: Planned) -> None:
    search = search_of(planned(searched(LR, f"{WEIGHT}: {{uniform: [0.1, 10]}}")))
    assert list(search.space_of("first")) == ["training.optimizer.lr"]
    assert list(search.space_of("second")) == ["training.optimizer.lr", WEIGHT]


def test_what_is_not_said_has_defaults(planned: Planned) -> None:
    search = search_of(planned(searched(LR)))
    assert (search.sampler, search.pruner, search.seed) == ("tpe", "median", 0)
    alone = planned(searched(LR), ("every: 5, ", ""))
    assert search_of(alone).pruner == "none"


def test_each_trial_is_a_run_that_is_known_before_its_values_are(planned: Planned) -> None:
    checked = planned(searched(LR))
    names = [run.name for run in runs(checked, "study")]
    assert len(names) == len(set(names)) == checked.experiment.run_count == 16
    assert names[:5] == [*(f"first,trial={number}-3" for number in range(4)), "second,trial=0-3"]
    expanded = with_trials(checked.experiment)
    assert with_trials(expanded) == expanded
    assert expanded.run_count == 16
    assert expanded.baseline == "first,trial=0"
    assert all(objective.is_open for objective in expanded.objectives)


def test_a_trial_has_its_values_whatever_with_says(planned: Planned) -> None:
    path = "training.players.critic.updates_per_step"
    space = [
        f"{path}: {{integer: [3, 5]}}",
        f"{SCALE}: {{choice: [0.1, 0.25]}}",
        "model.width: {choice: [2, 3]}",
    ]
    checked = planned(searched(*space), objectives=["second"])
    trials = Trials(checked.source, checked.catalogue, checked.data)
    trial = trials.objective("second", 7, {path: 4, SCALE: 0.25, "model.width": 3})
    assert (trial.name, trial.base, trial.trial) == ("second,trial=7", "second", 7)
    assert trial.point == {path: 4, SCALE: 0.25, "model.width": 3}
    assert trial.training.players["critic"].updates_per_step == 4
    assert trial.players["actor"][0].options["scale"] == 0.25
    assert trial.model.options["width"] == 3


def test_the_line_of_a_trial_trains_the_trial(planned: Planned, toys: Path) -> None:
    path = "training.players.critic.updates_per_step"
    checked = planned(searched(LR, f"{path}: {{integer: [3, 5]}}", f"{SCALE}: {{choice: [0.1, 0.25]}}"))
    trials = Trials(checked.source, checked.catalogue, checked.data)
    trial = trials.objective("second", 2, {"training.optimizer.lr": 1.5e-5, path: 4, SCALE: 0.25})
    open_one = next(run for run in runs(checked, "study") if run.name == "second,trial=2-1")
    words = shlex.split(command(open_one.reproduce, trial))
    sets = [after for word, after in itertools.pairwise(words) if word == "--set"]
    assert set(overrides(trial.base, trial.point)) < set(sets)
    (alone,) = runs(plan("toys.yaml", plugins=[toys], overrides=sets, objectives=["second"]), "study")
    assert alone.seed == 1
    for part in ("players", "model", "training"):
        assert getattr(alone.objective, part) == getattr(trial, part)


def test_trials_of_several_objectives_can_be_trained_together(planned: Planned, toys: Path) -> None:
    checked = planned(searched(LR, f"{SCALE}: {{choice: [0.1, 0.25]}}"))
    trials = Trials(checked.source, checked.catalogue, checked.data)
    both = (
        trials.objective("first", 2, {"training.optimizer.lr": 1.5e-5}),
        trials.objective("second", 1, {"training.optimizer.lr": 3e-5, SCALE: 0.25}),
    )
    sets = ["search=null", *(each for trial in both for each in overrides(trial.base, trial.point))]
    together = plan("toys.yaml", plugins=[toys], overrides=sets).experiment
    for objective, trial in zip(together.objectives, both, strict=True):
        assert objective.name == trial.base
        assert "training.optimizer.lr" in objective.sets  # so that a comparison lets it differ
        for part in ("players", "model", "training"):
            assert getattr(objective, part) == getattr(trial, part)


def test_trials_can_be_fewer_by_an_override(planned: Planned) -> None:
    assert search_of(planned(searched(LR), overrides=["search.trials=2"])).trials == 2
    assert planned(searched(LR), overrides=["search=null"]).experiment.search is None
    space = "search.space.training.optimizer.lr={uniform: [0.1, 0.2]}"
    other = search_of(planned(searched(LR), overrides=[space])).space
    assert other == {"training.optimizer.lr": Range(uniform=(0.1, 0.2))}


def test_the_first_trials_are_tried_and_known(planned: Planned) -> None:
    checked = planned(searched(LR, "model.width: {integer: [2, 8]}"))
    first, second = checked.first_trials
    assert (first.name, second.name) == ("first,trial=0", "second,trial=0")
    assert 1e-5 <= first.point["training.optimizer.lr"] <= 1e-2
    assert first.point != second.point
    assert planned(searched(LR, "model.width: {integer: [2, 8]}")).first_trials == checked.first_trials


def test_the_plan_shows_what_is_chosen_from(planned: Planned, capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(planned(searched(LR, "model.width: {choice: [2, 3]}", f"{SCALE}: {{uniform: [0, 1]}}")))
    said = capsys.readouterr().out
    assert (
        "search      4 trials of each objective for the best spread: tpe, seed 0, pruned by the median"
        in said
    )
    assert "training.optimizer.lr: 1e-05 to 0.01, by its logarithm" in said
    assert "model.width: one of 2, 3" in said
    assert f"{SCALE}: 0 to 1\n" in said
    assert "first of second: training.optimizer.lr " in said
    assert "16 runs: 2 objectives × 4 trials × 2 seeds (3, 1); nothing was trained" in said


def test_a_search_survives_json(planned: Planned) -> None:
    experiment = with_trials(planned(searched(LR, "model.width: {choice: [2, 3]}")).experiment)
    again = Experiment.model_validate_json(experiment.model_dump_json(by_alias=True))
    assert again == experiment
    assert again.search is not None
    assert [values.form for values in again.search.space.values()] == ["log_uniform", "choice"]


WRONG = {
    "a choice with a value of the wrong type": (
        ["model.width: {choice: [2, wide]}"],
        ["option `width` of model `toy_gan`", "toys.yaml:20:31"],
    ),
    "an end out of bounds": (
        [f"{SCALE}: {{uniform: [-1, 2]}}", LR],
        ["option `scale` of loss `push`", "toys.yaml:20:52"],
    ),
    "ends in the wrong order": (
        ["training.optimizer.lr: {uniform: [1, 0.1]}"],
        ["expected the lower end, then the higher", "toys.yaml:20:38"],
    ),
    "a logarithm of zero": (
        ["training.optimizer.lr: {log_uniform: [0, 0.1]}"],
        ["expected ends above 0", "toys.yaml:20:42"],
    ),
    "two forms": (
        ["model.width: {integer: [2, 3], choice: [2, 3]}"],
        ["expected one form of a range", "toys.yaml:20:18"],
    ),
    "a misspelt form": (
        ["model.width: {integr: [2, 3]}"],
        ["unknown key `integr`", "did you mean `integer`?"],
    ),
    "a list where a range is expected": (["model.width: [2, 3]"], ["`model.width`: expected a range"]),
    "a value given twice": (["model.width: {choice: [2, 2]}"], ["`2` is given twice", "toys.yaml:20:31"]),
    "a path that leads nowhere": (
        ["objectives.second.critic.pusch.scale: {uniform: [1, 2]}", LR],
        ["there is no `pusch` in `objectives.second.critic`", "toys.yaml:20:5"],
    ),
    "an option that is not there": (
        ["model.wdth: {integer: [2, 3]}"],
        ["has no option `wdth`", "did you mean `width`?"],
    ),
    "what objectives share": (
        ["seeds: {integer: [2, 3]}"],
        ["`search` varies `objectives.…`", "the same data, seeds"],
    ),
    "nothing of one objective": (
        [f"{WEIGHT}: {{uniform: [1, 2]}}"],
        ["objective `first` has nothing to search", "equally many trials", "`--objective`"],
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_mistakes_in_the_space_are_told_with_their_places(refused: Refused, mistake: str) -> None:
    space, expected = WRONG[mistake]
    said = refused(searched(*space))
    assert all(part in said for part in expected), said


def test_the_metric_must_be_measured(refused: Refused) -> None:
    said = refused(searched(LR, metric="sprad"))
    assert said == (
        "`search` wants to better `sprad`, which `evaluation` does not measure\n"
        "  --> toys.yaml:17:11\n"
        "hint: did you mean `spread`?"
    )
    assert "needs a metric" in refused(searched(LR), ("evaluation: {every: 5, metrics: [spread]}", ""))


def test_a_pruner_needs_evaluations_on_the_way(refused: Refused) -> None:
    said = refused(searched(LR, more="trials: 4\n  pruner: median"), ("every: 5, ", ""))
    assert "set `evaluation.every`, or leave `pruner` out" in said


def test_no_search_beside_a_sweep(refused: Refused) -> None:
    said = refused(searched(LR), ("evaluation:", "sweep: {model.width: [2, 3]}\nevaluation:"))
    assert "`search` and `sweep` exclude each other" in said


@pytest.mark.parametrize("trials", ["0", "1001", "many"])
def test_the_number_of_trials_has_bounds(refused: Refused, trials: str) -> None:
    assert "toys.yaml:18:11" in refused(searched(LR, more=f"trials: {trials}"))


def test_a_missing_optuna_is_told_with_what_to_install(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert refused(searched(LR)) == (
        "`search` needs the package Optuna, which is not installed\n"
        "  --> toys.yaml:16:1\n"
        "hint: pip install 'genloss[search]'"
    )


def test_optuna_is_imported_for_a_search_alone(toys: Path, planned: Planned) -> None:
    planned()
    code = "import sys; from genloss.planning.plan import plan; plan('toys.yaml', plugins=[sys.argv[1]]); "
    code += "import genloss.launch.run; print('optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(toys)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


SPACE = {
    "a": Range(log_uniform=(1e-4, 1.0)),
    "b": Range(uniform=(-1.0, 1.0)),
    "c": Range(integer=(1, 9)),
    "d": Range(choice=([64], [128, 128], None, True, 1)),
}


def settings(**more: Any) -> Search:
    return Search(trials=30, metric="m", space=SPACE, **more)


def simulated(trials: int, search: Search, stream: str = "base") -> list[Trial]:
    """A search whose metric is near 0 where `a` is near 0.1 and `b` near 0.5."""
    done: list[Trial] = []
    for _ in range(trials):
        point = next_point(search, SPACE, done, stream, higher_is_better=False)
        value = abs(point["a"] - 0.1) + abs(point["b"] - 0.5)
        done.append(Trial(point, "finished", value, {10: value}))
    return done


def test_equal_seeds_choose_equal_values_however_often_it_was_cut_off() -> None:
    whole = simulated(20, settings())
    assert [trial.point for trial in simulated(20, settings())] == [trial.point for trial in whole]
    # Nothing but the trials before decides: what is read from records gives the same as what is remembered.
    read = [Trial(**json.loads(json.dumps(asdict(trial)))) for trial in whole[:15]]
    for trial in read:
        trial.numbers = {int(step): number for step, number in trial.numbers.items()}
    assert next_point(settings(), SPACE, read, "base", higher_is_better=False) == whole[15].point
    assert simulated(3, settings(seed=1))[0].point != whole[0].point
    assert simulated(3, settings(), "other")[0].point != whole[0].point


def test_values_lie_in_their_ranges_and_are_short() -> None:
    for trial in simulated(30, settings(sampler="random")):
        point = trial.point
        assert 1e-4 <= point["a"] <= 1
        assert -1 <= point["b"] <= 1
        assert point["c"] in range(1, 10)
        assert any(point["d"] is choice for choice in SPACE["d"].values)
        assert len(f"{point['a']:.15g}") <= len("0.0001234")
        assert len(f"{point['b']:.15g}") <= len("-0.123")


def test_a_narrow_range_keeps_its_digits() -> None:
    space = {"a": Range(uniform=(0.99990, 0.99999)), "b": Range(log_uniform=(1000.0, 1000.5))}
    points = [next_point(settings(), space, [], str(n), higher_is_better=True) for n in range(20)]
    assert len({point["a"] for point in points}) > 15
    assert len({point["b"] for point in points}) > 15


def test_tpe_learns_and_random_does_not() -> None:
    late = [trial.value for trial in simulated(60, settings())[40:] if trial.value is not None]
    blind = [t.value for t in simulated(60, settings(sampler="random"))[40:] if t.value is not None]
    assert sum(late) < 0.6 * sum(blind)


def test_random_values_do_not_depend_on_what_came_before() -> None:
    search = settings(sampler="random")
    done = simulated(5, search)
    others = [Trial(trial.point, "failed") for trial in done]
    assert next_point(search, SPACE, others, "base", higher_is_better=False) == next_point(
        search, SPACE, done, "base", higher_is_better=False
    )


def test_a_failed_trial_is_told_as_failed_and_one_that_runs_as_bad() -> None:
    done = simulated(15, settings())
    for state in ("failed", "running", "pruned"):
        changed = [*done[:-1], Trial(done[-1].point, state, None, {10: 3.0})]  # type: ignore[arg-type]
        assert set(next_point(settings(), SPACE, changed, "base", higher_is_better=False)) == set(SPACE)


@pytest.mark.parametrize(("higher", "worse"), [(False, 9.0), (True, 0.0)])
def test_the_median_rule(higher: bool, worse: float) -> None:
    point = next_point(settings(), SPACE, [], "base", higher_is_better=higher)
    finished = [Trial(point, "finished", float(n), {10: float(n), 20: float(n)}) for n in range(1, 6)]
    assert len(finished) == suggest.PRUNER_TRIALS

    def pruned(before: list[Trial], numbers: dict[int, float]) -> bool:
        trials = [*before, Trial(point, "running", None, numbers)]
        return is_pruned(SPACE, trials, len(before), higher_is_better=higher)

    assert pruned(finished, {10: worse})
    assert not pruned(finished, {10: 3.0})  # the median itself is not worse than the median
    assert not pruned(finished, {10: 6.0 - worse / 9 * 5})
    assert pruned(finished, {10: float("nan")})
    assert not pruned(finished[:-1], {10: worse})
    assert not pruned([*finished[:-1], Trial(point, "failed")], {10: worse})
    assert not pruned(finished, {15: worse})  # nothing is known of that step
