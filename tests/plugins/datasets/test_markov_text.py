"""The Markov source: its stationary distribution, its entropy, and the windows drawn from it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from genloss.errors import RequestError
from genloss_builtin.datasets.markov import MarkovSource, markov_text
from genloss_builtin.metrics.likelihood import negative_log_likelihood

TWO_STATES = MarkovSource(torch.tensor([[0.9, 0.1], [0.4, 0.6]], dtype=torch.float64))


def source_of(data) -> MarkovSource:
    return data.truth["log_density"].__self__


def sources(letters: int, order: int) -> MarkovSource:
    generator = torch.Generator().manual_seed(letters + order)
    logits = torch.randn(letters**order, letters, generator=generator, dtype=torch.float64)
    return MarkovSource((2 * logits).softmax(1))


def binary_entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def test_two_states_in_closed_form():
    """π = (b, a) / (a + b) for the transitions a = 0.1 from the first state and b = 0.4 from the second."""
    torch.testing.assert_close(TWO_STATES.stationary, torch.tensor([0.8, 0.2], dtype=torch.float64))
    rate = 0.8 * binary_entropy(0.1) + 0.2 * binary_entropy(0.4)
    assert TWO_STATES.entropy_rate == pytest.approx(rate, rel=1e-12)
    assert TWO_STATES.entropy(5) == pytest.approx(binary_entropy(0.8) + 4 * rate, rel=1e-12)


@pytest.mark.parametrize(("letters", "order"), [(2, 1), (2, 3), (3, 2), (4, 1)])
def test_entropy_is_that_of_all_windows(letters, order):
    """Σ p = 1 and −Σ p log p over every possible window, by enumeration."""
    source = sources(letters, order)
    assert source.order == order
    for length in (order, order + 1, 5):
        windows = torch.tensor(list(itertools.product(range(letters), repeat=length)))
        log_p = source.log_density(windows).double()
        assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-6)
        assert -(log_p.exp() * log_p).sum().item() == pytest.approx(source.entropy(length), abs=1e-5)


@pytest.mark.parametrize(("letters", "order"), [(2, 1), (3, 2)])
def test_density_is_stationary(letters, order):
    """A window's last tokens are distributed as its first."""
    source = sources(letters, order)
    windows = torch.tensor(list(itertools.product(range(letters), repeat=order + 2)))
    shorter = torch.tensor(list(itertools.product(range(letters), repeat=order)))
    p = source.log_density(windows).exp()
    for part in (windows[:, :order], windows[:, -order:]):
        matches = (part[:, None] == shorter).all(2)
        torch.testing.assert_close((p[:, None] * matches).sum(0), source.log_density(shorter).exp())


def test_windows_come_as_often_as_the_density_says():
    source = sources(2, 2)
    drawn = source.draw(50_000, 4, torch.Generator().manual_seed(0))
    number = (drawn * torch.tensor([8, 4, 2, 1])).sum(1)
    found = number.bincount(minlength=16) / len(drawn)
    windows = torch.tensor(list(itertools.product(range(2), repeat=4)))
    expected = source.log_density(windows).exp()
    error = (expected * (1 - expected) / len(drawn)).sqrt()
    assert ((found - expected).abs() < 4.5 * error).all()


def test_uniform_source_has_the_entropy_of_its_alphabet():
    data = markov_text(letters=8, scale=0.0, size=2, held_out=2)
    assert data.truth["entropy_rate"] == pytest.approx(math.log(8), rel=1e-12)
    assert source_of(data).entropy(64) == pytest.approx(64 * math.log(8), rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_the_widest_scale_leaves_all_windows_possible(seed):
    """The linear system stays well posed: π is positive, and a transition does not change it."""
    source = source_of(markov_text(letters=2, order=8, scale=3.0, length=9, size=2, held_out=2, seed=seed))
    pi = source.stationary
    moved = torch.zeros_like(pi).index_add_(
        0, torch.arange(512) % 256, (pi[:, None] * source.transitions).flatten()
    )
    assert pi.min() > 0
    torch.testing.assert_close(moved, pi, rtol=1e-5, atol=0)
    assert 0 < source.entropy_rate < math.log(2)


def test_held_out_likelihood_of_the_truth_is_the_entropy():
    data = markov_text()
    length = data.spec.event_shape[0]
    log_p = data.truth["log_density"](data.held_out["x"])
    numbers = negative_log_likelihood(data.truth["log_density"], data.held_out["x"])
    expected = source_of(data).entropy(length)
    assert numbers["nll"] == pytest.approx(expected, abs=4 * log_p.std().item() / math.sqrt(2_500))
    assert numbers["bits_per_dimension"] == pytest.approx(numbers["nll"] / (length * math.log(2)))


def test_spec_and_truth():
    data = markov_text(letters=3, order=1, length=10, size=50, held_out=20)
    assert (data.spec.event_shape, data.spec.kind, data.spec.size) == ((10,), "tokens", 50)
    assert (data.spec.vocabulary, data.spec.alphabet) == (3, ("a", "b", "c"))
    assert data.train["x"].dtype == torch.int64
    assert data.train["x"].unique().tolist() == [0, 1, 2]
    assert data.held_out["x"].shape == (20, 10)
    assert data.truth.keys() == {"entropy_rate", "log_density"}


def test_the_seed_decides_and_held_out_windows_stay_when_the_training_set_grows():
    small, large = markov_text(size=10, held_out=30), markov_text(size=20, held_out=30)
    assert torch.equal(small.held_out["x"], large.held_out["x"])
    assert markov_text(size=10, held_out=30).digest == small.digest
    other = markov_text(size=10, held_out=30, seed=1)
    assert other.digest != small.digest
    assert other.truth["entropy_rate"] != small.truth["entropy_rate"]


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"letters": 26, "order": 3}, "26 letters have 17,576 contexts of 3; at most 4,096", "fewer"),
        ({"order": 4, "length": 4}, "a window of 4 letters is not longer than a context of 4", "larger"),
    ],
)
def test_sources_that_cannot_be(options, message, hint):
    with pytest.raises(RequestError, match=message) as raised:
        markov_text(**options)
    assert hint in raised.value.hint
