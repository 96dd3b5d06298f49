"""What a loss is told when it gets, or gives, what its signature does not allow."""

from typing import Annotated, Any, Literal

import pytest
import torch
from annotated_types import Ge, Gt, Interval, Le, Lt
from jaxtyping import Bool, Float, Float64, Int, Num
from torch import Tensor

import genloss
from genloss.contracts.shapes import check_arguments, check_value
from genloss.errors import ContractError

Image = Float[Tensor, "batch *event"]
Features = list[Float[Tensor, "batch *features"]]
PerExample = Float[Tensor, "batch"]
loss = genloss.loss(family="test", unit="1", source="this file")


@loss
def pair(x: Image, x_hat: Image) -> PerExample: ...


@loss
def sequence(
    logits: Float[Tensor, "batch tokens vocabulary"],
    targets: Int[Tensor, "batch tokens"],
    mask: Bool[Tensor, "batch tokens"] | None = None,
) -> PerExample: ...


@loss
def matching(real_features: Features, fake_features: Features | None = None) -> PerExample: ...


@loss
def bounded(
    x: Annotated[Image, Ge(0), Le(1)],
    sigma: Annotated[Float[Tensor, ""], Gt(0), Lt(10)] | None = None,
    t: Annotated[PerExample, Interval(ge=0, le=1)] | None = None,
) -> PerExample: ...


@loss
def facts(
    x: Num[Tensor, "batch"],
    dataset_size: Annotated[int, Ge(1)],
    parameterization: Literal["epsilon", "v"] = None,  # noqa: RUF013 - as people write it
    name: str | None = None,
    exact: Float64[Tensor, "batch"] | None = None,
    either: Int[Tensor, "batch"] | Float[Tensor, "batch 1"] | None = None,
    plain: Tensor | None = None,
    anything: Any = None,
) -> PerExample: ...


@loss
def coupled(x: Image) -> Float[Tensor, ""]: ...


@pytest.mark.parametrize(
    ("loss", "arguments"),
    [
        (pair, {"x": torch.zeros(3, 1, 2, 2), "x_hat": torch.zeros(3, 1, 2, 2)}),
        (pair, {"x": torch.zeros(3), "x_hat": torch.zeros(3)}),
        (pair, {"x": torch.zeros(3, 2).double(), "x_hat": torch.zeros(3, 2).bfloat16()}),
        (sequence, {"logits": torch.zeros(2, 3, 5), "targets": torch.zeros(2, 3).long()}),
        (
            sequence,
            {
                "logits": torch.zeros(2, 3, 5),
                "targets": torch.zeros(2, 3).int(),
                "mask": torch.ones(2, 3) > 0,
            },
        ),
        (matching, {"real_features": [torch.zeros(2, 3), torch.zeros(2, 3)]}),
        (matching, {"real_features": []}),
        (bounded, {"x": torch.tensor([0.0, 1.0]), "sigma": torch.tensor(9.9), "t": torch.zeros(2)}),
        (bounded, {"x": torch.tensor([[float("nan"), 1.0]])}),
        (facts, {"x": torch.zeros(2).int(), "dataset_size": 7, "parameterization": "v", "name": "a"}),
        (facts, {"x": torch.zeros(2), "dataset_size": 1, "exact": torch.zeros(2).double(), "anything": {}}),
        (
            facts,
            {"x": torch.zeros(2), "dataset_size": 1, "either": torch.zeros(2, 1), "plain": torch.ones(5)},
        ),
        (facts, {"x": torch.zeros(2), "dataset_size": 1, "either": torch.zeros(2).long()}),
    ],
)
def test_arguments_that_agree_with_the_signature(loss, arguments):
    check_arguments(loss, arguments)


@pytest.mark.parametrize(
    ("loss", "arguments", "message"),
    [
        pytest.param(
            pair,
            {"x": torch.zeros(4, 3), "x_hat": torch.zeros(4, 2)},
            "loss `pair` expects `x_hat` as a floating-point tensor of shape [batch *event], "
            "got float32 [4, 2]; `x` is float32 [4, 3]",
            id="events differ",
        ),
        pytest.param(
            pair,
            {"x": torch.zeros(4, 3), "x_hat": torch.zeros(5, 3)},
            "loss `pair` expects `x_hat` as a floating-point tensor of shape [batch *event], "
            "got float32 [5, 3]; `x` is float32 [4, 3]",
            id="batches differ",
        ),
        pytest.param(
            pair,
            {"x": torch.zeros(4, 3, dtype=torch.int64), "x_hat": torch.zeros(4, 3)},
            "loss `pair` expects `x` as a floating-point tensor of shape [batch *event], "
            "got int64 [4, 3]; `x_hat` is float32 [4, 3]",
            id="integers",
        ),
        pytest.param(
            coupled,
            {"x": torch.zeros(())},
            "loss `coupled` expects `x` as a floating-point tensor of shape [batch *event], got float32 []",
            id="no batch",
        ),
        pytest.param(
            coupled,
            {"x": [[1.0, 2.0]]},
            "loss `coupled` expects `x` as a floating-point tensor of shape [batch *event], "
            "got a list of a list of float 1.0, float 2.0",
            id="no tensor",
        ),
        pytest.param(
            sequence,
            {"logits": torch.zeros(2, 3, 5), "targets": torch.zeros(2, 3)},
            "loss `sequence` expects `targets` as an integer tensor of shape [batch tokens], "
            "got float32 [2, 3]; `logits` is float32 [2, 3, 5]",
            id="floats",
        ),
        pytest.param(
            sequence,
            {"logits": torch.zeros(2, 3, 5), "targets": torch.zeros(2, 4).long()},
            "loss `sequence` expects `targets` as an integer tensor of shape [batch tokens], "
            "got int64 [2, 4]; `logits` is float32 [2, 3, 5]",
            id="a named dimension differs",
        ),
        pytest.param(
            sequence,
            {"logits": torch.zeros(2, 3, 5), "mask": torch.ones(2, 3)},
            "loss `sequence` expects `mask` as a Boolean tensor of shape [batch tokens], "
            "got float32 [2, 3]; `logits` is float32 [2, 3, 5]",
            id="an optional one",
        ),
        pytest.param(
            matching,
            {"real_features": [torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3, 3)]},
            "loss `matching` expects `real_features` as a list of floating-point tensors of shape "
            "[batch *features], got a list of float32 [2, 3], float32 [2, 3], float32 [3, 3]",
            id="an item of a list",
        ),
        pytest.param(
            matching,
            {"real_features": [], "fake_features": torch.zeros(2, 3)},
            "loss `matching` expects `fake_features` as a list of floating-point tensors of shape "
            "[batch *features], got float32 [2, 3]; `real_features` is an empty list",
            id="no list",
        ),
        pytest.param(
            matching,
            {"real_features": [1, 2, 3, 4, 5]},
            "loss `matching` expects `real_features` as a list of floating-point tensors of shape "
            "[batch *features], got a list of int 1, int 2, int 3, int 4, …",
            id="a long list",
        ),
        pytest.param(
            facts,
            {"x": torch.zeros(2) > 0, "dataset_size": 1},
            "loss `facts` expects `x` as a tensor of shape [batch], got bool [2]; `dataset_size` is int 1",
            id="no number",
        ),
        pytest.param(
            facts,
            {"x": torch.zeros(2), "dataset_size": "7"},
            "loss `facts` expects `dataset_size` as int, got str '7'; `x` is float32 [2]",
            id="no int",
        ),
        pytest.param(
            facts,
            {"x": torch.zeros(2), "parameterization": "x0"},
            'loss `facts` expects `parameterization` as "epsilon" | "v", got str \'x0\'; `x` is float32 [2]',
            id="another word",
        ),
        pytest.param(
            facts,
            {"exact": torch.zeros(2)},
            "loss `facts` expects `exact` as a float64 tensor of shape [batch], got float32 [2]",
            id="precision",
        ),
        pytest.param(
            facts,
            {"either": torch.zeros(2)},
            "loss `facts` expects `either` as [batch] | [batch 1], got float32 [2]",
            id="neither",
        ),
        pytest.param(
            facts,
            {"plain": None},
            "loss `facts` expects `plain` as Tensor, got NoneType None",
            id="none",
        ),
    ],
)
def test_arguments_that_do_not(loss, arguments, message):
    with pytest.raises(ContractError) as caught:
        check_arguments(loss, arguments)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("loss", "name", "value", "said"),
    [
        (bounded, "x", torch.tensor([0.5, -0.25, 1.0]), "≥ 0, got values from -0.25 to 1"),
        (bounded, "x", torch.tensor([0.5, 255.0]), "≤ 1, got values from 0.5 to 255"),
        (bounded, "sigma", torch.tensor(0.0), "> 0, got values from 0 to 0"),
        (bounded, "sigma", torch.tensor(10.0), "< 10, got values from 10 to 10"),
        (bounded, "t", torch.tensor([0.0, 1.5]), "≤ 1, got values from 0 to 1.5"),
        (facts, "dataset_size", 0, "≥ 1, got values from 0 to 0"),
    ],
)
def test_values_out_of_their_domain(loss, name, value, said):
    with pytest.raises(ContractError) as caught:
        check_arguments(loss, {name: value})
    assert caught.value.message == f"loss `{loss.name}` expects `{name}` {said}"
    assert (
        caught.value.hint
        == f"scale the data, or choose a loss for data of another range than `{loss.name}` is for"
    )


def test_each_check_starts_afresh():
    check_arguments(pair, {"x": torch.zeros(4, 3), "x_hat": torch.zeros(4, 3)})
    check_arguments(pair, {"x": torch.zeros(5, 2), "x_hat": torch.zeros(5, 2)})


OVER_THE_EVENT = "sum over the event's dimensions, not over the batch; the trainer takes the batch's mean"
ANNOTATE = 'annotate what it returns with `Float[Tensor, "batch"]` if that is one value per example'


@pytest.mark.parametrize(
    ("loss", "value", "message", "hint"),
    [
        (pair, torch.zeros(()), "one value per example, shape [4], got float32 []", OVER_THE_EVENT),
        (pair, torch.zeros(4, 1), "one value per example, shape [4], got float32 [4, 1]", OVER_THE_EVENT),
        (pair, torch.zeros(3), "one value per example, shape [4], got float32 [3]", OVER_THE_EVENT),
        (pair, None, "one value per example, shape [4], got NoneType None", None),
        (pair, 0.5, "one value per example, shape [4], got float 0.5", None),
        (pair, torch.zeros(4, dtype=torch.int64), "floating-point values, got int64 [4]", None),
        (coupled, torch.zeros(4), "a scalar, got float32 [4]", ANNOTATE),
        (coupled, torch.zeros(1), "a scalar, got float32 [1]", ANNOTATE),
        (coupled, 0.5, "a scalar, got float 0.5", None),
    ],
)
def test_a_value_that_the_signature_does_not_allow(loss, value, message, hint):
    with pytest.raises(ContractError) as caught:
        check_value(loss, value, 4)
    assert caught.value.message == f"loss `{loss.name}` must return {message}"
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("loss", "value"), [(pair, torch.zeros(4)), (pair, torch.zeros(4).double()), (coupled, torch.zeros(()))]
)
def test_a_value_that_it_allows(loss, value):
    check_value(loss, value, 4)
