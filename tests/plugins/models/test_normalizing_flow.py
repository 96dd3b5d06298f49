from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import genloss
from genloss.errors import DefinitionError
from genloss_builtin.losses.likelihood import normalizing_flow_nll
from genloss_builtin.models.normalizing_flow import MARGIN, MAX_LOG_SCALE, NormalizingFlow

POINTS = genloss.DataSpec((3,), "points", 100)
BOUNDED = genloss.DataSpec((3,), "points", 100, value_range=(-2.0, 5.0))
GREY = genloss.DataSpec((1, 4, 3), "image", 100, value_range=(0.0, 1.0))
DIGITS = genloss.DataSpec((1, 4, 3), "image", 100, value_range=(0.0, 1.0), vocabulary=17)
LEVELS = genloss.DataSpec((2,), "image", 100, value_range=(-1.0, 1.0), vocabulary=5)
CONTINUOUS = pytest.mark.parametrize("data", [POINTS, BOUNDED, GREY], ids=lambda data: str(data.event_shape))


def flow(data: genloss.DataSpec, **options: Any) -> NormalizingFlow:
    torch.manual_seed(0)
    model = NormalizingFlow(data, **{"couplings": 4, "hidden": (9,), **options}).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)  # far from the identity
    return model


def examples(data: genloss.DataSpec, count: int = 5) -> Tensor:
    low, high = data.value_range or (-3.0, 3.0)
    return low + (high - low) * torch.rand(count, *data.event_shape, dtype=torch.float64)


@CONTINUOUS
def test_it_is_invertible(data: genloss.DataSpec) -> None:
    model = flow(data)
    x = examples(data)
    z, _ = model.normalize(x)
    assert (z - x.flatten(1)).abs().max() > 0.5
    torch.testing.assert_close(model.generate(z), x, rtol=0, atol=1e-10)
    z = torch.randn(5, math.prod(data.event_shape), dtype=torch.float64)
    torch.testing.assert_close(model.normalize(model.generate(z))[0], z, rtol=0, atol=1e-10)


@CONTINUOUS
def test_logdet_is_that_of_the_jacobian(data: genloss.DataSpec) -> None:
    model = flow(data)
    x = examples(data)
    turn = model.turns()["network"](model, {"x": x})
    size = x[0].numel()
    for index in range(len(x)):
        jacobian = torch.autograd.functional.jacobian(
            lambda row: model.normalize(row)[0], x[index : index + 1]
        )
        expected = torch.linalg.slogdet(jacobian.reshape(size, size)).logabsdet
        torch.testing.assert_close(turn.logdet[index], expected)


def test_every_element_is_changed_and_depends_on_the_others() -> None:
    model = flow(GREY, couplings=2)
    x = examples(GREY, 1)
    jacobian = torch.autograd.functional.jacobian(lambda row: model.normalize(row)[0], x).reshape(12, 12)
    kept = model.masks[0].bool()
    # What the first layer keeps is changed by the second, which sees what the first has made of all.
    assert (jacobian[kept] != 0).all()
    assert kept.view(4, 3).tolist() == [[(i + j) % 2 == 0 for j in range(3)] for i in range(4)]


@pytest.mark.parametrize("value_range", [None, (-2.0, 5.0)], ids=["points", "bounded"])
def test_the_density_integrates_to_one(value_range: tuple[float, float] | None) -> None:
    model = flow(genloss.DataSpec((2,), "points", 100, value_range=value_range), couplings=2)
    low, high = -30.0, 30.0
    if value_range is not None:
        # The margin before the logit reaches as far as this beyond the range.
        margin = MARGIN / (1 - 2 * MARGIN) * (value_range[1] - value_range[0])
        low, high = value_range[0] - margin, value_range[1] + margin
    cells = 1000
    line = low + (high - low) * (torch.arange(cells, dtype=torch.float64) + 0.5) / cells
    density = model.log_likelihood(torch.cartesian_prod(line, line)).exp()
    mass = density.sum() * ((high - low) / cells) ** 2
    torch.testing.assert_close(mass, torch.ones_like(mass), rtol=0, atol=1e-3)


def test_the_likelihood_is_the_one_that_the_loss_trains() -> None:
    for data in (POINTS, GREY):
        model = flow(data)
        x = examples(data)
        turn = model.turns()["network"](model, {"x": x})
        nll = normalizing_flow_nll(z=turn.z, logdet=turn.logdet)
        torch.testing.assert_close(model.log_likelihood(x), -nll)


def test_an_affine_flow_has_the_density_of_a_gaussian() -> None:
    model = flow(genloss.DataSpec((2,), "points", 100), couplings=2, hidden=())
    with torch.no_grad():
        for network in model.networks:
            network[0].weight.zero_()
        # z = x · exp(s) + t, with the tanh that bounds s undone.
        first, second = (MAX_LOG_SCALE * math.atanh(s / MAX_LOG_SCALE) for s in (0.5, -1.0))
        model.networks[0][0].bias.copy_(torch.tensor([0.0, first, 0.0, 2.0]))
        model.networks[1][0].bias.copy_(torch.tensor([second, 0.0, -1.0, 0.0]))
    x = torch.randn(7, 2, dtype=torch.float64)
    deviation = torch.tensor([1.0, -0.5], dtype=torch.float64).exp()
    mean = torch.tensor([1.0, -2.0], dtype=torch.float64) * deviation
    expected = torch.distributions.Normal(mean, deviation).log_prob(x).sum(1)
    torch.testing.assert_close(model.log_likelihood(x), expected)


def test_log_scales_are_bounded() -> None:
    model = flow(POINTS, couplings=3, hidden=())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e6)
    _, logdet = model.normalize(torch.randn(20, 3, dtype=torch.float64))
    assert logdet.abs().max() <= MAX_LOG_SCALE * (1 + 2 + 1) + 1e-9
    assert logdet.abs().max() > MAX_LOG_SCALE


def test_discrete_values_are_dequantised_with_noise_that_reaches_to_their_neighbours() -> None:
    model = flow(LEVELS, couplings=1)
    x = torch.tensor([[-1.0, 0.5]], dtype=torch.float64).repeat(4000, 1)
    torch.manual_seed(1)
    spread = model.generate(model.normalize(x)[0]) - x
    assert spread.abs().max() <= 0.25 + 1e-9
    assert spread.abs().max() > 0.249
    torch.testing.assert_close(spread.mean(0), torch.zeros(2).double(), rtol=0, atol=0.01)
    torch.testing.assert_close(spread.var(0), torch.full((2,), 0.5**2 / 12).double(), rtol=0.05, atol=0)
    turn = model.turns()["network"](model, {"x": x})
    assert turn.z.unique(dim=0).shape == x.shape
    assert torch.equal(turn.z, turn.z)


def test_the_likelihood_of_discrete_values_bounds_their_probability() -> None:
    """Jensen: the mean over the noise is at most the logarithm of the mean, which is the cell's mass."""
    model = flow(LEVELS)
    torch.manual_seed(0)
    level = torch.tensor([[0.0, -0.5]], dtype=torch.float64)
    values = model.log_likelihood(level.repeat(20_000, 1)) + 2 * math.log(model.spacing)
    log_probability = values.logsumexp(0) - math.log(len(values))
    assert values.mean() < log_probability < 0
    torch.manual_seed(0)
    share = (model.sample(200_000) == level).all(1).double().mean()
    error = math.sqrt(share / 200_000) + float(values.exp().std()) / math.sqrt(20_000)
    assert abs(share - log_probability.exp()) < 4 * error


@pytest.mark.parametrize("data", [DIGITS, LEVELS], ids=["digits", "levels"])
def test_samples_of_discrete_data_are_its_values(data: genloss.DataSpec) -> None:
    low, high = data.value_range or (0.0, 1.0)
    index = (flow(data).sample(50) - low) / (high - low) * ((data.vocabulary or 2) - 1)
    torch.testing.assert_close(index, index.round(), rtol=0, atol=1e-9)
    assert len(index.round().unique()) > 2


def test_training_reaches_the_entropy_of_a_gaussian() -> None:
    """The floor of the loss: an affine flow can be the data's density exactly."""
    torch.manual_seed(0)
    mean, root = torch.tensor([1.0, -2.0]), torch.tensor([[1.5, 0.0], [0.8, 0.5]])
    model = NormalizingFlow(genloss.DataSpec((2,), "points", 1000), couplings=4, hidden=(16,))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(300):
        x = mean + torch.randn(256, 2) @ root.T
        turn = model.turns()["network"](model, {"x": x})
        optimizer.zero_grad()
        torch.autograd.backward(normalizing_flow_nll(z=turn.z, logdet=turn.logdet).mean())
        optimizer.step()
    exact = torch.distributions.MultivariateNormal(mean, scale_tril=root)
    x = exact.sample((20_000,))
    gap = exact.log_prob(x) - model.log_likelihood(x)
    # The mean of the gap is KL(p‖model) ≥ 0.
    assert -4 * gap.std() / math.sqrt(len(gap)) < gap.mean() < 0.02


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        (genloss.DataSpec((5,), "tokens", 10, vocabulary=3), "the data is tokens", "`autoregressive`"),
        (genloss.DataSpec((1,), "points", 10), "at least two elements", "`vae`"),
    ],
)
def test_data_that_does_not_fit_is_refused(data: genloss.DataSpec, message: str, hint: str) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        NormalizingFlow(data)
    assert hint in (caught.value.hint or "")
