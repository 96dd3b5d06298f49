"""A small model that passes the suite, and the same with one mistake, which the check of that name finds."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from functools import cached_property
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from annotated_types import Gt
from jaxtyping import Float, Int
from torch import Tensor, nn

import genloss
from genloss.conformance.models import checks_of_model
from genloss.conformance.suite import outcomes
from genloss.contracts.model import ModelDefinition
from genloss.errors import DefinitionError, GenlossError
from genloss.training import optimizers


class ToyTurn(genloss.Turn["Toy"]):
    @cached_property
    def z(self) -> Float[Tensor, "batch latent"]:
        """The generator's noise."""
        return torch.randn(len(self.x), self.model.latent_dim, device=self.x.device, dtype=self.x.dtype)

    @cached_property
    def fake(self) -> Float[Tensor, "batch *event"]:
        """Generated examples."""
        return self.model.generate(self.z)

    @cached_property
    def fake_logits(self) -> Float[Tensor, "batch"]:
        """Logits of the generated examples."""
        return self.model.judge(self.fake)

    @cached_property
    def real_logits(self) -> Float[Tensor, "batch"]:
        """Logits of the data."""
        return self.model.judge(self.x)


class JudgeTurn(ToyTurn):
    @cached_property
    def fake(self) -> Float[Tensor, "batch *event"]:
        """Generated examples, detached."""
        return self.model.generate(self.z).detach()


class MakerTurn(ToyTurn):
    @cached_property
    def real_logits(self) -> Float[Tensor, "batch"]:
        """Logits of the data, detached."""
        return self.model.judge(self.x).detach()


class Toy(genloss.Model):
    """A generator and a discriminator.

    Options:
        latent_dim: of the noise (4).
        activation: "tanh" or "relu" ("tanh").

    Source:
        Goodfellow et al. 2014.
    """

    kinds = ("points",)
    judge_turn: type[genloss.Turn[Any]] = JudgeTurn
    maker_turn: type[genloss.Turn[Any]] = MakerTurn

    def __init__(
        self,
        data: genloss.DataSpec,
        *,
        latent_dim: Annotated[int, Gt(0)] = 4,
        activation: Literal["tanh", "relu"] = "tanh",
    ) -> None:
        super().__init__(data)
        if data.kind not in self.kinds:
            raise DefinitionError(f"this model is for {self.kinds[0]}, and the data is {data.kind}")
        self.latent_dim = latent_dim
        size = math.prod(data.event_shape)
        layer = nn.Tanh() if activation == "tanh" else nn.ReLU()
        self.maker = nn.Sequential(nn.Linear(latent_dim, 8), layer, nn.Linear(8, size))
        self.critic = nn.Sequential(nn.Linear(size, 8), nn.Tanh(), nn.Linear(8, 1))

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"discriminator": self.judge_turn, "generator": self.maker_turn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"discriminator": self.critic, "generator": self.maker}

    def generate(self, z: Tensor) -> Tensor:
        x = self.maker(z).unflatten(1, self.data.event_shape)
        return x if self.data.value_range is None else x.sigmoid()

    def judge(self, x: Tensor) -> Tensor:
        return self.critic(x.flatten(1)).squeeze(1)

    def noise(self, count: int) -> Tensor:
        weight = self.maker[0].weight
        return torch.randn(count, self.latent_dim, device=weight.device, dtype=weight.dtype)

    def sample(self, count: int) -> Tensor:
        with torch.no_grad():
            return self.generate(self.noise(count))

    def log_likelihood(self, x: Tensor) -> Tensor:
        return -x.square().flatten(1).sum(1)

    def reconstruct(self, x: Tensor) -> Tensor:
        return x / 2


def failures(model: type[genloss.Model]) -> dict[str, GenlossError]:
    """The checks that fail, with what they say."""
    found = outcomes(checks_of_model(ModelDefinition(model)))
    return {outcome.check.name: outcome.error for outcome in found if outcome.error is not None}


def caught(model: type[genloss.Model], check: str) -> str:
    """What that check, and no other, says of the model."""
    found = failures(model)
    assert list(found) == [check], {name: str(error) for name, error in found.items()}
    return str(found[check])


@pytest.mark.parametrize("kind", ["points", "image"])
def test_without_a_mistake_it_passes(kind: str) -> None:
    class Right(Toy):
        __doc__ = Toy.__doc__
        kinds = (kind,)

    assert not failures(Right)


def mistaken(**parts: Any) -> type[Toy]:
    """The toy with some attributes replaced."""
    return type("Mistaken", (Toy,), {"__doc__": Toy.__doc__, **parts})


def with_quantity(
    function: Any, *, bases: tuple[type[ToyTurn], type[ToyTurn]] = (JudgeTurn, MakerTurn), **parts: Any
) -> type[Toy]:
    """The toy with one quantity more, or another one, in both turns."""
    turns = []
    for base in bases:
        quantity = cached_property(function)
        turn = type(base.__name__, (base,), {function.__name__: quantity})
        quantity.__set_name__(turn, function.__name__)
        turns.append(turn)
    return mistaken(judge_turn=turns[0], maker_turn=turns[1], **parts)


class TestTheClass:
    def test_an_option_that_is_not_explained(self) -> None:
        doc = Toy.__doc__.replace("        latent_dim: of the noise (4).\n", "")
        assert "does not explain its option `latent_dim`" in caught(mistaken(__doc__=doc), "docstring")

    def test_a_default_that_is_no_value_of_its_option(self) -> None:
        class Mistaken(Toy):
            __doc__ = Toy.__doc__

            def __init__(
                self,
                data: genloss.DataSpec,
                *,
                latent_dim: Annotated[int, Gt(4)] = 4,
                activation: Literal["tanh", "relu"] = "tanh",
            ) -> None:
                super().__init__(data, latent_dim=latent_dim, activation=activation)

        assert "is none of its values: expected int > 4, got 4" in caught(Mistaken, "defaults")

    def test_data_that_breaks_it_where_it_should_be_refused(self) -> None:
        said = caught(mistaken(kinds=("points", "tokens")), "data")
        assert "model `mistaken` for tokens [6]: quantity `fake` of `discriminator` raises NotImpl" in said
        assert "by a DefinitionError in its constructor" in said

    def test_an_option_without_default_and_example(self) -> None:
        class Mistaken(Toy):
            """A toy.

            Options:
                width: of the noise.

            Source:
                This file.
            """

            def __init__(self, data: genloss.DataSpec, *, width: int) -> None:
                super().__init__(data, latent_dim=width)

        assert "`width` of model `mistaken` has no default" in caught(Mistaken, "data")
        Mistaken.example_options = ({"width": 3},)
        assert not failures(Mistaken)

    def test_no_data_that_it_accepts(self) -> None:
        assert "none of the suite's data" in caught(mistaken(kinds=("sounds",)), "data")

    def test_labels_that_data_does_not_have(self) -> None:
        def classes(self: ToyTurn) -> Int[Tensor, "batch"]:
            """Labels."""
            return self.batch["label"]

        said = caught(with_quantity(classes), "data")
        assert "for points [3]: quantity `classes` of `discriminator` raises KeyError: 'label'" in said

    def test_data_of_one_shape_alone(self) -> None:
        def init(self: Toy, data: genloss.DataSpec, *, latent_dim: int = 4, activation: str = "tanh") -> None:
            Toy.__init__(self, data, latent_dim=latent_dim, activation=activation)
            if data.event_shape != (7,):
                raise DefinitionError("this model is for points [7]")

        assert "says by `example_data` for which" in caught(mistaken(__init__=init), "data")
        spec = genloss.DataSpec((7,), "points", size=100)
        assert not failures(mistaken(__init__=init, example_data=(spec,)))

    def test_a_constructor_that_reads_a_value(self) -> None:
        def init(self: Toy, data: genloss.DataSpec, *, latent_dim: int = 4, activation: str = "tanh") -> None:
            Toy.__init__(self, data, latent_dim=latent_dim, activation=activation)
            self.scale = float(self.maker[0].weight.detach().abs().max())

        assert "on the meta device raises" in caught(mistaken(__init__=init), "meta_device")


class TestPlayers:
    def test_other_names_than_the_turns(self) -> None:
        def players(self: Toy) -> Mapping[str, nn.Module]:
            return {"critic": self.critic, "generator": self.maker}

        assert "`players` has `critic`, `generator`" in caught(mistaken(players=players), "players")

    def test_a_parameter_that_two_train(self) -> None:
        def players(self: Toy) -> Mapping[str, nn.Module]:
            return {"discriminator": self.critic, "generator": self}

        said = caught(mistaken(players=players), "disjoint_parameters")
        assert "both `discriminator` and `generator` train `critic.0.weight`" in said

    def test_a_parameter_that_nobody_trains(self) -> None:
        def players(self: Toy) -> Mapping[str, nn.Module]:
            return {"discriminator": self.critic, "generator": self.maker[2]}

        assert "no player trains `maker.0.weight`" in caught(mistaken(players=players), "complete_parameters")


class TestQuantities:
    def test_no_docstring(self) -> None:
        def margin(self: ToyTurn) -> Float[Tensor, "batch"]:
            return self.fake_logits - self.real_logits

        said = caught(with_quantity(margin), "documented_quantities")
        assert "quantity `margin` of `discriminator` has no docstring" in said

    def test_no_shape(self) -> None:
        def margin(self: ToyTurn) -> Tensor:
            """A difference."""
            return self.fake_logits - self.real_logits

        assert "without a shape" in caught(with_quantity(margin), "documented_quantities")

    def test_another_shape_than_it_says(self) -> None:
        def margin(self: ToyTurn) -> Float[Tensor, "batch"]:
            """A difference, of each with each."""
            return self.fake_logits - self.real_logits[:, None]

        said = caught(with_quantity(margin), "shapes")
        assert "as a floating-point tensor of shape [batch], and came as float32 [5, 5]" in said

    def test_one_name_for_two_sizes(self) -> None:
        def code(self: ToyTurn) -> Float[Tensor, "batch latent"]:
            """Twice as long as z."""
            return torch.cat([self.z, self.z], 1)

        assert "quantity `z` of `discriminator` is annotated" in caught(with_quantity(code), "shapes")

    def test_a_batch_of_one_that_loses_its_dimension(self) -> None:
        def judge(self: Toy, x: Tensor) -> Tensor:
            return self.critic(x.flatten(1)).squeeze()

        said = caught(mistaken(judge=judge), "shapes")
        assert "came as float32 []" in said

    def test_a_shape_that_depends_on_what_else_is_needed(self) -> None:
        def margin(self: ToyTurn) -> Float[Tensor, "batch *pairs"]:
            """A difference."""
            margin = self.fake_logits - self.real_logits
            return margin if "z" in self.needs else margin[:, None]

        assert "where nothing else is needed" in caught(with_quantity(margin), "computed_alone")

    def test_another_meaning_of_a_name_of_the_glossary(self) -> None:
        def logdet(self: ToyTurn) -> Float[Tensor, "batch *event"]:
            """For each element, not yet summed."""
            return self.fake

        said = caught(with_quantity(logdet), "glossary")
        assert "by that name losses expect the shape [5]" in said

    def test_a_value_that_is_not_finite(self) -> None:
        def margin(self: ToyTurn) -> Float[Tensor, "batch"]:
            """A logarithm of 0."""
            return (self.real_logits * 0).log()

        assert "`margin` of `discriminator` is not finite" in caught(
            with_quantity(margin), "finite_quantities"
        )


class TestGradients:
    def test_a_detach_too_many(self) -> None:
        class Detached(MakerTurn):
            @cached_property
            def fake(self) -> Float[Tensor, "batch *event"]:
                """Generated examples, detached by mistake."""
                return self.model.generate(self.z).detach()

            @cached_property
            def fake_logits(self) -> Float[Tensor, "batch"]:
                """Logits of them."""
                return self.model.judge(self.fake).detach()

        said = caught(mistaken(maker_turn=Detached), "trained_parameters")
        assert "no quantity of `generator` depends on its parameter `maker.0.weight`" in said

    def test_fakes_that_are_not_detached(self) -> None:
        said = caught(mistaken(judge_turn=ToyTurn), "own_gradients")
        assert "`fake` of `discriminator` passes gradients to `generator`, and none to `disc" in said

    def test_fakes_that_are_not_detached_and_not_offered(self) -> None:
        class Hiding(genloss.Turn[Toy]):
            @cached_property
            def fake_logits(self) -> Float[Tensor, "batch"]:
                """Logits of generated examples, which nobody detached."""
                return self.model.judge(self.model.generate(self.model.noise(len(self.x))))

        said = caught(mistaken(judge_turn=Hiding, maker_turn=Hiding), "own_gradients")
        assert "to `generator` in the turn of `discriminator`, and to `discriminator` in the turn" in said

    def test_judging_data_in_the_turn_of_who_cannot_move_it(self) -> None:
        said = caught(mistaken(maker_turn=ToyTurn), "own_gradients")
        assert "`real_logits` of `generator` passes gradients to `discriminator`" in said


class TestUpdates:
    def test_two_parameters_of_one_memory(self) -> None:
        class Mistaken(Toy):
            __doc__ = Toy.__doc__

            def __init__(self, data: genloss.DataSpec) -> None:
                super().__init__(data)
                self.critic[0].bias = nn.Parameter(self.critic[0].weight.data[:, 0])

        said = str(failures(Mistaken)["updates"])
        assert "an update of `discriminator` does not move `critic.0.weight` by its gradient" in said

    def test_gradients_that_lie_otherwise_than_their_parameters(self) -> None:
        class Right(Toy):
            __doc__ = Toy.__doc__

            def judge(self, x: Tensor) -> Tensor:
                first, act, last = self.critic
                features = act(torch.einsum("bi,oi->bo", x.flatten(1), first.weight) + first.bias)
                return (features * last.weight.sum()).sum(1) + last.bias.sum()

        assert not failures(Right)

    def test_a_trainer_that_does_not_heed_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def assign(parameters: Any, gradients: Any) -> None:
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient.t().contiguous().t() if gradient.ndim == 2 else gradient

        monkeypatch.setattr(optimizers, "assign", assign)
        assert "does not move `critic.0.weight`" in caught(mistaken(), "updates")


def input_gradient(self: ToyTurn) -> Float[Tensor, "batch *event"]:
    """Gradient of the logits by the data."""
    x = self.x.detach().requires_grad_()
    with torch.enable_grad():
        logits = self.model.judge(x)
    return torch.autograd.grad(logits.sum(), x, create_graph=True)[0]


input_gradient.__name__ = "real_gradient"


class TestGradientsByExamples:
    def test_batch_normalization(self) -> None:
        def init(self: Toy, data: genloss.DataSpec, *, latent_dim: int = 4, activation: str = "tanh") -> None:
            Toy.__init__(self, data, latent_dim=latent_dim, activation=activation)
            self.critic = nn.Sequential(self.critic[0], nn.BatchNorm1d(8), *self.critic[1:])

        model = with_quantity(input_gradient, bases=(JudgeTurn, MakerTurn), __init__=init)
        said = str(failures(model)["independent_gradients"])
        assert "quantity `real_gradient` of `discriminator` is not each example's own" in said
        assert "use layer, instance or group normalization" in said

    def test_none(self) -> None:
        assert "independent_gradients" not in failures(with_quantity(input_gradient))


class TestPurity:
    def test_a_batch_that_is_changed_in_place(self) -> None:
        def classes(self: ToyTurn) -> Int[Tensor, "batch"]:
            """Labels from 1."""
            return self.batch["label"].add_(1)

        def init(self: Toy, data: genloss.DataSpec, *, latent_dim: int = 4, activation: str = "tanh") -> None:
            Toy.__init__(self, data, latent_dim=latent_dim, activation=activation)
            if data.classes is None:
                raise DefinitionError("this model needs labels")

        said = caught(with_quantity(classes, __init__=init), "batch_unchanged")
        assert "a turn changes the batch's `label` in place" in said

    def test_a_buffer_that_changes_in_evaluation(self) -> None:
        def init(self: Toy, data: genloss.DataSpec, *, latent_dim: int = 4, activation: str = "tanh") -> None:
            Toy.__init__(self, data, latent_dim=latent_dim, activation=activation)
            self.register_buffer("mean", torch.zeros(()))

        def judge(self: Toy, x: Tensor) -> Tensor:
            logits = Toy.judge(self, x)
            self.mean.lerp_(logits.detach().mean(), 0.1)
            return logits

        said = caught(mistaken(__init__=init, judge=judge), "weights_unchanged")
        assert "a turn in evaluation mode changes `mean`" in said

    def test_noise_that_no_seed_decides(self) -> None:
        def z(self: ToyTurn) -> Float[Tensor, "batch latent"]:
            """Noise."""
            noise = np.random.default_rng().normal(size=(len(self.x), self.model.latent_dim))
            return torch.from_numpy(noise).to(self.x)

        said = caught(with_quantity(z), "seed")
        assert "`discriminator` is offered two values of `fake`, `fake_logits`, `z`" in said

    def test_noise_of_numpys_global_generator(self) -> None:
        def z(self: ToyTurn) -> Float[Tensor, "batch latent"]:
            """Noise."""
            return torch.from_numpy(np.random.randn(len(self.x), self.model.latent_dim)).to(self.x)

        assert "draws from NumPy's global generator" in caught(with_quantity(z), "random_state")

    def test_a_seed_within_a_turn(self) -> None:
        def z(self: ToyTurn) -> Float[Tensor, "batch latent"]:
            """Noise."""
            torch.manual_seed(0)
            return torch.randn(len(self.x), self.model.latent_dim).to(self.x)

        assert "it seeds torch's generator" in caught(with_quantity(z), "random_state")

    def test_a_value_read_from_the_device(self) -> None:
        def scale(self: ToyTurn) -> float:
            """Size of the data."""
            return self.x.abs().max().item()

        assert "`scale` of `discriminator` reads a value" in caught(with_quantity(scale), "host_reads")

    def test_an_array_of_numpy(self) -> None:
        def order(self: ToyTurn) -> Int[Tensor, "batch"]:
            """Which example has the greatest logit, and so on."""
            return torch.from_numpy(np.argsort(self.real_logits.detach().cpu().numpy())).to(self.x.device)

        assert "`order` of `discriminator` reads a value" in caught(with_quantity(order), "host_reads")

    def test_a_branch_by_a_value(self) -> None:
        def margin(self: ToyTurn) -> Float[Tensor, "batch"]:
            """A difference."""
            margin = self.fake_logits - self.real_logits
            return margin if margin.isfinite().all() else torch.zeros_like(margin)

        assert "`margin` of `discriminator` reads a value" in caught(with_quantity(margin), "host_reads")

    def test_noise_on_the_cpu(self) -> None:
        def z(self: ToyTurn) -> Float[Tensor, "batch latent"]:
            """Noise."""
            return torch.randn(len(self.x), self.model.latent_dim, dtype=self.x.dtype)

        said = caught(with_quantity(z), "device")
        assert "quantity `z` of `discriminator` is on another device than the model" in said

    def test_a_constant_on_the_cpu(self) -> None:
        def margin(self: ToyTurn) -> Float[Tensor, "batch"]:
            """A weighted difference."""
            return self.fake_logits * torch.arange(len(self.x)) - self.real_logits

        said = caught(with_quantity(margin), "device")
        assert "quantity `margin` of `discriminator` cannot be computed on another device" in said

    def test_a_network_whose_values_stay_in_bfloat16(self) -> None:
        class Critic(nn.Sequential):
            def forward(self, x: Tensor) -> SimpleNamespace:
                return SimpleNamespace(logits=super().forward(x))

        def init(self: Toy, data: genloss.DataSpec, *, latent_dim: int = 4, activation: str = "tanh") -> None:
            Toy.__init__(self, data, latent_dim=latent_dim, activation=activation)
            self.critic = Critic(*self.critic)

        def judge(self: Toy, x: Tensor) -> Tensor:
            return self.critic(x.flatten(1)).logits.squeeze(1)

        said = caught(mistaken(__init__=init, judge=judge), "bfloat16")
        assert "is bfloat16 [5] with its networks in bfloat16" in said

    def test_noise_in_float32(self) -> None:
        def scale(self: ToyTurn) -> Float[Tensor, "batch"]:
            """Noise."""
            return torch.randn(len(self.x), device=self.x.device)

        assert "is float32 [5] in a model of float64" in caught(with_quantity(scale), "float64")


class TestSamples:
    def test_gradients(self) -> None:
        def sample(self: Toy, count: int) -> Tensor:
            return self.generate(self.noise(count))

        assert "samples require gradients" in caught(mistaken(sample=sample), "sample_shape")

    def test_a_single_sample_without_its_dimension(self) -> None:
        def sample(self: Toy, count: int) -> Tensor:
            return Toy.sample(self, count).squeeze(0)

        assert "`sample(1)` must give the shape [1, 2]" in caught(mistaken(sample=sample), "sample_shape")

    def test_values_out_of_range(self) -> None:
        def sample(self: Toy, count: int) -> Tensor:
            return 2 * Toy.sample(self, count) - 1

        said = caught(mistaken(sample=sample, kinds=("image",)), "sample_values")
        assert "samples must lie in [0, 1], got values from -0." in said

    def test_a_generator_of_its_own(self) -> None:
        def noise(self: Toy, count: int) -> Tensor:
            fixed = torch.randn(count, self.latent_dim, generator=torch.Generator().manual_seed(0))
            return fixed.to(self.maker[0].weight)

        assert "different seeds give the same samples" in caught(mistaken(noise=noise), "sample_seed")

    def test_one_noise_for_all(self) -> None:
        def sample(self: Toy, count: int) -> Tensor:
            return Toy.sample(self, 1).repeat_interleave(count, 0)

        assert "all samples are the same" in caught(mistaken(sample=sample), "sample_seed")

    def test_noise_on_the_cpu(self) -> None:
        def sample(self: Toy, count: int) -> Tensor:
            return torch.randn(count, *self.data.event_shape, dtype=self.maker[0].weight.dtype)

        assert "samples are on cpu" in caught(mistaken(sample=sample), "sample_device")

    def test_noise_in_float32(self) -> None:
        def sample(self: Toy, count: int) -> Tensor:
            return Toy.sample(self, count).float()

        assert "samples are float32 in a model of float64" in caught(
            mistaken(sample=sample), "sample_float64"
        )

    def test_a_sampler_may_read_what_it_has_drawn(self) -> None:
        def sample(self: Toy, count: int) -> Tensor:
            samples = Toy.sample(self, count)
            while not samples.isfinite().all():
                samples = Toy.sample(self, count)
            return samples

        assert not failures(mistaken(sample=sample))

    def test_another_mode_afterwards(self) -> None:
        def sample(self: Toy, count: int) -> Tensor:
            self.eval()
            return Toy.sample(self, count)

        assert "in another mode than before" in caught(mistaken(sample=sample), "sample_traceless")

    def test_what_is_not_saved(self) -> None:
        def init(self: Toy, data: genloss.DataSpec, *, latent_dim: int = 4, activation: str = "tanh") -> None:
            Toy.__init__(self, data, latent_dim=latent_dim, activation=activation)
            self.register_buffer("shift", torch.randn(()), persistent=False)

        def generate(self: Toy, z: Tensor) -> Tensor:
            return Toy.generate(self, z) + self.shift

        said = caught(mistaken(__init__=init, generate=generate), "saved_state")
        assert "an instance that loaded the saved weights gives other samples" in said

    def test_what_cannot_be_copied(self) -> None:
        def generate(self: Toy, z: Tensor) -> Tensor:
            self.last = Toy.generate(self, z)
            return self.last

        said = caught(mistaken(generate=generate), "copied")
        assert "a deep copy after a turn raises RuntimeError" in said

    def test_a_copy_that_trains_the_original(self) -> None:
        def init(self: Toy, data: genloss.DataSpec, *, latent_dim: int = 4, activation: str = "tanh") -> None:
            Toy.__init__(self, data, latent_dim=latent_dim, activation=activation)
            trained = {"discriminator": self.critic, "generator": self.maker}
            self.players = lambda: trained

        assert "still train the original's parameters" in caught(mistaken(__init__=init), "copied")

    def test_a_likelihood_of_the_whole_batch(self) -> None:
        def log_likelihood(self: Toy, x: Tensor) -> Tensor:
            return -x.square().sum()

        said = caught(mistaken(log_likelihood=log_likelihood), "log_likelihood")
        assert "must give the shape [5], got float32 []" in said

    def test_a_reconstruction_of_another_shape(self) -> None:
        def reconstruct(self: Toy, x: Tensor) -> Tensor:
            return x.flatten(1)

        said = caught(mistaken(reconstruct=reconstruct, kinds=("image",)), "reconstruct")
        assert "must give float32 [5, 1, 8, 8], got float32 [5, 64]" in said


def test_an_exemption_is_for_what_fails() -> None:
    exempt = {"own_gradients": "a toy"}
    assert not failures(mistaken(judge_turn=ToyTurn, exempt=exempt))
    assert "is declared exempt from `own_gradients`, and passes it" in caught(
        mistaken(exempt=copy.copy(exempt)), "own_gradients"
    )


def test_an_exemption_may_be_for_one_value_of_an_option() -> None:
    name = "own_gradients[activation=relu]"
    assert failures(mistaken(judge_turn=ToyTurn, exempt={name: "a toy"})).keys() == {"own_gradients"}
    assert "and passes it" in caught(mistaken(exempt={name: "a toy"}), name)
