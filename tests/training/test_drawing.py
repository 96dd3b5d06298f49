"""What a data set draws for an example: the same for all objectives of a seed, and for a run that goes on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from genloss.training import seeds
from genloss.training.batches import Batches, gather, whole

CPU = torch.device("cpu")
SIZE = 10


class Flips(Dataset[dict[str, Tensor]]):
    """Each item with what it drew from each of the shared generators."""

    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        drawn = [torch.rand(()), torch.tensor(np.random.rand()), torch.tensor(random.random())]
        return {"x": torch.stack([torch.tensor(float(index)), *(value.float() for value in drawn)])}


class AtOnce(Flips):
    """The same for a whole batch."""

    def __getitems__(self, indices: list[int]) -> list[dict[str, Tensor]]:
        return [self[index] for index in indices]


@pytest.fixture(params=[Flips(), AtOnce(), Subset(Flips(), range(SIZE))], ids=["items", "batches", "subset"])
def data(request: pytest.FixtureRequest) -> Any:
    return request.param


def batches(data: Any, seed: int = 0) -> Batches:
    order = seeds.derive(seed, "order")
    return Batches(data, batch_size=4, seed=order, device=CPU, dtype=torch.float32)


def drawn(stream: Iterator[dict[str, Tensor]], count: int = 9) -> Tensor:
    """Some batches, several epochs long."""
    return torch.stack([next(stream)["x"] for _ in range(count)])


def noise() -> Tensor:
    """From all generators."""
    return torch.tensor([float(torch.rand(())), np.random.rand(), random.random()], dtype=torch.float64)


def test_objectives_of_a_seed_see_the_same_whatever_they_draw(data: Any) -> None:
    seeds.seed_all(1)
    quiet = drawn(batches(data))
    seeds.seed_all(2)
    stream, noisy = batches(data), []
    for _ in range(9):
        noisy.append(next(stream)["x"])
        noise()
    assert torch.equal(torch.stack(noisy), quiet)
    assert not torch.equal(drawn(batches(data, seed=1)), quiet)


def test_the_noise_does_not_shift(data: Any) -> None:
    seeds.seed_all(1)
    expected = noise()
    seeds.seed_all(1)
    stream = batches(data)
    drawn(stream)
    stream.first()
    list(whole(data, 3, device=CPU, dtype=torch.float32))
    assert torch.equal(noise(), expected)


@pytest.mark.parametrize("done", [1, 2, 3, 5])
def test_it_goes_on_with_the_same_bits(data: Any, done: int, tmp_path: Any) -> None:
    first = batches(data)
    drawn(first, done)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    expected = drawn(first)
    seeds.seed_all(5)
    again = batches(data, seed=3)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(drawn(again), expected)


def test_each_example_draws_otherwise_each_time() -> None:
    values = drawn(batches(Flips()), 20).reshape(-1, 4)
    assert len(set(values[:, 0].tolist())) == SIZE
    for generator in (1, 2, 3):
        assert len(set(values[:, generator].tolist())) == len(values) == 80


def test_examples_that_are_read_whole_are_the_same_each_time() -> None:
    """In an evaluation: two of them differ by the model alone."""
    seeds.seed_all(1)
    once = gather(Flips(), device=CPU, dtype=torch.float32)["x"]
    seeds.seed_all(2)
    parts = [batch["x"] for batch in whole(Flips(), 3, device=CPU, dtype=torch.float32)]
    assert torch.equal(torch.cat(parts), once)
    assert len(set(once[:, 1].tolist())) == SIZE
