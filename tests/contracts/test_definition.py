"""Options and quantities as they are read from signatures, and YAML's values for them."""

import datetime
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt
from jaxtyping import Float
from torch import Tensor

from genloss.contracts.definition import Option, Quantity, describe, read_options, read_signature, snake_case
from genloss.errors import DefinitionError

Image = Float[Tensor, "batch *event"]
PerExample = Float[Tensor, "batch"]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (float, 1, 1.0),
        (float, 2.5, 2.5),
        (float, math.inf, math.inf),
        (int, 3, 3),
        (bool, True, True),
        (str, "on", "on"),
        (tuple[int, ...], [128, 128], (128, 128)),
        (tuple[int, ...], (), ()),
        (tuple[float, float], [0, 1], (0.0, 1.0)),
        (list[str], ["a"], ["a"]),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (Annotated[float, Gt(0)], 1e-9, 1e-9),
        (Annotated[int, Ge(1), Le(3)], 3, 3),
        (Annotated[float, Interval(ge=0, lt=1)], 0, 0.0),
        (Literal["mlp", "conv"], "conv", "conv"),
        (float | None, None, None),
        (Path, "data/x.npy", Path("data/x.npy")),
        (Path, Path("data/x.npy"), Path("data/x.npy")),
    ],
)
def test_a_value_that_the_type_allows(annotation, value, expected):
    result = Option("option", annotation).validate(value)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value", "said"),
    [
        (float, "1", 'expected float, got "1"'),
        (float, True, "expected float, got true"),
        (float, None, "expected float, got null"),
        (float, [1], "expected float, got [1]"),
        (int, 1.5, "expected int, got 1.5"),
        (int, 1.0, "expected int, got 1.0"),
        (int, False, "expected int, got false"),
        (bool, 1, "expected bool, got 1"),
        (bool, "yes", 'expected bool, got "yes"'),
        (str, 1, "expected str, got 1"),
        (str, datetime.date(2026, 1, 2), 'expected str, got "2026-01-02"'),
        (tuple[int, ...], 128, "expected list of int, got 128"),
        (tuple[int, ...], [128, "128"], 'expected list of int, got [128, "128"]'),
        (Annotated[float, Gt(0)], 0, "expected float > 0, got 0"),
        (Annotated[float, Ge(0), Lt(1)], 1, "expected float ≥ 0 and < 1, got 1"),
        (Annotated[float, Interval(ge=0, le=1)], 2, "expected float ≥ 0 and ≤ 1, got 2"),
        (Annotated[float, Gt(0)], math.nan, "expected float > 0, got NaN"),
        (Literal["mlp", "conv"], "cnn", 'expected "mlp" | "conv", got "cnn"'),
        (float | None, "none", 'expected float | null, got "none"'),
        (Path, 3, "expected Path, got 3"),
    ],
)
def test_a_value_that_the_type_does_not_allow(annotation, value, said):
    with pytest.raises(ValueError) as caught:
        Option("option", annotation).validate(value)
    assert str(caught.value) == said


def test_a_type_that_no_yaml_can_give():
    with pytest.raises(DefinitionError) as caught:
        Option("activation", Tensor).validate("relu")
    assert caught.value.message == "option `activation` has the type `Tensor`, which no YAML can give"


@pytest.mark.parametrize(
    ("annotation", "said"),
    [(Tensor, "Tensor"), (Callable[[float], float], "collections.abc.Callable[[float], float]")],
)
def test_a_definition_has_no_option_that_no_yaml_can_give(annotation, said):
    def doubled(*, scale: annotation) -> None: ...

    with pytest.raises(DefinitionError) as caught:
        read_options(doubled, what="loss `doubled`")
    assert caught.value.message == (
        f"option `scale` of loss `doubled` has the type `{said}`, which no YAML can give"
    )
    assert caught.value.hint.startswith("an option is a number, ")


@pytest.mark.parametrize(
    ("annotation", "takes"),
    [
        (float, True),
        (Annotated[float, Gt(0)], True),
        (int, False),
        (bool, False),
        (Annotated[int, Gt(0)], False),
        (float | None, False),
        (tuple[float, ...], False),
    ],
)
def test_every_float_takes_a_schedule_and_nothing_else_does(annotation, takes):
    assert Option("option", annotation).takes_schedule is takes


def test_an_option_without_a_default_is_required():
    assert Option("option", float).required
    assert not Option("option", float, 1.0).required
    assert not Option("option", float | None, None).required


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (float, "float"),
        (Annotated[float, Gt(0)], "float > 0"),
        (Annotated[float, Ge(0.5), Le(2)], "float ≥ 0.5 and ≤ 2"),
        (Annotated[float, Interval(gt=0, le=1)], "float > 0 and ≤ 1"),
        (Annotated[float, "a remark"], "float"),
        (Literal["sum", "mean"], '"sum" | "mean"'),
        (int | None, "int | null"),
        (tuple[int, ...], "list of int"),
        (dict[str, float], "dict[str, float]"),
        (Image, "[batch *event]"),
        (Any, "Any"),
    ],
)
def test_types_are_described_as_a_person_would_write_them(annotation, said):
    assert describe(annotation) == said


@pytest.mark.parametrize(
    ("quantity", "shape"),
    [
        (Quantity("x", Image), "batch *event"),
        (Quantity("x", Float[Tensor, ""]), ""),
        (Quantity("x", Annotated[Image, Ge(0), Le(1)]), "batch *event"),
        (Quantity("x", Image | None, optional=True), "batch *event"),
        (Quantity("x", Annotated[Image, Ge(0)] | None, optional=True), "batch *event"),
        (Quantity("x", Image, optional=True), "batch *event"),
        (Quantity("x", list[Image]), "list of [batch *event]"),
        (Quantity("x", list[Image] | None, optional=True), "list of [batch *event]"),
        (Quantity("dataset_size", int), "int"),
        (Quantity("parameterization", Literal["epsilon", "v"]), '"epsilon" | "v"'),
    ],
)
def test_the_shape_of_a_quantity_is_as_it_was_written(quantity, shape):
    assert quantity.shape == shape


def test_a_signature_is_divided_into_quantities_and_options():
    def function(
        x: Image, mask: Image | None = None, *, scale: float = 2.0, form: Literal["a", "b"]
    ) -> PerExample:
        raise NotImplementedError

    signature = read_signature(function, what="loss `function`")
    assert signature.quantities == {
        "x": Quantity("x", Image),
        "mask": Quantity("mask", Image | None, optional=True),
    }
    assert signature.options == {
        "scale": Option("scale", float, 2.0),
        "form": Option("form", Literal["a", "b"]),
    }
    assert signature.returns is PerExample


def test_a_signature_with_string_annotations_is_read_as_well():
    def function(x: "Image", *, scale: "Annotated[float, Gt(0)]" = 1.0) -> "PerExample":
        raise NotImplementedError

    signature = read_signature(function, what="loss `function`")
    assert signature.quantities["x"].annotation is Image
    assert signature.options["scale"].annotation == Annotated[float, Gt(0)]


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("VAE", "vae"),
        ("NormalizingFlow", "normalizing_flow"),
        ("VQVAE2", "vqvae2"),
        ("GANWithLabels", "gan_with_labels"),
        ("already_snake", "already_snake"),
    ],
)
def test_snake_case(name, snake):
    assert snake_case(name) == snake
