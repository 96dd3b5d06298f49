"""A loss: what its signature says, and what it may not say."""

import functools
import inspect
from typing import TYPE_CHECKING, Annotated

import pytest
import torch
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor, nn

import genloss
from genloss.contracts.definition import Option, Quantity
from genloss.errors import DefinitionError

if TYPE_CHECKING:
    from numpy import float128 as OnlyForTheTypeChecker

PerExample = Float[Tensor, "batch"]
Scalar = Float[Tensor, ""]
Image = Float[Tensor, "batch *event"]
loss = functools.partial(genloss.loss, family="reconstruction", unit="data", source="this file")


def quartic_error(x: Image, x_hat: Image, *, scale: Annotated[float, Gt(0)] = 1.0) -> PerExample:
    """Fourth power of the reconstruction error.

    More about it.
    """
    return scale * (x - x_hat).pow(4).flatten(1).sum(1)


class TestAFunction:
    def test_says_what_its_signature_says(self):
        quartic = loss()(quartic_error)
        assert isinstance(quartic, genloss.Loss)
        assert (quartic.name, quartic.kind) == ("quartic_error", "loss")
        assert (quartic.family, quartic.unit, quartic.source) == ("reconstruction", "data", "this file")
        assert quartic.quantities == {"x": Quantity("x", Image), "x_hat": Quantity("x_hat", Image)}
        assert quartic.options == {"scale": Option("scale", Annotated[float, Gt(0)], 1.0)}
        assert quartic.options["scale"].takes_schedule
        assert not quartic.batch_coupled
        assert not quartic.is_module
        assert quartic.summary == "Fourth power of the reconstruction error."
        assert quartic.doc.endswith("More about it.")
        assert quartic.unavailable is None
        assert repr(quartic) == "<loss quartic_error>"

    def test_is_called_as_the_function_is(self):
        quartic = loss()(quartic_error)
        x, x_hat = torch.randn(3, 2, 2), torch.randn(3, 2, 2)
        expected = quartic_error(x, x_hat, scale=2.0)
        assert torch.equal(quartic(x, x_hat, scale=2.0), expected)
        assert torch.equal(quartic(x_hat=x_hat, x=x, scale=2.0), expected)
        assert torch.equal(quartic.build(scale=2.0)(x=x, x_hat=x_hat), expected)
        with pytest.raises(TypeError, match="scala"):
            quartic(x, x_hat, scala=2.0)

    def test_is_called_without_a_check_of_shapes(self):
        broadcast = loss()(quartic_error)(torch.zeros(3, 2), torch.ones(1, 2))
        assert broadcast.tolist() == [2.0, 2.0, 2.0]

    def test_looks_like_the_function(self):
        quartic = loss()(quartic_error)
        assert quartic.__name__ == "quartic_error"
        assert quartic.__module__ == __name__
        assert quartic.__doc__ == quartic_error.__doc__
        assert inspect.signature(quartic) == inspect.signature(quartic_error)

    def test_validates_its_options(self):
        quartic = loss()(quartic_error)
        assert quartic.validated({"scale": 3}) == {"scale": 3.0}
        with pytest.raises(ValueError, match="expected float > 0, got 0"):
            quartic.validated({"scale": 0})
        with pytest.raises(ValueError, match="loss `quartic_error` has no option `scael`"):
            quartic.validated({"scael": 3})

    def test_may_have_another_name_and_be_unavailable(self):
        named = loss(name="other", unavailable="needs torch 3")(quartic_error)
        assert (named.name, named.unavailable) == ("other", "needs torch 3")

    def test_names_what_its_formula_holds_constant(self):
        assert loss(stop_gradient=("x",))(quartic_error).stop_gradient == ("x",)
        with pytest.raises(DefinitionError, match=r"stops the gradient of `z_e`, which it does not ask for"):
            loss(stop_gradient=("z_e",))(quartic_error)

    def test_keeps_its_example(self):
        def draw():
            return {"x": torch.zeros(2, 1), "x_hat": torch.zeros(2, 1)}

        assert loss(example=draw)(quartic_error).example is draw

    def test_says_which_checks_cannot_hold(self):
        assert loss()(quartic_error).exempt == {}
        assert loss(exempt={"vmap": "it sorts"})(quartic_error).exempt == {"vmap": "it sorts"}

    def test_without_a_docstring(self):
        def bare(x: Image) -> PerExample:
            return x.flatten(1).sum(1)

        assert (loss()(bare).doc, loss()(bare).summary) == ("", "")


def test_a_scalar_couples_the_batch():
    def coupled(x: Image) -> Scalar:
        return x.var()

    assert loss()(coupled).batch_coupled


def test_an_optional_quantity_has_the_default_none():
    def masked(x: Image, mask: Image | None = None, weights: Image = None) -> PerExample:  # type: ignore[assignment]
        return x.flatten(1).sum(1)

    quantities = loss()(masked).quantities
    assert [quantity.optional for quantity in quantities.values()] == [False, True, True]


class TestRefused:
    """Each with a message that says what to do instead."""

    def refuse(self, function, message, hint=None, **facts):
        with pytest.raises(DefinitionError) as caught:
            loss(**facts)(function)
        assert caught.value.message == message
        assert caught.value.hint == hint

    @pytest.mark.parametrize("option", ["weight", "bind", "every"])
    def test_an_option_that_every_term_has(self, option):
        scope = dict(globals())
        exec(f"def broken(x: Image, *, {option}: float = 1.0) -> PerExample: ...", scope)
        self.refuse(
            scope["broken"],
            f"loss `broken` has an option named `{option}`, a key with a meaning of its own in the YAML",
            "choose another name",
        )

    @pytest.mark.parametrize(
        ("names", "hint"),
        [
            (
                ["total", "gradient_norm", "with"],
                "it stands for something else in an experiment or its record",
            ),
            (
                ["two words", "a/b", "1st", ""],
                "a name has letters, digits and `_`, and begins with no digit",
            ),
        ],
        ids=["reserved", "no identifier"],
    )
    def test_a_name_that_it_cannot_bear(self, names, hint):
        def broken(x: Image) -> PerExample: ...

        for name in names:
            broken.__name__ = name
            self.refuse(broken, f"loss `{name}` cannot bear that name", hint)

    def test_args(self):
        def broken(x: Image, *more: Image) -> PerExample: ...

        self.refuse(
            broken,
            f"loss `broken` takes `*more: {inspect.formatannotation(Image)}`, "
            "which would swallow misspelt options",
            "name every parameter",
        )

    def test_kwargs(self):
        def broken(x: Image, **more) -> PerExample: ...

        self.refuse(
            broken,
            "loss `broken` takes `**more`, which would swallow misspelt options",
            "name every parameter",
        )

    def test_a_quantity_without_annotation(self):
        def broken(x) -> PerExample: ...

        self.refuse(broken, "quantity `x` of loss `broken` has no type annotation")

    def test_an_option_without_annotation(self):
        def broken(x: Image, *, scale=1.0) -> PerExample: ...

        self.refuse(broken, "option `scale` of loss `broken` has no type annotation")

    def test_a_quantity_with_a_default(self):
        def broken(x: Image, scale: float = 1.0) -> PerExample: ...

        self.refuse(
            broken,
            "quantity `scale` of loss `broken` has the default 1.0",
            "a quantity has no default, or None if it is optional; an option stands after `*`",
        )

    def test_a_positional_only_quantity(self):
        def broken(x: Image, /) -> PerExample: ...

        self.refuse(
            broken,
            "quantity `x` of loss `broken` is positional-only",
            "quantities are passed by keyword: delete the `/`",
        )

    def test_no_quantity(self):
        def broken(*, scale: float = 1.0) -> PerExample: ...

        self.refuse(broken, "loss `broken` asks for no quantity")

    RETURNS = (
        "loss `broken` does not say what it returns",
        'annotate it with `Float[Tensor, "batch"]`, one value per example, or with `Float[Tensor, ""]` '
        "if it couples the examples of a batch",
    )

    def test_no_return_annotation(self):
        def broken(x: Image): ...

        self.refuse(broken, *self.RETURNS)

    @pytest.mark.parametrize("returns", [None, Tensor, Image, Float[Tensor, "n"], float])
    def test_another_return_annotation(self, returns):
        def broken(x: Image): ...

        broken.__annotations__["return"] = returns
        self.refuse(broken, *self.RETURNS)

    @pytest.mark.parametrize("place", ["quantity", "option", "return"])
    def test_a_name_that_is_there_for_the_type_checker_alone(self, place):
        if place == "quantity":

            def broken(x: "OnlyForTheTypeChecker") -> PerExample: ...
        elif place == "option":

            def broken(x: Image, *, option: "OnlyForTheTypeChecker") -> PerExample: ...
        else:

            def broken(x: Image) -> "OnlyForTheTypeChecker": ...

        self.refuse(
            broken,
            "an annotation of loss `broken` cannot be read: name 'OnlyForTheTypeChecker' is not defined",
            "import the name outside of `if TYPE_CHECKING`",
        )


@loss()
class LearnedError(nn.Module):
    """A reconstruction error with a scale that is learned."""

    def __init__(self, *, initial: float = 0.0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(initial))

    def forward(self, x: Image, x_hat: Image, mask: Image | None = None) -> PerExample:
        error = (x - x_hat).square() if mask is None else mask * (x - x_hat).square()
        return (error.flatten(1).sum(1) / self.log_scale.exp() + self.log_scale) / 2


class TestAModule:
    def test_says_what_its_constructor_and_forward_say(self):
        assert LearnedError.name == "learned_error"
        assert LearnedError.is_module
        assert list(LearnedError.quantities) == ["x", "x_hat", "mask"]
        assert LearnedError.quantities["mask"].optional
        assert LearnedError.options == {"initial": Option("initial", float, 0.0)}
        assert LearnedError.summary == "A reconstruction error with a scale that is learned."

    def test_builds_a_new_module_with_its_options(self):
        first, second = LearnedError.build(initial=2.0), LearnedError.build(initial=2.0)
        assert isinstance(first, nn.Module)
        assert [parameter.item() for parameter in first.parameters()] == [2.0]
        assert first.log_scale is not second.log_scale

    def test_is_called_with_quantities_and_options(self):
        x, x_hat = torch.ones(2, 3), torch.zeros(2, 3)
        assert LearnedError(x, x_hat).tolist() == [1.5, 1.5]
        assert LearnedError(x=x, x_hat=x_hat, mask=torch.zeros(2, 3), initial=2.0).tolist() == [1.0, 1.0]

    def test_may_do_without_a_constructor_and_a_docstring(self):
        class Plain(nn.Module):
            def forward(self, x: Image) -> PerExample:
                return x.flatten(1).sum(1)

        plain = loss()(Plain)
        assert plain.options == {}
        assert plain.doc == ""
        assert plain(torch.ones(2, 3)).tolist() == [3.0, 3.0]

    def test_takes_the_constructor_of_its_base(self):
        class Derived(LearnedError._implementation):
            pass

        assert list(loss()(Derived).options) == ["initial"]

    def refuse(self, cls, message):
        with pytest.raises(DefinitionError) as caught:
            loss()(cls)
        assert caught.value.message == message

    def test_is_no_other_class(self):
        class Broken:
            def forward(self, x: Image) -> PerExample: ...

        self.refuse(Broken, "loss `broken` is a class, but no torch.nn.Module")

    def test_has_no_options_in_forward(self):
        class Broken(nn.Module):
            def forward(self, x: Image, *, scale: float = 1.0) -> PerExample: ...

        self.refuse(Broken, "the `forward` of loss `broken` has options: scale")

    def test_has_no_positional_options(self):
        class Broken(nn.Module):
            def __init__(self, scale: float) -> None: ...

            def forward(self, x: Image) -> PerExample: ...

        self.refuse(Broken, "`scale` of loss `broken` is not a keyword-only parameter, so no YAML can set it")

    def test_has_no_option_that_every_term_has(self):
        class Broken(nn.Module):
            def __init__(self, *, weight: float = 1.0) -> None: ...

            def forward(self, x: Image) -> PerExample: ...

        self.refuse(
            Broken, "loss `broken` has an option named `weight`, a key with a meaning of its own in the YAML"
        )

    def test_has_no_name_for_two_things(self):
        class Broken(nn.Module):
            def __init__(self, *, x: float = 1.0) -> None: ...

            def forward(self, x: Image) -> PerExample: ...

        self.refuse(Broken, "`x` is both an option and a quantity of loss `broken`")

    def test_defines_forward(self):
        class Broken(nn.Module):
            pass

        with pytest.raises(DefinitionError, match="`broken`"):
            loss()(Broken)
