"""Models and what their turns offer."""

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

import genloss
from genloss.contracts.definition import Option
from genloss.contracts.model import ModelDefinition
from genloss.errors import DefinitionError

if TYPE_CHECKING:
    from numpy import float128 as OnlyForTheTypeChecker

SPEC = genloss.DataSpec(event_shape=(2,), kind="points", size=7)


class EncoderTurn(genloss.Turn["Linear"]):
    """A base of other turns."""

    @cached_property
    def _hidden(self) -> Tensor:
        self.model.calls += 1
        return self.model.network(self.x)

    @cached_property
    def mu(self) -> Float[Tensor, "batch latent"]:
        """Posterior mean.

        More about it.
        """
        return self._hidden

    @cached_property
    def x_hat(self) -> Float[Tensor, "batch *event"]:
        return self._hidden

    @property
    def helper(self) -> int:
        return 1

    def method(self) -> int:
        return 2


class DecoderTurn(EncoderTurn):
    x_hat = None  # type: ignore[assignment]

    @cached_property
    def mu(self) -> Float[Tensor, "batch other"]:
        """Another mean."""
        return 2 * self._hidden

    @cached_property
    def z(self) -> Float[Tensor, "batch latent"]:
        """A sample."""
        return self.mu


class Linear(genloss.Model):
    """A linear map.

    And no more.
    """

    def __init__(
        self,
        data: genloss.DataSpec,
        *,
        bias: bool = True,
        kind: Literal["a", "b"] = "a",
        hidden: tuple[int, ...],
    ) -> None:
        super().__init__(data)
        self.network = nn.Linear(*data.event_shape, 2, bias=bias)
        self.hidden = hidden
        self.kind = kind
        self.calls = 0


class TestTurn:
    def test_offers_its_public_cached_properties(self):
        offered = EncoderTurn.quantities()
        assert {name: (quantity.shape, quantity.doc) for name, quantity in offered.items()} == {
            "dataset_size": ("int", "Number of examples in the training set."),
            "mu": ("batch latent", "Posterior mean.\n\nMore about it."),
            "x": ("batch *event", "The data."),
            "x_hat": ("batch *event", ""),
            "x_range": (
                "float",
                "Greatest less least possible value of an element of x; infinite where it is not known.",
            ),
        }
        assert not any(quantity.optional for quantity in offered.values())

    def test_inherits_replaces_adds_and_withdraws(self):
        offered = DecoderTurn.quantities()
        assert list(offered) == ["dataset_size", "mu", "x", "x_range", "z"]
        assert offered["mu"].shape == "batch other"
        assert offered["mu"].doc == "Another mean."

    def test_computes_a_quantity_once_and_only_when_it_is_asked_for(self):
        model = Linear(SPEC, hidden=())
        turn = DecoderTurn(model, {"x": torch.zeros(3, 2)}, frozenset({"z"}))
        assert (turn.needs, model.calls) == ({"z"}, 0)
        assert turn.z is turn.mu
        assert model.calls == 1
        assert turn.x.shape == (3, 2)
        assert turn.dataset_size == 7
        assert turn.x_range == math.inf
        bounded = replace(SPEC, value_range=(-1.0, 1.0))
        assert DecoderTurn(Linear(bounded, hidden=()), {"x": torch.zeros(3, 2)}).x_range == 2

    def test_may_build_on_what_its_base_offers(self):
        class Doubled(EncoderTurn):
            @cached_property
            def mu(self) -> Float[Tensor, "batch latent"]:
                return 2 * super().mu

            @cached_property
            def again(self) -> Float[Tensor, "batch latent"]:
                return super().mu  # what is there already, as of any cached property

        model = Linear(SPEC, hidden=())
        turn = Doubled(model, {"x": torch.ones(3, 2)})
        assert torch.equal(turn.mu, 2 * model.network(turn.x))
        assert turn.again is turn.mu
        assert model.calls == 1

    def test_says_what_a_quantity_is(self):
        class Broken(genloss.Turn["Linear"]):
            @cached_property
            def mu(self):
                return self.x

        with pytest.raises(DefinitionError, match="quantity `mu` of `Broken` has no return annotation"):
            Broken.quantities()

    def test_a_name_that_is_there_for_the_type_checker_alone(self):
        class Broken(genloss.Turn["Linear"]):
            @cached_property
            def mu(self) -> "OnlyForTheTypeChecker":
                return self.x

        with pytest.raises(DefinitionError) as caught:
            Broken.quantities()
        assert caught.value.message == (
            "an annotation of quantity `mu` of `Broken` cannot be read: "
            "name 'OnlyForTheTypeChecker' is not defined"
        )
        assert caught.value.hint == "import the name outside of `if TYPE_CHECKING`"


class TestDefinition:
    def test_says_what_the_class_says(self):
        definition = ModelDefinition(Linear)
        assert (definition.name, definition.kind, definition.summary) == ("linear", "model", "A linear map.")
        assert definition.options["bias"] == Option("bias", bool, True)
        assert list(definition.options) == ["bias", "kind", "hidden"]
        assert definition.options["hidden"].required

    def test_builds_instances_from_validated_options(self):
        definition = ModelDefinition(Linear)
        model = definition.build(SPEC, **definition.validated({"hidden": [3, 4], "bias": False}))
        assert isinstance(model, Linear)
        assert model.data is SPEC
        assert model.hidden == (3, 4)
        assert model.network.bias is None

    def test_builds_without_memory(self):
        with torch.device("meta"):
            model = ModelDefinition(Linear).build(SPEC, hidden=())
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}

    def test_the_name_is_the_classes_own_unless_it_says_otherwise(self):
        class NormalizingFlow(genloss.Model):
            name = "flow"

        class DeepFlow(NormalizingFlow):
            pass

        assert ModelDefinition(NormalizingFlow).name == "flow"
        assert ModelDefinition(DeepFlow).name == "deep_flow"

    def test_a_class_without_docstring_does_not_speak_for_its_base(self):
        class Bare(genloss.Model):
            pass

        assert ModelDefinition(Bare).doc == ""
        assert ModelDefinition(Bare).options == {}

    @pytest.mark.parametrize("item", [nn.Linear, Linear(SPEC, hidden=()), "linear"])
    def test_is_made_of_a_model_class_only(self, item):
        with pytest.raises(DefinitionError, match=r"is not a subclass of `genloss\.Model`"):
            ModelDefinition(item)

    @pytest.mark.parametrize("name", ["my model", "a/b", ""])
    def test_has_a_name_that_yaml_and_folders_can_bear(self, name):
        class Broken(genloss.Model):
            pass

        Broken.name = name
        with pytest.raises(DefinitionError, match=f"^model `{name}` cannot bear that name\n"):
            ModelDefinition(Broken)

    def test_has_no_positional_options(self):
        class Broken(genloss.Model):
            def __init__(self, data: genloss.DataSpec, width: int = 3) -> None: ...

        with pytest.raises(DefinitionError) as caught:
            ModelDefinition(Broken)
        assert str(caught.value) == (
            "`width` of model `broken` is not a keyword-only parameter, so no YAML can set it\n"
            "hint: options stand after `*`"
        )

    def test_has_no_kwargs_and_no_option_called_name(self):
        class Swallowing(genloss.Model):
            def __init__(self, data: genloss.DataSpec, **options: int) -> None: ...

        class Named(genloss.Model):
            def __init__(self, data: genloss.DataSpec, *, name: str) -> None: ...

        with pytest.raises(DefinitionError, match="which would swallow misspelt options"):
            ModelDefinition(Swallowing)
        with pytest.raises(
            DefinitionError, match="has an option named `name`, a key with a meaning of its own"
        ):
            ModelDefinition(Named)


@pytest.mark.parametrize("method", ["turns", "players", "sample"])
def test_a_model_defines_what_every_model_has(method):
    class Bare(genloss.Model):
        pass

    with pytest.raises(DefinitionError, match=f"^model `bare` does not define `{method}`$"):
        getattr(Bare(SPEC), method)(*([3] if method == "sample" else []))
