from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import genloss
from genloss_builtin.losses.gradient_penalty import gradient_penalty, r1, r2
from genloss_builtin.models.gan import GAN, DiscriminatorTurn, GeneratorTurn

POINTS = genloss.DataSpec((2,), "points", 100)
DIGITS = genloss.DataSpec((1, 8, 8), "image", 100, value_range=(0.0, 1.0), vocabulary=17)
GRADIENTS = ("real_gradient", "fake_gradient", "interpolated_gradient")


@pytest.fixture
def model() -> GAN:
    torch.manual_seed(0)
    return GAN(POINTS, latent_dim=3, hidden=(16, 8)).double()


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(6, 2, dtype=torch.float64)


def gradients(value: Tensor, module: nn.Module) -> tuple[Tensor | None, ...]:
    return torch.autograd.grad(value.sum(), list(module.parameters()), retain_graph=True, allow_unused=True)


def test_the_discriminators_turn_gives_the_generator_no_gradient(model: GAN, x: Tensor) -> None:
    turn = DiscriminatorTurn(model, {"x": x}, frozenset(DiscriminatorTurn.quantities()))
    assert not turn.fake.requires_grad
    for name in ("real_logits", "fake_logits", *GRADIENTS):
        assert all(gradient is None for gradient in gradients(getattr(turn, name), model.generator))


def test_the_generators_turn_brings_gradients_through_the_discriminator(model: GAN, x: Tensor) -> None:
    turn = GeneratorTurn(model, {"x": x})
    assert all(
        gradient is not None and gradient.any() for gradient in gradients(turn.fake_logits, model.generator)
    )
    assert all(parameter.grad is None for parameter in model.parameters())


def test_in_the_generators_turn_the_data_is_judged_without_gradient(model: GAN, x: Tensor) -> None:
    turn = GeneratorTurn(model, {"x": x})
    assert not turn.real_logits.requires_grad
    assert not any(layer.requires_grad for layer in turn.real_features)
    assert torch.equal(turn.real_logits, model.judge(x)[0])
    assert set(GRADIENTS).isdisjoint(GeneratorTurn.quantities())


@pytest.mark.parametrize("kind", [DiscriminatorTurn, GeneratorTurn])
def test_noise_is_drawn_once_a_turn(model: GAN, x: Tensor, kind: type[Any]) -> None:
    turn, other = kind(model, {"x": x}), kind(model, {"x": x})
    assert torch.equal(turn.fake, model.generate(turn.z))
    assert torch.equal(turn.fake_logits, model.judge(turn.fake)[0])
    assert not torch.equal(turn.z, other.z)


def per_example_gradient(model: GAN, x: Tensor) -> Tensor:
    def logit(example: Tensor) -> Tensor:
        return model.judge(example.unsqueeze(0))[0].squeeze(0)

    return torch.stack([torch.autograd.functional.jacobian(logit, example) for example in x])


def test_input_gradients_are_those_of_each_example(model: GAN, x: Tensor) -> None:
    turn = DiscriminatorTurn(model, {"x": x}, frozenset(GRADIENTS))
    torch.testing.assert_close(turn.real_gradient, per_example_gradient(model, x))
    torch.testing.assert_close(turn.fake_gradient, per_example_gradient(model, turn.fake))
    assert not x.requires_grad


def test_the_penalties_of_a_linear_discriminator_are_known(x: Tensor) -> None:
    model = GAN(POINTS, hidden=()).double()
    turn = DiscriminatorTurn(model, {"x": x}, frozenset(GRADIENTS))
    slope = model.discriminator.layers[-1].weight.norm()
    half_square = (0.5 * slope.square()).expand(6)
    torch.testing.assert_close(r1(real_gradient=turn.real_gradient), half_square)
    torch.testing.assert_close(r2(fake_gradient=turn.fake_gradient), half_square)
    penalty = gradient_penalty(interpolated_gradient=turn.interpolated_gradient)
    torch.testing.assert_close(penalty, (slope - 1).square().expand(6))
    (gradient,) = torch.autograd.grad(penalty.mean(), model.discriminator.layers[-1].weight)
    expected = 2 * (slope - 1) * model.discriminator.layers[-1].weight / slope
    torch.testing.assert_close(gradient, expected)


def test_interpolation_has_one_epsilon_an_example() -> None:
    torch.manual_seed(0)
    model = GAN(DIGITS).double()
    turn = DiscriminatorTurn(model, {"x": torch.rand(50, 1, 8, 8, dtype=torch.float64)})
    judged: list[Tensor] = []
    model.discriminator.register_forward_pre_hook(lambda _, inputs: judged.append(inputs[0].detach()))
    assert turn.interpolated_gradient.shape == turn.real.shape
    (interpolated,) = judged
    epsilon = ((interpolated - turn.fake) / (turn.real - turn.fake)).flatten(1)
    torch.testing.assert_close(epsilon, epsilon[:, :1].expand_as(epsilon), rtol=0, atol=1e-6)
    assert epsilon.min() >= 0
    assert epsilon.max() <= 1
    assert epsilon[:, 0].std() > 0.1


def test_input_gradients_are_there_even_where_gradients_are_off(model: GAN, x: Tensor) -> None:
    with torch.no_grad():
        turn = DiscriminatorTurn(model, {"x": x}, frozenset(DiscriminatorTurn.quantities()))
        offered = {name: getattr(turn, name) for name in GRADIENTS}
    torch.testing.assert_close(offered["real_gradient"], per_example_gradient(model, x))
    assert all(gradient.any() for gradient in offered.values())


@pytest.mark.parametrize(
    ("kind", "needs", "generated", "judged"),
    [
        (DiscriminatorTurn, {"real_logits"}, [], [6]),
        (DiscriminatorTurn, {"fake_logits"}, [6], [6]),
        (DiscriminatorTurn, {"fake"}, [6], []),
        (DiscriminatorTurn, {"z", "real"}, [], []),
        (DiscriminatorTurn, {"real_logits", "fake_logits"}, [6], [12]),
        (DiscriminatorTurn, {"real_features", "fake_logits", "fake_features"}, [6], [12]),
        (DiscriminatorTurn, {"real_logits", "real_features"}, [], [6]),
        (DiscriminatorTurn, {"real_logits", "fake_logits", "real_gradient"}, [6], [6, 6]),
        (DiscriminatorTurn, {"real_logits", "fake_logits", "fake_gradient", "real_gradient"}, [6], [6, 6]),
        (DiscriminatorTurn, {"real_logits", "fake_logits", "interpolated_gradient"}, [6], [6, 12]),
        (GeneratorTurn, {"fake_logits"}, [6], [6]),
        (GeneratorTurn, {"fake_logits", "real_logits", "fake_features"}, [6], [6, 6]),
    ],
)
def test_networks_run_no_more_than_what_is_needed(
    model: GAN, x: Tensor, kind: type[Any], needs: set[str], generated: list[int], judged: list[int]
) -> None:
    batches: dict[str, list[int]] = {"generator": [], "discriminator": []}
    for player, module in model.players().items():
        module.register_forward_pre_hook(
            lambda _, inputs, player=player: batches[player].append(len(inputs[0]))
        )
    turn = kind(model, {"x": x}, frozenset(needs))
    for name in sorted(needs):
        assert getattr(turn, name) is not None
    assert batches["generator"] == generated
    assert sorted(batches["discriminator"]) == judged


def test_judging_in_one_pass_changes_nothing(model: GAN, x: Tensor) -> None:
    names = ["real_logits", "fake_logits", "real_features", "fake_features"]
    offered = []
    for needs in (frozenset(names), frozenset[str]()):
        torch.manual_seed(2)
        turn = DiscriminatorTurn(model, {"x": x}, needs)
        values = [getattr(turn, name) for name in names]
        offered.append([values, gradients((turn.real_logits - turn.fake_logits.exp()), model.discriminator)])
    torch.testing.assert_close(*offered)


@pytest.mark.parametrize(
    ("options", "shapes"),
    [
        ({"hidden": (16, 9)}, [(5, 16), (5, 9)]),
        ({"hidden": (4, 6), "network": "conv"}, [(5, 4, 4, 4), (5, 6, 2, 2)]),
        ({"hidden": ()}, []),
    ],
)
def test_the_features_are_the_hidden_layers(options: dict[str, Any], shapes: list[tuple[int, ...]]) -> None:
    model = GAN(DIGITS, **options)
    turn = GeneratorTurn(model, {"x": torch.rand(5, 1, 8, 8)})
    assert [layer.shape for layer in turn.fake_features] == shapes
    if shapes:
        last = model.discriminator.layers[-1](turn.fake_features[-1].flatten(1))
        torch.testing.assert_close(last.squeeze(1), turn.fake_logits)


def test_logits_are_unbounded(model: GAN) -> None:
    far = torch.tensor([[1e6, -1e6]], dtype=torch.float64)
    assert model.judge(far)[0].abs() > 1e3


def test_generated_points_are_unbounded_and_generated_images_bounded(model: GAN) -> None:
    z = 1e4 * torch.randn(50, 3, dtype=torch.float64)
    assert model.generate(z).abs().max() > 10
    images = GAN(DIGITS, latent_dim=3).double().generate(z)
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.std() > 0.1


@pytest.mark.parametrize("options", [{}, {"network": "conv", "hidden": (32, 64)}], ids=str)
def test_before_training_different_noise_gives_different_examples(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    samples = GAN(DIGITS, **options).sample(200)
    assert samples.std(0).mean() > 0.5 * samples.std()


def test_a_gan_finds_a_shifted_gaussian() -> None:
    torch.manual_seed(0)
    model = GAN(POINTS, latent_dim=2, hidden=(16,))
    turns, players = model.turns(), model.players()
    optimizers = {
        player: torch.optim.Adam(module.parameters(), lr=5e-3, betas=(0.5, 0.9))
        for player, module in players.items()
    }
    target = torch.tensor([3.0, -2.0])
    for _ in range(300):
        for player, kind in turns.items():
            needs = {"real_logits", "fake_logits"} if player == "discriminator" else {"fake_logits"}
            turn = kind(model, {"x": target + 0.5 * torch.randn(64, 2)}, frozenset(needs))
            softplus = nn.functional.softplus
            if player == "discriminator":
                loss = (softplus(-turn.real_logits) + softplus(turn.fake_logits)).mean()
            else:
                loss = softplus(-turn.fake_logits).mean()
            parameters = list(players[player].parameters())
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.grad = gradient
            optimizers[player].step()
    torch.testing.assert_close(model.sample(500).mean(0), target, rtol=0, atol=0.7)
