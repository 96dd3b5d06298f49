"""One seed, several streams."""

import itertools
import random

import numpy as np
import pytest
import torch

from genloss.training.seeds import derive, forked, restore, seed_all, state

STREAMS = ("weights", "order", "noise", "evaluation")
CPU = torch.device("cpu")


def test_streams_and_seeds_differ():
    derived = {(seed, stream): derive(seed, stream) for seed in range(50) for stream in STREAMS}
    assert len(set(derived.values())) == len(derived)
    assert all(0 <= value < 2**63 for value in derived.values())


def test_a_stream_never_changes():
    """A recorded run can be repeated with any later version."""
    assert derive(0, "weights") == 4509265542834228188
    assert derive(1, "noise") == 141751978380096053


def test_neighbouring_seeds_give_unrelated_numbers():
    draws = []
    for seed, stream in itertools.product(range(8), STREAMS):
        draws.append(torch.randn(4096, generator=torch.Generator().manual_seed(derive(seed, stream))))
    correlations = torch.corrcoef(torch.stack(draws)).fill_diagonal_(0)
    assert correlations.abs().max() < 6 / 64  # six standard deviations


def draw():
    """A few numbers of each generator; Gaussian ones, of which two are made at once and one is kept."""
    return [
        torch.rand(4).tolist(),
        torch.randn(3).tolist(),
        np.random.standard_normal(3).tolist(),
        np.random.random(2).tolist(),
        [random.gauss(0, 1) for _ in range(3)],
        random.random(),
    ]


def test_all_generators_of_a_process_are_sown():
    seed_all(derive(0, "noise"))
    first = draw()
    seed_all(derive(0, "noise"))
    assert draw() == first
    seed_all(derive(1, "noise"))
    assert all(one != other for one, other in zip(draw(), first, strict=True))


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_all_seeds_can_be_sown(seed):
    with forked(seed, CPU):
        draw()


def test_their_state_goes_through_a_checkpoint(tmp_path):
    with forked(3, CPU):
        draw()
        torch.save(state(CPU), tmp_path / "state.pt")
        expected = draw()
        seed_all(4)
        restore(torch.load(tmp_path / "state.pt", weights_only=True), CPU)
        assert draw() == expected


def test_forked_is_seeded_within_and_leaves_no_trace():
    seed_all(3)
    expected = draw()
    seed_all(3)
    with forked(derive(0, "evaluation"), CPU):
        first = draw()
        draw()
    assert draw() == expected
    with forked(derive(0, "evaluation"), CPU):
        assert draw() == first
    with forked(derive(1, "evaluation"), CPU):
        assert draw() != first


def test_forked_leaves_no_trace_of_an_error():
    before = torch.get_rng_state()

    def failing():
        with forked(0, CPU):
            torch.rand(4)
            raise ValueError

    with pytest.raises(ValueError):
        failing()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_forked_holds_for_the_device_too():
    device = torch.device("cuda")
    torch.manual_seed(3)
    expected = torch.rand(4), torch.rand(4, device=device)
    torch.manual_seed(3)
    with forked(7, device):
        first = torch.rand(4, device=device)
    assert torch.equal(torch.rand(4), expected[0])
    assert torch.equal(torch.rand(4, device=device), expected[1])
    with forked(7, device):
        assert torch.equal(torch.rand(4, device=device), first)


def test_no_generator_gives_what_another_gives() -> None:
    seed_all(7)
    drawn = [torch.rand(8, dtype=torch.float64).tolist(), np.random.rand(8).tolist()]
    drawn.append([random.random() for _ in range(8)])
    assert len({number for numbers in drawn for number in numbers}) == 24
