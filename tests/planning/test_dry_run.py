"""What goes wrong with a few examples is told before anything is trained, with its place and the culprit."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from genloss.errors import ExperimentError, PluginError, RequestError
from genloss.planning import dry_run
from genloss.planning.plan import Plan, plan
from genloss.registry import catalogue
from genloss.training.devices import Device

BUGS = Path(__file__).with_name("bugs.py")
TEXT = """\
name: bugs
data: points
model: line
objectives:
  plain: {network: [{cubed_error: {weight: 2}}]}
training: {steps: 10, batch_size: 32}
seeds: 1
devices: cpu
evaluation: {samples: 200, metrics: [spread]}
"""
Planned = Callable[..., Plan]
Refused = Callable[..., RequestError]


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
    """The experiment with this changed; paths are relative to this folder."""
    monkeypatch.setattr(catalogue, "installed_plugins", list)
    file = tmp_path / "bugs.yaml"
    file.write_text(TEXT)
    monkeypatch.chdir(BUGS.parent)
    return lambda *overrides: plan(file, plugins=[BUGS], overrides=overrides)


@pytest.fixture
def refused(planned: Planned) -> Refused:
    """The error of planning it."""

    def refused(*overrides: str) -> RequestError:
        with pytest.raises(RequestError) as caught:
            planned(*overrides)
        return caught.value

    return refused


def line(text: str) -> int:
    """The line of the plugin that holds this text."""
    (number,) = [n for n, line in enumerate(BUGS.read_text().splitlines(), 1) if text in line]
    return number


def test_what_is_right_is_planned_whatever_needs_more_than_a_few_examples(planned: Planned) -> None:
    """Neither the loss that needs 16 examples nor the metric that needs 100 samples stands in the way."""
    before = torch.get_rng_state()
    assert planned("objectives.plain.network.cubed_error.bug=small")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("override", "culprit", "text", "said"),
    [
        ("data.bug=typo", "dataset `points`", "torch.zeroes(3)", "cannot be loaded: AttributeError: "),
        ("model.bug=typo", "model `line`", "nn.Liner(2", "cannot be built for this data: AttributeError: "),
        ("model.bug=turns", "model `line`", "NoTurn if", "cannot be built for this data: NameError: "),
        ("model.bug=turn", "model `line`", "netwrk if", "failed on the first 32 training examples: Attr"),
        (
            "objectives.plain.network.cubed_error.bug=typo",
            "loss `cubed_error`",
            "return x.sqared()",
            "failed on the first 32 training examples: AttributeError: 'Tensor' object has no",
        ),
        (
            "evaluation.metrics.spread.bug=typo",
            "metric `spread`",
            "samples.sqared()",
            "failed with 200 training examples in the place of samples: AttributeError: ",
        ),
        (
            "evaluation.samples=99",
            "metric `spread`",
            "samples are not enough",
            "failed with 99 training examples in the place of samples: ValueError: 99 samples are not enough",
        ),
    ],
)
def test_a_bug_is_told_with_the_plugin_s_line_and_keeps_its_traceback(
    refused: Refused, override: str, culprit: str, text: str, said: str
) -> None:
    error = refused(override)
    assert isinstance(error, PluginError)
    assert error.message.startswith(f"{culprit} (bugs.py:{line(text)}) {said}")
    assert error.where is not None
    assert error.__cause__ is not None
    frames = traceback.extract_tb(error.__cause__.__traceback__)
    assert (str(BUGS), line(text)) in [(frame.filename, frame.lineno) for frame in frames]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.bug=nothing", "dataset `points` gave nothing, not `genloss.Data`"),
        ("data.bug=array", "dataset `points` gave an object of the type `ndarray`, not `genloss.Data`"),
        ("data.bug=part", "the data's `train` is a Tensor"),
        ("data.bug=field", "`x` of the data's `train` is a ndarray, not a tensor"),
        (
            "data.bug=nan",
            "dataset `points`: `x` of its `train` has values that are not finite, in 2 of 100 examples; "
            "the first is number 17",
        ),
        (
            "model.bug=foreign",
            "`network` of model `line` trains a parameter that is not the model's, and would not be saved "
            "with it",
        ),
        ("model.bug=sample", "`sample(2)` of model `line` gives the shape [2, 3], not [2, 2]"),
        (
            "model.bug=reconstruct",
            "`reconstruct` of model `line` gives the shape [2, 1], not [2, 2]",
        ),
        (
            "objectives.plain.network.cubed_error.bug=shape",
            "loss `cubed_error` must return one value per example, shape [32], got float32 [32, 2]",
        ),
        (
            "objectives.plain.network.cubed_error.bug=nan",
            "loss `cubed_error` is nan on the first 32 training examples, before any update",
        ),
        (
            "objectives.plain.network.cubed_error.bug=detached",
            "no parameter of `network` gets a gradient from `cubed_error`",
        ),
    ],
)
def test_what_breaks_a_contract_is_one_message(refused: Refused, override: str, message: str) -> None:
    error = refused(override)
    assert not isinstance(error, PluginError)
    assert error.message == message
    assert error.where is not None


def test_parameters_of_no_player_are_named(planned: Planned, tmp_path: Path) -> None:
    assert planned().remarks == ()
    (remark,) = planned("model.bug=unowned", "objectives.other={network: cubed_error}").remarks
    assert remark.message == "`wte.weight` belongs to no player and would not be trained"
    assert str(remark.where) == f"{tmp_path / 'bugs.yaml'}:3:8"


@pytest.mark.parametrize("pretrained", ["loaded", "computed"])
def test_pretrained_weights_do_not_stand_in_the_way(planned: Planned, pretrained: str) -> None:
    """On torch's meta device, loading them is a warning, and computing with them an error."""
    before = torch.get_rng_state()
    assert planned(f"model.pretrained={pretrained}").remarks == ()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_metric_of_numbers_is_not_for_tokens() -> None:
    experiment = {
        "name": "tokens",
        "data": {"name": "markov_text", "size": 20, "held_out": 20},
        "model": {"name": "language", "width": 8, "heads": 1, "layers": 1},
        "objectives": {"nll": {"network": "categorical_nll"}},
        "training": {"steps": 1, "batch_size": 4},
        "seeds": 1,
        "evaluation": {"samples": 8, "metrics": ["frechet_distance"]},
    }
    with pytest.raises(RequestError, match=r"expects `samples` as a floating-point tensor .*, got int64"):
        plan(experiment)


def test_the_place_is_that_of_the_term_in_the_yaml(refused: Refused, tmp_path: Path) -> None:
    text = TEXT.replace("weight: 2", "bug: shape")
    (tmp_path / "bugs.yaml").write_text(text)
    error = refused()
    assert isinstance(error, ExperimentError)
    assert str(error.where).endswith(":5:22")


def test_a_model_of_many_parameters_is_not_tried(
    planned: Planned, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A linear layer from 2 to 2 has 6 parameters."""
    typo = "objectives.plain.network.cubed_error.bug=typo"
    monkeypatch.setattr(dry_run, "LARGEST_MODEL", 6)
    assert refused(typo)
    monkeypatch.setattr(dry_run, "LARGEST_MODEL", 5)
    assert planned(typo)


def test_of_large_data_only_the_first_examples_are_read(planned: Planned) -> None:
    assert planned("data.bug=large", "evaluation.metrics.spread.least=10").data.spec.size == 1000


def test_what_the_cpu_cannot_do_is_no_mistake_where_nothing_is_trained_on_it(
    planned: Planned, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = "objectives.plain.network.cubed_error.bug=kernel"
    assert refused(kernel)
    gpu = (Device("cuda:0", "as asked for", workers=1, threads=1),)
    monkeypatch.setattr("genloss.training.devices.choose", lambda *_, **__: gpu)
    assert planned(kernel)
    assert refused("objectives.plain.network.cubed_error.bug=typo")


def test_a_metric_is_tried_with_what_it_may_leave_out(planned: Planned, refused: Refused) -> None:
    metrics = "evaluation.metrics=[tried_with_labels]"
    assert planned(metrics)
    assert "has no attribute 'maen'" in refused(metrics, "data.classes=2").message


def test_a_metric_s_own_check_sees_all_labels(planned: Planned, refused: Refused) -> None:
    metrics = "evaluation.metrics=[checked]"
    assert planned(metrics, "data.classes=2")
    for data in ("data.classes=1", "data.bug=none"):
        error = refused(metrics, data)
        assert (error.message, error.hint) == ("there is one class", "use data of two")
        assert error.where is not None


def test_data_of_one_class_and_the_features_of_a_classifier(tmp_path: Path) -> None:
    """Which would fail at the end of each run, and again after `resume`."""
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).random((80, 4, 4)), y=np.full(80, 3))
    experiment = {
        "name": "one-class",
        "data": {"name": "arrays", "path": str(tmp_path / "data.npz"), "train": "x", "labels": "y"},
        "model": "autoencoder",
        "objectives": {"plain": {"network": "squared_error"}},
        "training": {"steps": 10, "batch_size": 8},
        "seeds": [0],
        "evaluation": {"samples": 60, "metrics": ["frechet_distance"]},
    }
    with pytest.raises(RequestError, match="all labels are the same") as caught:
        plan(experiment)
    assert caught.value.hint == "set `features: data`"
    assert plan(experiment, overrides=["evaluation.metrics=[{frechet_distance: {features: data}}]"])


def test_a_field_that_the_data_does_not_have(planned: Planned, refused: Refused) -> None:
    label = "model.bug=label"
    assert planned(label, "data.classes=2")
    error = refused(label)
    assert error.message == "the model asks a batch for `label`, and this data has `x` alone"
    assert "dataset `points` has no option that gives it" in str(error.hint)
    assert planned(label, "data={name: labelled, labels: true}")
    assert refused(label, "data=labelled").hint == "dataset `labelled` gives it by its option `labels`"
