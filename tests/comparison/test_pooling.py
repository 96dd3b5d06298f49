"""What must be equal among runs that are compared, how it is named, and how several studies are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from genloss.comparison.pooling import unite
from genloss.comparison.runs import Direction, RunResult
from genloss.comparison.studies import StudyRuns
from genloss.errors import RequestError

USUAL = {
    "data.name": "digits",
    "model.name": "gan",
    "model.latent_dim": "32",
    "training.steps": "3000",
    "training.optimizer.name": "adam",
    "training.optimizer.options.lr": "0.001",
    "evaluation.samples": "1000",
    "evaluation.metrics": "['m']",
    "evaluation.m.bins": "10",
}
LOWER = Direction(higher_is_better=False, unit="1", version="1")


def objective(
    name: str = "a",
    *,
    seeds: Sequence[int] = (0, 1),
    sets: Mapping[str, Any] | None = None,
    point: Mapping[str, Any] | None = None,
    status: str = "FINISHED",
    digest: str = "0" * 64,
    code: Mapping[str, str] | None = None,
    without: Sequence[str] = (),
    **changed: str,
) -> list[RunResult]:
    """An objective's runs; a double underscore stands for the dot in a key of the configuration."""
    configuration = {**USUAL, "g.t.loss": name, "g.t.weight": "1.0"}
    configuration |= {key.replace("__", "."): value for key, value in changed.items()}
    return [
        RunResult(
            name=f"{name}-{seed}",
            objective=name,
            seed=seed,
            status=status,
            sets=sets or {},
            point=point or {},
            configuration={k: v for k, v in configuration.items() if k not in without}
            | {"objective": name, "seed": str(seed)},
            data_digest=digest,
            code=code or {},
        )
        for seed in seeds
    ]


def study(name: str, *objectives: list[RunResult], created: int = 0, **more: Any) -> StudyRuns:
    runs = tuple(run for own in objectives for run in own)
    names = tuple(dict.fromkeys(run.objective for run in runs))
    given: dict[str, Any] = {
        "experiment": "gan",
        "description": "why",
        "objectives": names,
        "baseline": names[0],
        "metrics": {"m": LOWER},
        "references": {"m": 0.5},
    }
    return StudyRuns(
        name=name, created=created, runs=tuple(replace(run, study=name) for run in runs), **{**given, **more}
    )


def refused(*studies: StudyRuns) -> RequestError:
    with pytest.raises(RequestError) as raised:
        unite(studies)
    return raised.value


def test_one_study_is_as_it_is() -> None:
    one = study("s", objective("a"), objective("b"))
    united, allowed = unite([one])
    assert united == one
    assert allowed == ()


def test_what_an_objective_sets_is_no_difference() -> None:
    own = objective("b", sets={"training.steps": 6000}, training__steps="6000")
    assert unite([study("s", objective("a"), own)])[1] == ()


@pytest.mark.parametrize(
    ("sets", "changed"),
    [
        ({"training.optimizer.lr": 0.1}, {"training__optimizer__options__lr": "0.1"}),
        ({"training.optimizer": "sgd"}, {"training__optimizer__name": "sgd"}),
        (
            {"training.optimizer.name": "sgd"},
            {"training__optimizer__name": "sgd", "training__optimizer__options__momentum": "0.9"},
        ),
        ({"model.name": "vae", "model.hidden": [4]}, {"model__name": "vae", "model__hidden": "[4]"}),
        ({"model.latent_dim": 8}, {"model__latent_dim": "8"}),
    ],
)
def test_what_is_set_by_dotted_path_is_found_among_the_params(
    sets: dict[str, Any], changed: dict[str, str]
) -> None:
    assert unite([study("s", objective("a"), objective("b", sets=sets, **changed))])[1] == ()
    assert unite([study("s", objective("a"), objective("b", point=sets, **changed))])[1] == ()
    refused(study("s", objective("a"), objective("b", **changed)))


def test_a_path_that_only_begins_alike_sets_nothing_else() -> None:
    own = objective("b", sets={"model.latent": 1}, model__latent_dim="8")
    assert "`model.latent_dim` is" in refused(study("s", objective("a"), own)).message


def test_another_budget_is_refused_with_both_values_and_what_to_compare_instead() -> None:
    old, new, newest = (
        study("monday", objective("a"), created=1),
        study("tuesday", objective("a", training__steps="50"), created=2),
        study("friday", objective("a", seeds=[7], training__steps="50"), created=3),
    )
    error = refused(old, new, newest)
    assert error.message == (
        "these runs cannot be compared: "
        "`training.steps` is 3000 in study `monday` and 50 in studies `tuesday` and `friday`"
    )
    assert error.hint == (
        "`genloss compare tuesday friday` compares those that agree; `--allow-differences` compares them "
        "nevertheless, and names what differs"
    )


def test_of_two_that_do_not_agree_the_newest_alone_is_proposed() -> None:
    error = refused(
        study("new", objective("a"), created=2), study("old", objective("b", data__name="x"), created=1)
    )
    assert error.hint is not None
    assert error.hint.startswith("`genloss compare new` compares the objectives of the newest alone; ")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data__size": "100"}, "`data.size` is not set in study `x` and 100 in study `y`"),
        ({"evaluation__samples": "1797"}, "`evaluation.samples` is 1000 in study `x` and 1797 in study `y`"),
        ({"evaluation__m__bins": "20"}, "`evaluation.m.bins` is 10 in study `x` and 20 in study `y`"),
        ({"evaluation__every": "5"}, "`evaluation.every` is not set in study `x` and 5 in study `y`"),
        ({"without": ["evaluation.samples"]}, "`evaluation.samples` is 1000 in study `x` and not set"),
        ({"digest": "1" * 64}, "the data's digest is 000000000000 in study `x` and 111111111111 in"),
        ({"model__name": "vae", "model__beta": "4"}, "`model.name` is gan in study `x` and vae in study `y`"),
        ({"data__size": "1", "digest": "1" * 64}, "`data.size` is not set in study `x` and 1 in study `y`"),
    ],
)
def test_each_difference_is_named(changed: dict[str, Any], said: str) -> None:
    message = refused(study("x", objective("a")), study("y", objective("b", **changed))).message
    assert said in message
    assert ";" not in message  # one difference, not its consequences


@pytest.mark.parametrize(
    ("direction", "said"),
    [
        (Direction(False, "1", "2"), "the version of the metric `m` is 1 in study `x` and 2 in study `y`"),
        (Direction(False, "nats", "1"), "the unit of the metric `m` is 1 in study `x` and nats in study `y`"),
        (Direction(True, "1", "1"), "the better side of the metric `m` is lower in study `x` and higher"),
    ],
)
def test_another_metric_of_the_same_name_is_refused(direction: Direction, said: str) -> None:
    error = refused(study("x", objective("a")), study("y", objective("b"), metrics={"m": direction}))
    assert said in error.message


@pytest.mark.parametrize(
    "changed",
    [
        {"training__checkpoint_every": "5", "training__timeout": "60.0"},
        {
            "without": ["evaluation.m.bins"],
            "evaluation__metrics": "['m', 'other']",
            "evaluation__other__k": "1",
        },
        {"digest": ""},
    ],
)
def test_what_decides_no_number_may_differ(changed: dict[str, Any]) -> None:
    assert unite([study("x", objective("a")), study("y", objective("b", **changed))])[1] == ()


def test_a_difference_within_a_study_names_the_objectives() -> None:
    other = study("x", objective("a"), objective("b", training__steps="50"))
    error = refused(other)
    assert error.message == (
        "these runs cannot be compared: "
        "`training.steps` is 3000 in `a` of study `x` and 50 in `b` of study `x`"
    )
    assert error.hint == "`--allow-differences` compares them nevertheless, and names what differs"


def test_of_many_differences_the_first_are_named() -> None:
    changed = {f"data__option{number}": "1" for number in range(7)}
    message = refused(study("x", objective("a")), study("y", objective("b", **changed))).message
    assert message.count("in study `y`") == 4
    assert message.endswith("; and 3 more")


def test_objectives_of_one_name_and_configuration_are_joined_and_their_seeds_united() -> None:
    first = study("x", objective("a", seeds=[0, 1]), objective("b", seeds=[0, 1]), created=1)
    second = study("y", objective("a", seeds=[2]), objective("c", seeds=[2]), created=2, baseline="c")
    united, _ = unite([first, second])
    assert united.objectives == ("a", "b", "c")
    assert [run.seed for run in united.runs if run.objective == "a"] == [0, 1, 2]
    assert (united.name, united.description, united.baseline) == ("gan", "why", "c")
    assert united.notes == ("the baseline is `c`, as in study `y`",)


def test_of_a_seed_that_two_studies_have_the_newest_that_has_ended_counts() -> None:
    old = study("old", objective("a", seeds=[0, 1, 2]), created=1)
    new = study(
        "new",
        [
            *objective("a", seeds=[0]),
            *objective("a", seeds=[1], status="FAILED"),
            *objective("a", seeds=[2], status="INTERRUPTED"),
        ],
        created=2,
    )
    for order in ([old, new], [new, old]):
        united, _ = unite(order)
        chosen = {run.seed: run.study for run in united.runs}
        assert chosen == {0: "new", 1: "new", 2: "old"}
        assert united.notes == (
            "in several studies: seeds 0, 1 and 2 of `a`; of each, the newest run that has ended counts",
        )


def test_the_same_name_for_another_objective_is_refused_and_kept_apart_where_that_is_allowed() -> None:
    first = study("x", objective("a"), objective("b"), created=1)
    second = study("y", objective("a"), objective("b", g__t__weight="10.0"), created=2)
    assert refused(first, second).message == (
        "these runs cannot be compared: "
        "`g.t.weight` of objective `b` is 1.0 in study `x` and 10.0 in study `y`"
    )
    united, allowed = unite([first, second], allow_differences=True)
    assert united.objectives == ("a", "b (x)", "b (y)")
    assert {run.objective for run in united.runs} == {"a", "b (x)", "b (y)"}
    assert len(united.runs) == 2 + 2 + 2
    assert allowed == ("`g.t.weight` of objective `b` is 1.0 in study `x` and 10.0 in study `y`",)


def test_other_values_of_what_an_objective_sets_make_it_another_objective() -> None:
    sets = {"training.steps": 1}
    first = study("x", objective("b", sets=sets, training__steps="10"), created=1)
    second = study("y", objective("b", sets=sets, training__steps="20"), created=2)
    assert "`training.steps` of objective `b` is 10 in study `x`" in refused(first, second).message


def test_where_differences_are_allowed_the_baseline_is_the_newest_study_s() -> None:
    first = study("x", objective("a"), created=1)
    second = study("y", objective("a", training__steps="1"), created=2)
    united, allowed = unite([first, second], allow_differences=True)
    assert united.baseline == "a (y)"
    assert len(allowed) == 1
    assert len(united.runs) == 4


def test_nothing_is_compared_with_a_trial_of_a_search() -> None:
    searched = [replace(run, base="a", trial=0) for run in objective("a,trial=0")]
    both = [study("s-1", objective("b")), study("s-2", searched, created=1, metric="m")]
    assert [each.is_search for each in both] == [False, True]
    united, _ = unite(both)
    assert (united.baseline, united.metric, united.is_search) == ("b", "m", False)
    assert "the baseline is `b`, as in study `s-1`" in united.notes


def test_metrics_that_not_all_have_are_left_out_and_told() -> None:
    first = study("x", objective("a"), metrics={"m": LOWER, "n": LOWER}, references={"m": 1.0, "n": 2.0})
    second = study("y", objective("b"))
    united, _ = unite([first, second])
    assert list(united.metrics) == ["m"]
    assert set(united.references) == {"m"}
    assert "left out, as not all studies have them: `n`" in united.notes


def test_studies_without_a_common_metric_are_refused() -> None:
    error = refused(study("x", objective("a")), study("y", objective("b"), metrics={"n": LOWER}))
    assert error.message == "these studies have no metric in common: study `x`: m; study `y`: n"


def test_references_that_differ_are_told() -> None:
    first = study("x", objective("a"), created=2)
    second = study("y", objective("b"), created=1, references={"m": 0.7})
    united, _ = unite([first, second])
    assert united.references == {"m": 0.5}
    assert "the studies' references differ of `m`; the newest study's is shown" in united.notes


def test_studies_of_several_experiments_are_named_after_them() -> None:
    united, _ = unite([study("x", objective("a")), study("y", objective("b"), experiment="vae")])
    assert (united.name, united.description) == ("gan and vae", "")


def test_runs_of_which_nothing_is_known_hinder_nobody() -> None:
    unknown = [replace(run, configuration={}) for run in objective("b", status="NOT STARTED")]
    assert unite([study("x", objective("a"), unknown)])[1] == ()


USED = {
    "training.@code": "genloss 1 (a)",
    "data.@code": "genloss 1 (b)",
    "model.@code": "net.py 1",
    "g.t.@code": "losses.py 1",
    "evaluation.m.@code": "genloss 1 (c)",
    "model.weights.@content": "d",
}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("training.@code", "the code of `training`"),
        ("data.@code", "the code of `data`"),
        ("model.@code", "the code of `model`"),
        ("g.t.@code", "the code of `g.t` of objective `a`"),
        ("evaluation.m.@code", "the code of `evaluation.m`"),
        ("model.weights.@content", "the content of `model.weights`"),
    ],
)
def test_seeds_of_other_code_or_of_other_files_are_not_joined(name: str, said: str) -> None:
    old, new = USED[name], f"{USED[name]}'"
    studies = (
        study("s-1", objective(seeds=(0, 1), code=USED)),
        study("s-2", objective(seeds=(2, 3), code={**USED, name: new}), created=1),
    )
    raised = refused(*studies)
    assert raised.message == (
        f"these runs cannot be compared: {said} is {old} in study `s-1` and {new} in study `s-2`"
    )
    united, allowed = unite(studies, allow_differences=True)
    assert allowed == (raised.message.partition(": ")[2],)
    assert united.objectives == ("a (s-1)", "a (s-2)")


def test_only_what_an_objective_uses_counts() -> None:
    """Another loss in the baseline's stead is none of the other objective's business."""
    first = study("s-1", objective("a", code=USED), objective("b", seeds=(0,), code=USED))
    second = study("s-2", objective("b", seeds=(1,), code=USED), created=1)
    united, _ = unite((first, second))
    assert sorted(run.seed for run in united.runs if run.objective == "b") == [0, 1]
    other = {**USED, "g.t.@code": "losses.py 2"}
    unite((first, study("s-3", objective("c", seeds=(1,), code=other), created=2)))


def test_an_objective_that_sets_the_model_has_its_code() -> None:
    mine = objective(
        "b", sets={"model.name": "vae"}, code={**USED, "model.@code": "vae.py 1"}, model__name="vae"
    )
    unite([study("s-1", objective("a", code=USED), mine)])


def test_runs_of_which_no_code_is_known_are_compared() -> None:
    united, allowed = unite(
        [study("s-1", objective(seeds=(0,))), study("s-2", objective(seeds=(1,), code=USED), created=1)]
    )
    assert (united.objectives, allowed) == (("a",), ())


def test_where_a_file_lies_is_of_no_interest_once_its_content_is_known() -> None:
    here = objective(seeds=(0,), code=USED, model__weights="/here/w.pt")
    there = objective(seeds=(1,), code=USED, model__weights="/there/w.pt")
    assert unite([study("s-1", here), study("s-2", there, created=1)])[0].objectives == ("a",)
    old = [objective(seeds=(2,), model__weights=f"/{at}/w.pt") for at in ("here", "there")]
    assert unite([study("s-1", here), study("s-3", old[1], created=1)])[0].objectives == ("a",)
    assert "`model.weights` is" in refused(study("s-3", old[0]), study("s-4", old[1], created=1)).message
