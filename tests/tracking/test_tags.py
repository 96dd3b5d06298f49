"""What a run's tags say of its study is read as it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from genloss.comparison.runs import Direction
from genloss.experiment.schema import Run
from genloss.tracking import tags
from genloss.tracking.tags import comparison_tags, told
from tests.comparison.written import objective, study


def test_what_is_written_is_read(tmp_path: Path) -> None:
    own = [objective("a"), objective("b", sets={"training.steps": 20})]
    own[1] = own[1].model_copy(update={"base": "c", "point": {"model.latent_dim": 32}})
    content = study(tmp_path, objectives=own, train=False).read()
    run = Run.model_validate(content["runs"][1], strict=False)
    found = told(comparison_tags(content, run))
    assert (found.sets, found.base, found.point) == ({"training.steps": 20}, "c", {"model.latent_dim": 32})
    protocol = found.protocol
    assert protocol is not None
    assert (protocol.baseline, protocol.position, protocol.objectives) == ("a", 1, ("a", "b"))
    assert (protocol.seeds, protocol.experiment) == ((0, 1, 2), "gan-losses")
    assert protocol.description == "What the adversarial objective changes."
    assert protocol.metrics["frechet_distance"] == Direction(False, "1", "2")
    assert protocol.data == "0123456789abcdef" * 4


@pytest.mark.parametrize("terms", [0, 3, 400])
def test_the_code_of_a_run_takes_as_many_tags_as_it_needs(tmp_path: Path, terms: int) -> None:
    code = {f"generator.term_{number}.@code": "genloss 0.1.0 (0123456789ab)" for number in range(terms)}
    content = study(tmp_path, train=False).read()
    run = Run.model_validate(content["runs"][0], strict=False).model_copy(update={"code": code})
    written = comparison_tags(content, run)
    assert sum(key.startswith(tags.CODE) for key in written) == {0: 0, 3: 1, 400: 5}[terms]
    assert max(map(len, written.values())) <= tags.LONGEST_TAG
    assert told(written).code == code
    assert told({tags.CODE: "{", f"{tags.CODE}.2": "[1]"}).code == {}


def test_the_line_that_runs_the_study_again_is_whole_or_missing(tmp_path: Path) -> None:
    content = study(tmp_path, train=False).read()
    run = Run.model_validate(content["runs"][0], strict=False)
    content["experiment"] |= {"overrides": ["seeds=[1, 2]"], "plugins": ["/p/my.py"]}
    line = "genloss run gan.yaml --set 'seeds=[1, 2]' --plugin /p/my.py"
    assert comparison_tags(content, run)[tags.COMMAND] == line
    content["experiment"] |= {"source": "a Python mapping", "overrides": [], "plugins": []}
    assert comparison_tags(content, run)[tags.COMMAND] == "genloss run .genloss/gan-losses/experiment.yaml"
    content["experiment"]["overrides"] = ["training.steps=50"] * 1000
    assert tags.COMMAND not in comparison_tags(content, run)


def test_a_trial_and_the_metric_of_its_search(tmp_path: Path) -> None:
    own = objective("a,trial=7").model_copy(update={"base": "a", "trial": 7, "point": {"training.steps": 3}})
    content = study(tmp_path, objectives=[own], numbers={}, train=False).read()
    run = Run.model_validate(content["runs"][0], strict=False)
    found = told(comparison_tags(content, run))
    assert found.protocol is not None
    assert (found.trial, found.protocol.metric) == (7, "")
    content["experiment"]["search"] = {"metric": "recall"}
    found = told(comparison_tags(content, run))
    assert found.protocol is not None
    assert found.protocol.metric == "recall"
    assert told({tags.TRIAL: "seven"}).trial is None


@pytest.mark.parametrize(("objectives", "seeds"), [(400, 1), (400, 2000), (2, 3000)])
def test_what_is_too_long_for_a_tag_does_without_the_lists(
    tmp_path: Path, objectives: int, seeds: int
) -> None:
    names = [f"an_objective_{number}" for number in range(objectives)]
    content = study(tmp_path, numbers=dict.fromkeys(names, ()), seeds=[0], train=False).read()
    content["experiment"]["seeds"] = list(range(seeds))
    run = Run.model_validate(content["runs"][-1], strict=False)
    written = comparison_tags(content, run)
    assert max(map(len, written.values())) <= tags.LONGEST_TAG
    protocol = told(written).protocol
    assert protocol is not None
    assert (protocol.position, protocol.baseline) == (objectives - 1, "an_objective_0")
    assert protocol.objectives == ()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"baseline": "a"}', '{"metrics": 3}'])
def test_tags_that_are_missing_or_damaged_say_nothing(text: str) -> None:
    found = told({tags.PROTOCOL: text, tags.POINT: text if text != "{}" else ""})
    assert (found.sets, found.protocol, found.base) == ({}, None, "")
    assert told({}).sets == {}


@pytest.mark.parametrize(
    ("text", "references"), [('{"m": 1}', {"m": 1.0}), ("{", None), ('{"m": "x"}', None)]
)
def test_references(text: str, references: object) -> None:
    assert tags.references(text) == references
