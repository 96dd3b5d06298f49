from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

import genloss
from genloss.errors import DefinitionError
from genloss_builtin.losses.categorical import categorical_nll
from genloss_builtin.models.autoregressive import Autoregressive, AutoregressiveTurn


def image(*shape: int, vocabulary: int, value_range: tuple[float, float] = (0.0, 1.0)) -> genloss.DataSpec:
    return genloss.DataSpec(shape, "image", 100, value_range=value_range, vocabulary=vocabulary)


DIGITS = image(1, 8, 8, vocabulary=17)
TOKENS = genloss.DataSpec((4,), "tokens", 100, vocabulary=3)
SMALL = [
    pytest.param(image(1, 2, 2, vocabulary=3), {"network": "mlp", "hidden": (8, 8)}, id="mlp"),
    pytest.param(image(1, 2, 2, vocabulary=3), {"network": "conv", "hidden": (8, 8)}, id="conv"),
    pytest.param(image(3, 1, 2, vocabulary=2), {"network": "mlp", "hidden": (9,)}, id="mlp-colour"),
    pytest.param(image(3, 1, 2, vocabulary=2), {"network": "conv", "hidden": (9,)}, id="conv-colour"),
    pytest.param(TOKENS, {"hidden": (8,)}, id="tokens"),
]


def model_of(data: genloss.DataSpec, options: dict[str, Any]) -> Autoregressive:
    """A small model, its weights enlarged so that its predictions are far from uniform."""
    torch.manual_seed(0)
    model = Autoregressive(data, **options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    return model


def all_sequences(model: Autoregressive) -> Tensor:
    return torch.tensor(list(itertools.product(range(model.vocabulary), repeat=model.tokens)))


@pytest.mark.parametrize(("data", "options"), SMALL)
def test_probabilities_sum_to_one(data: genloss.DataSpec, options: dict[str, Any]) -> None:
    model = model_of(data, options)
    probabilities = model.log_likelihood(model.to_data(all_sequences(model))).exp()
    torch.testing.assert_close(probabilities.sum(), torch.tensor(1.0, dtype=torch.float64))
    assert probabilities.max() > 2 / len(probabilities)


@pytest.mark.parametrize(("data", "options"), SMALL)
def test_samples_come_as_often_as_the_likelihood_says(
    data: genloss.DataSpec, options: dict[str, Any]
) -> None:
    model = model_of(data, options)
    sequences = all_sequences(model)
    expected = model.log_likelihood(model.to_data(sequences)).exp()
    drawn = model.to_tokens(model.sample(20_000))
    place_values = model.vocabulary ** torch.arange(model.tokens - 1, -1, -1)
    frequencies = (drawn * place_values).sum(1).bincount(minlength=len(sequences)) / len(drawn)
    # Five standard errors of a frequency.
    assert ((frequencies - expected).abs() < 5 * (expected * (1 - expected) / len(drawn)).sqrt() + 1e-4).all()


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("data", [DIGITS, image(3, 4, 4, vocabulary=4)], ids=["grey", "colour"])
def test_a_change_at_t_changes_no_logits_up_to_t(data: genloss.DataSpec, network: Any) -> None:
    torch.manual_seed(0)
    model = Autoregressive(data, network=network, hidden=(64, 64))
    tokens = torch.randint(model.vocabulary, (1, model.tokens))
    changed = tokens.repeat(model.tokens, 1)
    changed.diagonal().add_(1).remainder_(model.vocabulary)
    logits = AutoregressiveTurn(model, {"x": model.to_data(tokens)}).logits
    others = AutoregressiveTurn(model, {"x": model.to_data(changed)}).logits
    # moved[t, s]: whether a change at t moves the logits at s, beyond the rounding of another batch size.
    moved = ((others - logits).abs() > 1e-6).any(-1)
    assert not moved.tril().any()
    assert moved.triu(1).any(1)[:-1].all()


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_the_gradient_of_the_logits_at_t_is_zero_from_t_on(network: Any) -> None:
    torch.manual_seed(0)
    model = Autoregressive(DIGITS, network=network, hidden=(64, 64))
    inputs = model.inputs(torch.randint(17, (1, 64))).requires_grad_()
    logits = model.logits(inputs)[0]
    for t in range(64):
        (gradient,) = torch.autograd.grad(logits[t].square().sum(), inputs, retain_graph=True)
        assert not gradient.flatten()[t:].any()
        assert t % 8 == 0 or gradient.flatten()[t - 1] != 0


def test_the_first_logits_depend_on_nothing() -> None:
    model = model_of(TOKENS, {})
    logits = model.predict(all_sequences(model))
    assert torch.equal(logits[:, 0], logits[:1, 0].expand(81, 3))


def test_colours_of_a_pixel_follow_one_another() -> None:
    x = torch.tensor([[[[0.0, 0.5]], [[1.0, 0.0]]]])
    model = Autoregressive(image(2, 1, 2, vocabulary=3))
    assert model.to_tokens(x).tolist() == [[0, 2, 1, 0]]
    assert torch.equal(model.to_data(model.to_tokens(x)), x)


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_levels_are_spaced_evenly_over_the_range(value_range: tuple[float, float]) -> None:
    data = image(1, 16, 16, vocabulary=256, value_range=value_range)
    model = Autoregressive(data, hidden=(4,))
    x = torch.linspace(*value_range, 256).view(1, 1, 16, 16)
    assert model.to_tokens(x).tolist() == [list(range(256))]
    torch.testing.assert_close(model.to_data(torch.arange(256).view(1, 256)), x)


def test_tokens_stay_as_they_are() -> None:
    model = Autoregressive(TOKENS)
    x = torch.tensor([[0, 2, 1, 1]])
    assert torch.equal(model.to_tokens(x), x)
    assert torch.equal(model.to_data(x), x)
    assert model.sample(3).dtype == torch.long


def test_the_likelihood_is_the_one_that_the_loss_trains() -> None:
    torch.manual_seed(0)
    model = Autoregressive(DIGITS)
    turn = AutoregressiveTurn(model, {"x": model.sample(4)})
    nll = categorical_nll(logits=turn.logits, targets=turn.targets)
    torch.testing.assert_close(model.log_likelihood(turn.x), -nll)


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_without_weights_all_values_are_equally_likely(network: Any) -> None:
    model = Autoregressive(DIGITS, network=network, hidden=(4,))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    torch.testing.assert_close(
        model.log_likelihood(torch.rand(2, 1, 8, 8)), torch.full((2,), -64 * math.log(17))
    )


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_two_equally_likely_images_are_learned_down_to_their_entropy(network: Any) -> None:
    torch.manual_seed(0)
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2
    x = torch.stack([board, 1 - board]).unsqueeze(1).float()
    model = Autoregressive(image(1, 8, 8, vocabulary=2), network=network, hidden=(16,))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        turn = AutoregressiveTurn(model, {"x": x})
        nll = categorical_nll(logits=turn.logits, targets=turn.targets).mean()
        optimizer.zero_grad()
        nll.backward()
        optimizer.step()
    torch.testing.assert_close(model.log_likelihood(x).mean(), torch.tensor(-math.log(2)), rtol=0, atol=0.1)


@pytest.mark.parametrize(
    ("data", "options", "message", "hint"),
    [
        (genloss.DataSpec((2,), "points", 10), {}, "has no `vocabulary`", "`vae`"),
        (genloss.DataSpec((1, 8, 8), "image", 10, vocabulary=17), {}, "has no `value_range`", "`vae`"),
        (TOKENS, {"network": "conv"}, r"needs images .* tokens of shape \(4,\)", "mlp"),
    ],
)
def test_data_that_does_not_fit_is_refused(
    data: genloss.DataSpec, options: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        Autoregressive(data, **options)
    assert hint in (caught.value.hint or "")
