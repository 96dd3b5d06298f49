"""What the suite draws for a loss: arguments, values for its options, the same noise twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
import torch
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Bool, Float, Int, Num, Shaped
from torch import Tensor

import genloss
from genloss.conformance import Nonconformity
from genloss.conformance.losses import draw
from genloss.conformance.losses.case import Case, Subject
from genloss.conformance.losses.noise import Noise
from genloss.contracts.shapes import check_arguments

PerExample = Float[Tensor, "batch"]
Scalar = Float[Tensor, ""]
Event = Float[Tensor, "batch *event"]


def toy(function: Any, **facts: Any) -> genloss.Loss[Any]:
    return genloss.loss(family="toys", unit="1", source="this file", **facts)(function)


def drawn(function: Any, **facts: Any) -> dict[str, Any]:
    loss = toy(function, **facts)
    given = draw.draw(loss, draw.sizes(loss))
    check_arguments(loss, given)
    return given


def test_dimensions_of_one_name_agree_and_others_differ() -> None:
    def nll(
        hidden: Float[Tensor, "batch *positions features"],
        output_weight: Float[Tensor, "vocabulary features"],
        pixels: Float[Tensor, "batch channels height width 3"],
    ) -> PerExample: ...

    shapes = {name: tuple(value.shape) for name, value in drawn(nll).items()}
    assert shapes["hidden"] == (4, 2, 3, 3)
    assert shapes["output_weight"] == (5, 3)
    assert shapes["pixels"] == (4, 2, 8, 9, 3)


def test_values_lie_in_their_domain() -> None:
    def loss(
        x: Annotated[Event, Ge(0), Le(1)],
        sigma: Annotated[Float[Tensor, "batch"], Gt(0)],
        below: Annotated[Event, Lt(-2)],
        t: Annotated[Int[Tensor, "batch"], Ge(3), Lt(9)],
        share: Annotated[float, Gt(0), Lt(1)],
        dataset_size: Annotated[int, Gt(2000)],
    ) -> PerExample: ...

    given = drawn(loss)
    assert 0 < given["x"].min() < given["x"].max() < 1
    assert given["sigma"].min() > 0
    assert given["below"].max() < -2
    assert 3 <= given["t"].min() <= given["t"].max() <= 5
    assert (given["share"], given["dataset_size"]) == (0.5, 2001)


def test_integers_without_bounds_are_places_in_the_dimension_that_they_lack() -> None:
    def nll(
        logits: Float[Tensor, "batch *positions vocabulary"], targets: Int[Tensor, "batch *positions"]
    ) -> PerExample: ...

    loss = toy(nll)
    for seed in range(5):
        given = draw.draw(loss, draw.sizes(loss), seed=seed)
        assert 0 <= given["targets"].min() <= given["targets"].max() < given["logits"].shape[-1]


def test_kinds() -> None:
    def loss(
        features: list[Float[Tensor, "batch ..."]],
        x: Num[Tensor, "batch *event"],
        which: Literal["epsilon", "x0"],
        flag: bool,
        mask: Shaped[Tensor, "batch"] | None = None,
        keep: Bool[Tensor, "batch"] | None = None,
    ) -> PerExample: ...

    given = drawn(loss)
    assert [tuple(layer.shape) for layer in given["features"]] == [(4, 3), (4, 2, 3, 4)]
    assert given["x"].dtype == torch.float64
    assert (given["which"], given["flag"]) == ("epsilon", True)
    assert given["mask"].dtype == given["keep"].dtype == torch.bool
    without = Case(toy(loss), optional=False)
    assert without.draw().keys() == {"features", "x", "which", "flag"}
    assert str(without) == "loss `loss` with no `mask`, no `keep`"


@pytest.mark.parametrize("annotation", [str, dict, Float[Tensor, "batch 2*n"]], ids=str)
def test_what_cannot_be_drawn_needs_an_example(annotation: Any) -> None:
    def loss(x: Event, other: Any) -> PerExample: ...

    loss.__annotations__["other"] = annotation
    with pytest.raises(Nonconformity, match=r"cannot draw `other` of loss `loss`") as caught:
        drawn(loss)
    assert "`example=` that returns {'other': …}" in str(caught.value)


class TestAnExample:
    @staticmethod
    def loss(x: Event, kind: str, limits: Float[Tensor, "batch *event"]) -> PerExample: ...

    def test_gets_the_sizes_that_it_asks_for_and_may_leave_out_the_rest(self) -> None:
        def example(batch: int = 2, event: tuple[int, ...] = (1,)) -> Mapping[str, Any]:
            return {
                "kind": "a",
                "limits": torch.ones(batch, *event),
            }

        given = drawn(self.loss, example=example)
        assert given["kind"] == "a"
        assert given["x"].shape == given["limits"].shape == (4, 2, 3)

    def test_may_have_sizes_of_its_own(self) -> None:
        def example() -> Mapping[str, Any]:
            return {"x": torch.zeros(7, 1), "limits": torch.ones(7, 1), "kind": "b"}

        given = drawn(self.loss, example=example)
        assert given["x"].shape == (7, 1)
        assert given["x"].dtype == torch.float64

    def test_asks_for_dimensions_alone(self) -> None:
        def example(height: int = 2) -> Mapping[str, Any]: ...

        with pytest.raises(
            Nonconformity, match=r"asks for `height`, which is not a dimension of it"
        ) as caught:
            drawn(self.loss, example=example)
        assert caught.value.hint == "its quantities have the dimensions *event, batch"

    def test_draws_quantities_alone(self) -> None:
        with pytest.raises(Nonconformity, match=r"draws `y`, which is not a quantity of it"):
            drawn(self.loss, example=lambda: {"y": torch.zeros(1)})


class TestCases:
    def cases(self, function: Any) -> list[str]:
        return [
            str(case).removeprefix("loss `loss`").removeprefix(" with ")
            for case in Subject(toy(function)).every
        ]

    def test_one_option_at_a_time_at_each_of_its_values(self) -> None:
        def loss(
            x: Event,
            *,
            scale: Annotated[float, Gt(0)] = 1.0,
            share: Annotated[float, Ge(0), Le(1)] = 0.0,
            shift: float = 0.0,
            power: Annotated[int, Ge(1)] = 1,
            form: Literal["a", "b"] = "a",
            flag: bool = False,
            name: str = "",
        ) -> PerExample:
            return x.flatten(1).sum(1)

        assert self.cases(loss) == [
            "",
            "`scale: 0.5`",
            "`scale: 0.001`",
            "`share: 0.5`",
            "`share: 1.0`",
            "`shift: 0.5`",
            "`power: 2`",
            '`form: "b"`',
            "`flag: true`",
        ]
        moderate = [str(case) for case in Subject(toy(loss)).moderate]
        assert not any("0.001" in case or "1.0" in case for case in moderate)

    def test_the_values_of_a_quantity_that_has_few(self) -> None:
        def loss(x: Event, form: Literal["a", "b"]) -> PerExample:
            return x.flatten(1).sum(1)

        assert self.cases(loss) == ["", '`form: "a"`', '`form: "b"`']

    def test_an_option_without_default_gets_a_value(self) -> None:
        def loss(x: Event, *, scale: Annotated[float, Gt(2)], form: Literal["a"]) -> PerExample:
            return x.flatten(1).sum(1)

        assert self.cases(loss)[0] == '`scale: 2.5`, `form: "a"`'

    def test_an_option_without_default_of_which_nothing_is_known(self) -> None:
        def loss(x: Event, *, name: str) -> PerExample: ...

        with pytest.raises(Nonconformity, match=r"knows no value for the option `name`") as caught:
            self.cases(loss)
        assert caught.value.hint == "give it a default"

    def test_what_the_loss_refuses_is_left_out(self) -> None:
        def loss(x: Event, *, form: Literal["a", "b", "c"] = "a") -> PerExample:
            if form == "b":
                raise genloss.GenlossError("not for such data")
            return x.flatten(1).sum(1)

        assert self.cases(loss) == ["", '`form: "c"`']


class TestNoise:
    def test_is_given_again_as_the_examples_are(self) -> None:
        noise = Noise(batch=3)
        with noise.recorded():
            first, shared = torch.randn(3, 2), torch.zeros(5).uniform_()
        with noise.again(lambda drawn: drawn.flip(0)):
            second, again = torch.randn(3, 2, dtype=torch.float64), torch.zeros(5).uniform_()
        assert torch.equal(second, first.flip(0).double())
        assert torch.equal(again, shared)

    def test_of_another_shape_is_refused(self) -> None:
        noise = Noise(batch=3)
        with noise.recorded():
            torch.rand(3)
        with (
            noise.again(lambda drawn: drawn),
            pytest.raises(Nonconformity, match=r"shape \[4\], and before \[3\]"),
        ):
            torch.rand(4)
        with noise.again(lambda drawn: drawn):
            torch.rand(3)
            with pytest.raises(Nonconformity, match=r"shape \[1\], and before none"):
                torch.rand(1)
