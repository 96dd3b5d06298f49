from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import genloss
from genloss.errors import DefinitionError
from genloss_builtin.losses.diffusion import denoising_score_matching
from genloss_builtin.models.diffusion import SCHEDULES, Diffusion, DiffusionTurn
from genloss_builtin.models.time_networks import UNet, per_example

POINTS = genloss.DataSpec((2,), "points", 100)
DIGITS = genloss.DataSpec((1, 8, 8), "image", 100, value_range=(0.0, 1.0), vocabulary=17)
SHIFTED = genloss.DataSpec((3,), "points", 100, value_range=(2.0, 6.0))
TOKENS = genloss.DataSpec((12,), "tokens", 100, vocabulary=5)

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)
every_parameterization = pytest.mark.parametrize("parameterization", ["epsilon", "x0", "v"])
MEAN, DEVIATION = 1.5, 0.5


class Function(nn.Module):
    """A network that is a function, and remembers what it was given."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.calls: list[tuple[Tensor, Tensor]] = []
        self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.calls.append((x, t))
        return self.function(x, t)


def turn_of(model: Diffusion, x: Tensor) -> DiffusionTurn:
    torch.manual_seed(1)
    return DiffusionTurn(model, {"x": x})


@every_schedule
def test_a_schedule_preserves_variance_and_leads_from_data_to_noise(schedule: str) -> None:
    alpha, sigma = SCHEDULES[schedule](torch.linspace(0, 1, 1001, dtype=torch.float64))
    torch.testing.assert_close(alpha.square() + sigma.square(), torch.ones_like(alpha))
    log_snr = 2 * (alpha / sigma).log()
    assert (log_snr.diff() < 0).all()
    assert log_snr[0] == pytest.approx({"linear": 9.11, "cosine": 10}[schedule], abs=0.01)
    assert log_snr[-1] == pytest.approx({"linear": -10.05, "cosine": -10}[schedule], abs=0.01)


@every_schedule
def test_a_schedule_keeps_its_digits_in_float32(schedule: str) -> None:
    t = torch.linspace(0, 1, 1001)
    for single, double in zip(SCHEDULES[schedule](t), SCHEDULES[schedule](t.double()), strict=True):
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=0)


def test_the_linear_schedule_is_the_one_of_ddpm() -> None:
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    alpha, sigma = SCHEDULES["linear"](torch.linspace(0, 1, 1000, dtype=torch.float64))
    torch.testing.assert_close(alpha, (1 - beta).cumprod(0).sqrt(), rtol=0, atol=1e-3)
    assert float(sigma[0]) == pytest.approx(math.sqrt(1e-4), rel=0.06)


def test_the_cosine_schedule_is_nearly_the_one_of_its_paper() -> None:
    t = torch.linspace(0, 1, 1001, dtype=torch.float64)
    paper = ((t + 0.008) / 1.008 * math.pi / 2).cos() / math.cos(0.008 / 1.008 * math.pi / 2)
    torch.testing.assert_close(SCHEDULES["cosine"](t)[0], paper, rtol=0, atol=0.01)


def test_the_network_sees_the_noisy_data_and_its_time() -> None:
    model = Diffusion(SHIFTED)
    model.network = network = Function(lambda x, _: x)
    x = torch.tensor([[2.0, 4.0, 6.0], [6.0, 6.0, 3.0]])
    turn = turn_of(model, x)
    assert turn.prediction.shape == x.shape
    ((noisy, t),) = network.calls
    assert torch.equal(t, turn.t)
    scaled = torch.tensor([[-1.0, 0.0, 1.0], [1.0, 1.0, -0.5]])
    torch.testing.assert_close(noisy, turn.alpha[:, None] * scaled + turn.sigma[:, None] * turn.noise)
    torch.testing.assert_close(turn.snr, turn.alpha.square() / turn.sigma.square())


@every_parameterization
def test_what_is_predicted_leads_back_to_data_noise_and_score(parameterization: Any) -> None:
    model = Diffusion(SHIFTED, parameterization=parameterization).double()
    x = 2 + 4 * torch.rand(50, 3, dtype=torch.float64)
    turn = turn_of(model, x)
    turn.prediction = turn.target
    assert turn.parameterization == parameterization
    torch.testing.assert_close(turn.x_hat, x)
    torch.testing.assert_close(turn.score, -turn.noise / turn.sigma[:, None])


def test_targets_are_what_their_names_say() -> None:
    x = torch.randn(20, 2, dtype=torch.float64)
    for parameterization in ("epsilon", "x0", "v"):
        turn = turn_of(Diffusion(POINTS, parameterization=parameterization).double(), x)
        expected = {
            "epsilon": turn.noise,
            "x0": x,
            "v": turn.alpha[:, None] * turn.noise - turn.sigma[:, None] * x,
        }
        torch.testing.assert_close(turn.target, expected[parameterization])


def test_a_mistake_weighs_by_the_snr_what_it_is_a_mistake_of() -> None:
    """‖Δε‖² = SNR ‖Δx₀‖² and ‖Δv‖² = (SNR + 1) ‖Δx₀‖²."""
    x, mistake = torch.randn(2, 30, 2, dtype=torch.float64)
    for parameterization, factor in (("epsilon", 0), ("v", 1)):
        turn = turn_of(Diffusion(POINTS, parameterization=parameterization).double(), x)
        turn.prediction = turn.target + mistake
        of_x0 = (turn.x_hat - x).square().sum(1)
        torch.testing.assert_close(mistake.square().sum(1), (turn.snr + factor) * of_x0)


@every_parameterization
def test_a_target_tracks_no_gradient(parameterization: Any) -> None:
    turn = turn_of(Diffusion(POINTS, parameterization=parameterization), torch.randn(4, 2).requires_grad_())
    assert not turn.target.requires_grad
    assert turn.prediction.requires_grad


def test_times_are_uniform_and_each_example_has_its_own() -> None:
    t = turn_of(Diffusion(POINTS), torch.zeros(10_000, 2)).t.sort().values
    torch.testing.assert_close(t, torch.linspace(0, 1, 10_000), rtol=0, atol=0.02)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@every_schedule
def test_the_samplers_follow_the_process_of_a_single_point(sampler: Any, schedule: Any) -> None:
    """With x̂ always that point, x at the time t has the mean αx̂ and the deviation σ."""
    point = 0.8
    model = Diffusion(POINTS, sampler=sampler, schedule=schedule, parameterization="x0", sampling_steps=7)
    model.network = network = Function(lambda x, _: torch.full_like(x, point))
    torch.manual_seed(0)
    samples = model.sample(20_000)
    for x, t in network.calls:
        alpha, sigma = model.schedule(t[0])
        assert float(x.mean()) == pytest.approx(float(alpha * point), abs=0.03)
        assert float(x.std()) == pytest.approx(float(sigma), rel=0.02)
    assert torch.equal(samples, torch.full_like(samples, point))
    times = torch.stack([t[0] for _, t in network.calls])
    torch.testing.assert_close(times, torch.linspace(1, 0, 7, dtype=torch.float64))


def optimal(model: Diffusion, noisy: Tensor, t: Tensor) -> Tensor:
    """What the best network gives for data from N(MEAN, DEVIATION²)."""
    alpha, sigma = (per_example(values, noisy) for values in model.schedule(t))
    variance = (alpha * DEVIATION).square() + sigma.square()
    x0 = MEAN + alpha * DEVIATION**2 / variance * (noisy - alpha * MEAN)
    return model.target(x0, (noisy - alpha * x0) / sigma, alpha, sigma)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@every_schedule
def test_with_the_best_network_samples_have_the_datas_mean_and_variance(sampler: Any, schedule: Any) -> None:
    """In large steps DDPM's variance, which is right for a single point, is too small for any other data."""
    model = Diffusion(POINTS, sampler=sampler, schedule=schedule, sampling_steps=500)
    model.network = Function(lambda x, t: optimal(model, x, t))
    torch.manual_seed(0)
    samples = model.sample(20_000)
    assert float(samples.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(samples.std()) == pytest.approx(DEVIATION, rel=0.025)


@every_parameterization
def test_samples_are_the_same_however_the_best_network_says_what_it_knows(parameterization: Any) -> None:
    noise = torch.randn(5, 2, dtype=torch.float64)
    samples = []
    for name in ("epsilon", parameterization):
        model = Diffusion(POINTS, sampler="ddim", parameterization=name, sampling_steps=9)
        model.network = Function(lambda x, t, model=model: optimal(model, x, t))
        samples.append(model.denoise(noise))
    torch.testing.assert_close(*samples)


def test_more_steps_bring_ddim_nearer_to_the_exact_map() -> None:
    """Without noise, a Gaussian is carried to a Gaussian by a straight line."""
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None].expand(9, 2)
    errors = []
    for steps in (50, 100, 200):
        model = Diffusion(POINTS, sampler="ddim", sampling_steps=steps)
        model.network = Function(lambda x, t, model=model: optimal(model, x, t))
        errors.append(float((model.denoise(noise) - (MEAN + DEVIATION * noise)).abs().max()))
    assert errors[2] < errors[1] < errors[0] < 0.2
    assert errors[2] < 0.05


def test_ddim_draws_nothing_beyond_its_noise() -> None:
    noise = torch.randn(5, 2)
    ends = []
    for sampler in ("ddim", "ddpm"):
        torch.manual_seed(0)
        model = Diffusion(POINTS, sampler=sampler, sampling_steps=4)
        with torch.no_grad():
            ends.append([model.denoise(noise) for _ in range(2)])
    assert torch.equal(*ends[0])
    assert not torch.equal(*ends[1])


def test_estimates_out_of_range_are_clipped_in_sampling() -> None:
    model = Diffusion(SHIFTED, parameterization="x0", sampling_steps=3)
    model.network = network = Function(lambda x, _: torch.full_like(x, 100.0))
    assert torch.equal(model.sample(4), torch.full((4, 3), 6.0, dtype=torch.float64))
    assert max(float(x.abs().max()) for x, _ in network.calls) < 6


@pytest.mark.parametrize("options", [{}, {"network": "conv", "hidden": (8, 8, 8, 8)}], ids=str)
def test_the_time_changes_what_the_network_gives(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = Diffusion(DIGITS, **options)
    x = torch.randn(1, 1, 8, 8).expand(2, 1, 8, 8)
    early, late = model.predict(x, torch.tensor([0.3, 0.31]))
    assert not torch.allclose(early, late, rtol=0, atol=1e-4)
    torch.testing.assert_close(early, model.predict(x[:1], torch.tensor([0.3]))[0])


def test_a_u_net_sees_the_whole_image() -> None:
    torch.manual_seed(0)
    x = torch.zeros(1, 1, 9, 9, requires_grad=True)
    out = UNet(1, (8, 8, 8), nn.SiLU)(x, torch.tensor([0.5]))
    (gradient,) = torch.autograd.grad(out[0, 0, 0, 0], x)
    assert gradient.ne(0).all()


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
        Diffusion(data, **options)
    assert caught.value.hint


@pytest.mark.slow
def test_a_trained_model_reaches_the_floor_of_score_matching() -> None:
    """The noise's variance given the noisy data, α²s²/(α²s² + σ²) a dimension, in the mean over t."""
    torch.manual_seed(0)
    model = Diffusion(POINTS, hidden=(64, 64))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.995))

    def loss(model: Diffusion, count: int) -> Tensor:
        turn = DiffusionTurn(model, {"x": MEAN + DEVIATION * torch.randn(count, 2)})
        return denoising_score_matching(score=turn.score, noise=turn.noise, sigma=turn.sigma)

    for _ in range(3000):
        optimizer.zero_grad()
        loss(model, 256).mean().backward()
        optimizer.step()
        average.update_parameters(model)
    with torch.no_grad():
        values = loss(average.module, 400_000).double()
    alpha, sigma = model.schedule((torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000)
    signal = (alpha * DEVIATION).square()
    floor = 2 * float((signal / (signal + sigma.square())).mean())
    mean, error = float(values.mean()), float(values.std()) / math.sqrt(len(values))
    print(f"{mean / 2:.4f} ± {error / 2:.4f} a dimension, floor {floor / 2:.4f}")
    assert floor - 4 * error < mean < 1.03 * floor
