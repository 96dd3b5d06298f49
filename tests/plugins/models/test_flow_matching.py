from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import genloss
from genloss.errors import DefinitionError
from genloss_builtin.losses.diffusion import flow_matching
from genloss_builtin.models.flow_matching import FlowMatching, FlowMatchingTurn, nearest_pairs

POINTS = genloss.DataSpec((2,), "points", 100)
DIGITS = genloss.DataSpec((1, 8, 8), "image", 100, value_range=(0.0, 1.0), vocabulary=17)
SHIFTED = genloss.DataSpec((3,), "points", 100, value_range=(2.0, 6.0))
TOKENS = genloss.DataSpec((12,), "tokens", 100, vocabulary=5)
SOURCE = genloss.DataSpec((2,), "points", 100, source=True)
SHIFTED_SOURCE = genloss.DataSpec((3,), "points", 100, value_range=(2.0, 6.0), source=True)

MEAN, DEVIATION = 1.5, 0.5
FLOOR = DEVIATION * math.pi / 2
"""The least loss a dimension: s² / ((1 − t)² + t²s²), the variance of x − x₀ given the point, integrated."""


class Optimal(nn.Module):
    """The velocity from N(0, 1) to N(MEAN, DEVIATION²) under independent coupling; remembers its input."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.calls: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.calls.append((x, t))
        t = t[:, None]
        variance = (1 - t).square() + (t * DEVIATION).square()
        return MEAN + (t * DEVIATION**2 - (1 - t)) / variance * (x - t * MEAN)


def with_optimal(**options: Any) -> FlowMatching:
    model = FlowMatching(POINTS, **options)
    model.network = Optimal()
    return model


def gaussian(count: int) -> Tensor:
    return MEAN + DEVIATION * torch.randn(count, 2, dtype=torch.float64)


def turn_of(model: FlowMatching, x: Tensor) -> FlowMatchingTurn:
    torch.manual_seed(1)
    return FlowMatchingTurn(model, {"x": x})


def loss(turn: FlowMatchingTurn) -> Tensor:
    return flow_matching(velocity=turn.velocity, velocity_target=turn.velocity_target)


def test_the_path_is_straight_from_noise_to_data() -> None:
    model = with_optimal()
    turn = turn_of(model, torch.randn(6, 2, dtype=torch.float64))
    assert turn.velocity.shape == (6, 2)
    assert isinstance(model.network, Optimal)
    ((point, t),) = model.network.calls
    assert torch.equal(t, turn.t)
    torch.testing.assert_close(point, (1 - t[:, None]) * turn.noise + t[:, None] * turn.x)
    torch.testing.assert_close(point + (1 - t[:, None]) * turn.velocity_target, turn.x)


def test_bounded_data_is_scaled_and_comes_back() -> None:
    x = torch.tensor([[2.0, 4.0, 6.0], [6.0, 6.0, 3.0]])
    turn = turn_of(FlowMatching(SHIFTED), x)
    scaled = torch.tensor([[-1.0, 0.0, 1.0], [1.0, 1.0, -0.5]])
    torch.testing.assert_close(turn.velocity_target, scaled - turn.noise)
    turn.velocity = turn.velocity_target
    torch.testing.assert_close(turn.x_hat, x)


def test_a_target_tracks_no_gradient() -> None:
    for coupling in ("independent", "optimal_transport"):
        turn = turn_of(FlowMatching(POINTS, coupling=coupling), torch.randn(4, 2))
        assert not turn.velocity_target.requires_grad
        assert turn.velocity.requires_grad


def test_times_are_uniform_and_each_example_has_its_own() -> None:
    t = turn_of(FlowMatching(POINTS), torch.zeros(10_000, 2)).t.sort().values
    torch.testing.assert_close(t, torch.linspace(0, 1, 10_000), rtol=0, atol=0.02)


def test_the_best_velocity_has_the_floor_as_its_loss() -> None:
    torch.manual_seed(0)
    values = loss(turn_of(with_optimal(), gaussian(100_000)))
    error = float(values.std()) / math.sqrt(len(values))
    assert float(values.mean()) == pytest.approx(2 * FLOOR, abs=4 * error)
    assert error < 0.01


@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("midpoint", 2)])
def test_the_flow_of_the_best_velocity_is_the_exact_map_but_for_the_samplers_error(
    sampler: str, order: int
) -> None:
    """x₀ goes to m + s x₀; half the step leaves ½ of Euler's error, and ¼ of the midpoint rule's or less."""
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None].expand(9, 2)
    errors = []
    for steps in (20, 40, 80):
        flowed = with_optimal(sampler=sampler, sampling_steps=steps).flow(noise)
        errors.append(float((flowed - (MEAN + DEVIATION * noise)).abs().max()))
    assert errors[0] < (0.1 if sampler == "euler" else 0.01)
    for coarse, fine in pairwise(errors):
        assert coarse / fine > 0.95 * 2**order


@pytest.mark.parametrize(("sampler", "evaluations"), [("euler", 5), ("midpoint", 10)])
def test_the_samplers_evaluate_the_velocity_as_often_as_they_say(sampler: str, evaluations: int) -> None:
    model = with_optimal(sampler=sampler, sampling_steps=5)
    assert model.sample(3).shape == (3, 2)
    assert isinstance(model.network, Optimal)
    times = [float(t[0]) for _, t in model.network.calls]
    assert times == pytest.approx([number / evaluations for number in range(evaluations)])


def test_samples_of_the_best_velocity_have_the_datas_mean_and_variance() -> None:
    torch.manual_seed(0)
    samples = with_optimal().sample(20_000)
    assert float(samples.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(samples.std()) == pytest.approx(DEVIATION, rel=0.02)


def test_optimal_transport_pairs_as_an_assignment_solver_does() -> None:
    torch.manual_seed(0)
    noise, x = torch.randn(2, 60, 1, 3, 2, dtype=torch.float64)
    paired = nearest_pairs(noise, x + 1)
    assert torch.equal(paired.flatten().sort().values, noise.flatten().sort().values)
    distances = (x[:, None] + 1 - noise).square().flatten(2).sum(2).numpy()
    rows, columns = linear_sum_assignment(distances)
    torch.testing.assert_close((x + 1 - paired).square().sum().item(), distances[rows, columns].sum())


def test_on_a_line_optimal_transport_keeps_the_order() -> None:
    torch.manual_seed(0)
    noise, x = torch.randn(40, 1), 3 * torch.randn(40, 1) - 7
    assert torch.equal(nearest_pairs(noise, x).argsort(0), x.argsort(0))


def test_optimal_transport_shortens_the_paths_and_keeps_the_noise() -> None:
    x = gaussian(200)
    independent, paired = (
        turn_of(FlowMatching(POINTS, coupling=coupling), x).velocity_target
        for coupling in ("independent", "optimal_transport")
    )
    torch.testing.assert_close(paired.mean(0), independent.mean(0))
    assert paired.var(0).sum() < 0.4 * independent.var(0).sum()  # 0.2 in the limit of large batches


def test_images_are_paired_whole() -> None:
    x = torch.rand(7, 1, 8, 8)
    independent, paired = (
        turn_of(FlowMatching(DIGITS, coupling=coupling), x).noise.flatten(1).tolist()
        for coupling in ("independent", "optimal_transport")
    )
    assert paired != independent
    assert sorted(paired) == sorted(independent)


def test_sigma_is_the_deviation_around_the_path_and_no_part_of_the_target() -> None:
    x = torch.randn(50_000, 2, dtype=torch.float64)
    model = with_optimal(sigma=0.3)
    turn = turn_of(model, x)
    assert turn.velocity.shape == x.shape
    assert isinstance(model.network, Optimal)
    ((point, t),) = model.network.calls
    around = point - torch.lerp(turn.noise, x, t[:, None])
    assert float(around.std()) == pytest.approx(0.3, rel=0.02)
    assert abs(float((around * turn.velocity_target).mean())) < 0.01
    torch.testing.assert_close(turn.velocity_target, x - turn.noise)


def test_without_sigma_no_more_is_drawn() -> None:
    turn = turn_of(with_optimal(), torch.zeros(4, 2, dtype=torch.float64))
    _ = turn.velocity
    after = torch.rand(3)
    torch.manual_seed(1)
    torch.rand(4, dtype=torch.float64)
    torch.randn(4, 2, dtype=torch.float64)
    assert torch.equal(torch.rand(3), after)


def source_turn(model: FlowMatching, x: Tensor, source: Tensor) -> FlowMatchingTurn:
    torch.manual_seed(1)
    return FlowMatchingTurn(model, {"x": x, "source": source})


def test_a_source_takes_the_place_of_noise_in_another_order() -> None:
    x, source = torch.randn(60, 2), 3 + torch.rand(60, 2)
    turn = source_turn(FlowMatching(SOURCE), x, source)
    assert not torch.equal(turn.noise, source)
    assert torch.equal(turn.noise.sort(0).values, source.sort(0).values)
    torch.testing.assert_close(turn.velocity_target, x - turn.noise)


def test_a_source_is_coupled_by_optimal_transport_whatever_its_order() -> None:
    x, source = torch.randn(60, 2), 3 + torch.rand(60, 2)
    model = FlowMatching(SOURCE, coupling="optimal_transport")
    turn = source_turn(model, x, source)
    assert torch.equal(turn.noise, nearest_pairs(source, x))
    assert torch.equal(source_turn(model, x, source.flip(0)).noise, turn.noise)


def test_samples_are_made_of_sources_in_the_datas_scale() -> None:
    model = FlowMatching(SHIFTED_SOURCE, sampling_steps=3)
    source = torch.tensor([[2.0, 4.0, 6.0], [6.0, 6.0, 3.0]])
    turn = source_turn(model, source, source)
    scaled = torch.tensor([[-1.0, 0.0, 1.0], [1.0, 1.0, -0.5]])
    torch.testing.assert_close(turn.noise.sort(0).values, scaled.sort(0).values)
    samples = model.sample_from(source)
    torch.testing.assert_close(samples, model.flow(scaled))
    assert not samples.requires_grad
    with pytest.raises(DefinitionError, match="starts from the data's sources") as caught:
        model.sample(2)
    assert "sample_from" in (caught.value.hint or "")


def test_a_plain_network_is_linear_layers_of_point_and_time() -> None:
    torch.manual_seed(0)
    model = FlowMatching(POINTS, network="plain_mlp", hidden=(7, 9), activation="selu")
    x, t = torch.randn(4, 2), torch.rand(4)
    first, second, last = (layer for layer in model.network.modules() if isinstance(layer, nn.Linear))
    hidden = nn.functional.selu(second(nn.functional.selu(first(torch.cat([x, t[:, None]], 1)))))
    torch.testing.assert_close(model.velocity(x, t), last(hidden))
    assert model.velocity(torch.randn(4, 2), t).shape == (4, 2)


@pytest.mark.parametrize("network", ["mlp", "plain_mlp", "conv"])
def test_the_activation_is_a_choice_and_silu_by_default(network: Any) -> None:
    x, t = torch.rand(3, 1, 8, 8), torch.rand(3)
    torch.manual_seed(0)
    default = FlowMatching(DIGITS, network=network, hidden=(8, 8))
    velocities = {}
    for activation in ("silu", "selu", "relu", "gelu", "tanh"):
        model = FlowMatching(DIGITS, network=network, hidden=(8, 8), activation=activation)
        model.load_state_dict(default.state_dict())
        velocities[activation] = model.velocity(x, t)
    assert torch.equal(velocities["silu"], default.velocity(x, t))
    assert len({float(velocity.detach().sum()) for velocity in velocities.values()}) == 5


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (TOKENS, {}, "this model is for continuous data, but the data is tokens"),
        (POINTS, {"network": "conv"}, "needs images"),
        (POINTS, {"hidden": ()}, "`hidden` is empty"),
    ],
)
def test_what_does_not_fit_is_refused(data: genloss.DataSpec, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        FlowMatching(data, **options)
    assert caught.value.hint


@pytest.mark.slow
def test_a_trained_model_reaches_the_floor() -> None:
    torch.manual_seed(0)
    model = FlowMatching(POINTS, hidden=(64, 64))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.995))
    for _ in range(3000):
        optimizer.zero_grad()
        loss(FlowMatchingTurn(model, {"x": gaussian(256).float()})).mean().backward()
        optimizer.step()
        average.update_parameters(model)
    with torch.no_grad():
        values = loss(FlowMatchingTurn(average.module, {"x": gaussian(400_000).float()})).double()
        samples = average.module.sample(20_000)
    mean, error = float(values.mean()), float(values.std()) / math.sqrt(len(values))
    print(f"{mean / 2:.4f} ± {error / 2:.4f} a dimension, floor {FLOOR:.4f}")
    assert 2 * FLOOR - 4 * error < mean < 1.03 * 2 * FLOOR
    assert float(samples.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(samples.std()) == pytest.approx(DEVIATION, rel=0.03)
