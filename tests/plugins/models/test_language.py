"""The language model: causality, what it offers, its likelihood and its samples."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

import genloss
from genloss.errors import DefinitionError
from genloss_builtin.datasets.markov import markov_text
from genloss_builtin.losses.categorical import categorical_nll, linear_categorical_nll
from genloss_builtin.models.language import Language, LanguageTurn

TOKENS = genloss.DataSpec((6,), "tokens", 100, vocabulary=5)
TINY = genloss.DataSpec((3,), "tokens", 100, vocabulary=3)


def model_of(data: genloss.DataSpec = TOKENS, **options: Any) -> Language:
    """A small model, its weights enlarged so that its predictions are far from uniform."""
    torch.manual_seed(0)
    model = Language(data, **{"width": 8, "layers": 2, "heads": 2, **options}).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(20 if parameter.dim() > 1 else 1).add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def batch_of(data: genloss.DataSpec = TOKENS, size: int = 7) -> Tensor:
    return torch.randint(data.vocabulary or 0, (size, *data.event_shape))


def turn_of(model: Language, x: Tensor) -> LanguageTurn:
    return LanguageTurn(model, {"x": x})


def test_logits_see_only_the_tokens_before_them() -> None:
    """Another token at t changes the logits after t, all of them, and none up to t."""
    model, x = model_of(), batch_of()
    logits = turn_of(model, x).logits
    for t in range(6):
        other = x.clone()
        other[:, t] = (other[:, t] + 1) % 5
        changed = (turn_of(model, other).logits != logits).any(2)
        assert not changed[:, : t + 1].any()
        assert changed[:, t + 1 :].all()


def test_gradients_reach_back_to_every_token_before_and_to_the_begin_of_text() -> None:
    """Attention reaches all that came before: the gradient by an embedding tells who saw it."""
    model = model_of(genloss.DataSpec((6,), "tokens", 100, vocabulary=6))
    x = torch.arange(6)[None]  # so that each token has an embedding of its own
    hidden = model.hidden(x)
    for t in range(6):
        by_token, by_begin = torch.autograd.grad(
            hidden[0, t, 0], [model.embedding.weight, model.begin], retain_graph=True
        )
        assert by_token.any(1).tolist() == [position < t for position in range(6)]
        assert by_begin.any()


def test_features_times_output_weight_are_the_logits() -> None:
    turn = turn_of(model_of(), batch_of())
    assert turn.output_weight.shape == (5, 8)
    torch.testing.assert_close(turn.hidden @ turn.output_weight.T, turn.logits)


def test_the_fused_loss_is_the_same_with_the_same_gradients() -> None:
    model, x = model_of(), batch_of()
    values, gradients = [], []
    for loss in (categorical_nll, linear_categorical_nll):
        turn = turn_of(model, x)
        values.append(loss(**{name: getattr(turn, name) for name in loss.quantities if name != "mask"}))
        gradients.append(torch.autograd.grad(values[-1].mean(), list(model.parameters())))
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_nothing_is_computed_that_is_not_asked_for() -> None:
    calls: list[str] = []
    model, x = model_of(), batch_of()
    model.norm.register_forward_hook(lambda *_: calls.append("hidden"))
    turn = turn_of(model, x)
    assert turn.targets is x
    assert not calls
    assert turn.hidden.shape == (7, 6, 8)
    assert "logits" not in vars(turn)
    assert turn.logits.shape == (7, 6, 5)
    assert calls == ["hidden"]


@pytest.mark.parametrize("options", [{}, {"layers": 1, "heads": 1}, {"layers": 3, "heads": 4}], ids=str)
def test_probabilities_sum_to_one(options: dict[str, Any]) -> None:
    model = model_of(TINY, **options)
    sequences = torch.tensor(list(itertools.product(range(3), repeat=3)))
    probabilities = model.log_likelihood(sequences).exp()
    torch.testing.assert_close(probabilities.sum(), torch.tensor(1.0, dtype=torch.float64))
    assert probabilities.max() > 2 / 27


def test_log_likelihood_is_minus_the_loss_and_tracks_no_gradient() -> None:
    model, x = model_of(), batch_of()
    log_p = model.log_likelihood(x)
    assert not log_p.requires_grad
    torch.testing.assert_close(-log_p, categorical_nll(logits=turn_of(model, x).logits, targets=x).detach())


def test_sampling_with_the_cache_is_sampling_without() -> None:
    """The same noise gives the same tokens when each is drawn from logits computed anew."""
    model = model_of(layers=3)
    torch.manual_seed(1)
    samples = model.sample(50)
    torch.manual_seed(1)
    plain = torch.zeros(50, 6, dtype=torch.long)
    for t in range(6):
        logits = turn_of(model, plain).logits[:, t].detach()
        plain[:, t] = torch.multinomial(logits.softmax(-1), 1)[:, 0]
    assert torch.equal(samples, plain)
    assert len(samples.unique(dim=0)) > 10


def test_samples_come_as_often_as_the_likelihood_says() -> None:
    model = model_of(TINY)
    torch.manual_seed(2)
    count = 20_000
    number = (model.sample(count) * torch.tensor([9, 3, 1])).sum(1)
    sequences = torch.tensor(list(itertools.product(range(3), repeat=3)))
    expected = model.log_likelihood(sequences).exp()
    found = number.bincount(minlength=27) / count
    error = (expected * (1 - expected) / count).sqrt()
    assert ((found - expected).abs() < 4.5 * error + 1 / count).all()


def test_temperature_divides_the_logits_of_samples_alone() -> None:
    sharp, plain = model_of(temperature=1e-4), model_of()
    torch.manual_seed(3)
    samples = sharp.sample(20)
    assert len(samples.unique(dim=0)) == 1  # the likeliest token each time
    best = turn_of(plain, samples).logits.argmax(-1)
    assert torch.equal(best, samples)
    torch.testing.assert_close(sharp.log_likelihood(samples), plain.log_likelihood(samples))


def test_an_untrained_model_knows_nothing() -> None:
    """Small initial weights: about ln V a token."""
    torch.manual_seed(0)
    model = Language(genloss.DataSpec((32,), "tokens", 100, vocabulary=100))
    nll = -model.log_likelihood(torch.randint(100, (20, 32))).mean() / 32
    assert nll.item() == pytest.approx(math.log(100), rel=0.02)


def test_dropout_is_in_training_alone() -> None:
    model, x = model_of(dropout=0.5), batch_of()
    torch.testing.assert_close(model.hidden(x), model_of().hidden(x))
    model.train()
    assert (model.hidden(x) != model.hidden(x)).any()
    without = model_of().train()
    assert torch.equal(without.hidden(x), without.hidden(x))


def test_parts_have_the_sizes_that_the_options_say() -> None:
    model = Language(TOKENS, width=12, layers=3, heads=6)
    assert len(model.blocks) == 3
    assert model.output.weight.shape == (5, 12)
    assert model.positions.weight.shape == (6, 12)
    assert model.blocks[0].attention.heads == 6  # type: ignore[union-attr]


def test_it_learns_two_sequences_by_heart() -> None:
    torch.manual_seed(0)
    x = torch.tensor([[0, 1, 2, 3, 4, 0], [4, 3, 2, 1, 0, 4]]).repeat(8, 1)
    model = Language(TOKENS, width=16, layers=1, heads=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(100):
        turn = turn_of(model, x)
        optimizer.zero_grad()
        categorical_nll(logits=turn.logits, targets=turn.targets).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.testing.assert_close(model.log_likelihood(x).mean(), torch.tensor(-math.log(2)), rtol=0, atol=0.1)
    assert set(map(tuple, model.sample(20).tolist())) <= {(0, 1, 2, 3, 4, 0), (4, 3, 2, 1, 0, 4)}


@pytest.mark.parametrize(
    ("data", "options", "message", "hint"),
    [
        (
            genloss.DataSpec((1, 8, 8), "image", 10, vocabulary=17),
            {},
            "this data is image",
            "`autoregressive`",
        ),
        (genloss.DataSpec((2,), "points", 10), {}, "this data is points", "`autoregressive`"),
        (genloss.DataSpec((4,), "tokens", 10), {}, "tokens without a `vocabulary`", "`autoregressive`"),
        (TOKENS, {"width": 10, "heads": 4}, "`width` is 10, which is not divisible by 4 heads", "such as 12"),
    ],
)
def test_what_does_not_fit_is_refused(
    data: genloss.DataSpec, options: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        Language(data, **options)
    assert hint in (caught.value.hint or "")


@pytest.mark.slow
def test_it_comes_within_two_percent_of_the_entropy_rate_of_a_markov_source() -> None:
    """Held-out, per token, from both sides: above, it would not have learned; below, something leaks."""
    data = markov_text(letters=4, order=2, length=128, size=10_000, held_out=2_500)
    x, held_out = data.train["x"], data.held_out["x"]  # type: ignore[index]
    torch.manual_seed(0)
    model = Language(data.spec, width=32, layers=1, heads=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1000)
    for _ in range(1000):
        turn = turn_of(model, x[torch.randint(len(x), (32,))])
        optimizer.zero_grad()
        categorical_nll(logits=turn.logits, targets=turn.targets).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    nll = -torch.cat([model.log_likelihood(part) for part in held_out.split(500)]).mean().item()
    rate = data.truth["entropy_rate"]
    exact = -data.truth["log_density"](held_out).mean().item()
    print(f"{nll / 128:.4f} nats a token; entropy rate {rate:.4f}, exact on these windows {exact / 128:.4f}")
    assert nll / 128 == pytest.approx(rate, rel=0.02)
    # The windows' exact likelihood, without the luck of the draw and the first letters' lack of context.
    assert exact < nll < 1.01 * exact
    # What it writes is the source's text: as likely under it as the source's own.
    torch.manual_seed(1)
    samples = model.sample(2000)
    assert -data.truth["log_density"](samples).mean().item() == pytest.approx(exact, rel=0.02)
