"""The order of very many examples, of which none is held."""

from __future__ import annotations

import pytest
import torch

from genloss.training import batches
from genloss.training.batches import Order
from genloss.training.permutation import Permutation

CPU = torch.device("cpu")


def permutation(size: int, seed: int = 0) -> Permutation:
    return Permutation(size, torch.Generator().manual_seed(seed), CPU)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 17, 1000, 65_537])
def test_each_number_comes_once(size: int) -> None:
    made = permutation(size)
    halves = [made[slice(0, size // 2)], made[slice(size // 2, size)]]
    assert torch.equal(torch.cat(halves).sort().values, torch.arange(size))


def test_it_looks_like_one_drawn_at_random() -> None:
    """As many fixed points and steps upwards as a random one has, and no correlation with the place."""
    size, seen = 10_007, [permutation(10_007, seed)[slice(0, 10_007)] for seed in range(40)]
    place = torch.arange(size)
    fixed = torch.tensor([(found == place).sum().item() for found in seen]).double()
    assert 0.4 < fixed.mean() < 1.8  # one is expected, ± 0.16
    rising = torch.stack([(found.diff() > 0).double().mean() for found in seen])
    assert (rising - 0.5).abs().max() < 5 * (1 / (12 * size)) ** 0.5
    correlation = torch.stack([torch.corrcoef(torch.stack([found, place]).double())[0, 1] for found in seen])
    assert correlation.abs().max() < 5 / size**0.5
    assert len({tuple(found[:4].tolist()) for found in seen}) == len(seen)


def test_an_order_of_more_than_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "HELD", 10)
    order, again = Order(23, 5, seed=3), Order(23, 5, seed=3)
    epochs = [torch.cat([next(order) for _ in range(4)]) for _ in range(3)]
    assert all(len(epoch.unique()) == 20 and epoch.max() < 23 for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1])
    for _ in range(6):
        next(again)
    resumed = Order(23, 5, seed=9)
    resumed.load_state_dict(again.state_dict())
    assert torch.equal(torch.cat([next(resumed) for _ in range(2)]), epochs[1][10:])
