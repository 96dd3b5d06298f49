from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

import genloss
from genloss.errors import DefinitionError
from genloss_builtin.losses.reconstruction import squared_error
from genloss_builtin.losses.vector_quantisation import codebook, commitment
from genloss_builtin.models.vqvae import COUNT_DECAY, VQVAE
from tests.training.support import same, term, train, trainer, weights

DIGITS = genloss.DataSpec((1, 8, 8), "image", 100, value_range=(0.0, 1.0), vocabulary=17)
POINTS = genloss.DataSpec((2,), "points", 100)
OBJECTIVE = {"network": (term("squared_error"), term("codebook"), term("commitment", weight=0.25))}


def turn_of(model: VQVAE, x: Tensor) -> Any:
    return model.turns()["network"](model, {"x": x})


@pytest.fixture
def model() -> VQVAE:
    torch.manual_seed(0)
    return VQVAE(DIGITS, codes=7, code_dim=3, latents=4, hidden=(9,)).double()


@pytest.fixture
def x() -> Tensor:
    return torch.rand(6, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("options", "positions"),
    [
        ({"latents": 3}, (3,)),
        ({}, (8,)),
        ({"network": "conv", "hidden": (5,)}, (4, 4)),
        ({"network": "conv", "hidden": (5, 6)}, (2, 2)),
    ],
    ids=str,
)
def test_positions_are_those_of_the_option_or_of_the_convolutions_grid(
    options: dict[str, Any], positions: tuple[int, ...]
) -> None:
    turn = turn_of(VQVAE(DIGITS, code_dim=5, **options), torch.rand(2, 1, 8, 8))
    assert turn.z_e.shape == turn.z_q.shape == (2, *positions, 5)


def test_z_q_is_the_nearest_code(model: VQVAE, x: Tensor) -> None:
    turn = turn_of(model, x)
    distances = (turn.z_e[..., None, :] - model.codebook).square().sum(-1)
    torch.testing.assert_close((turn.z_e - turn.z_q).square().sum(-1), distances.amin(-1))
    chosen = {tuple(code) for code in turn.z_q.flatten(0, 1).tolist()}
    assert chosen <= {tuple(code) for code in model.codebook.tolist()}
    assert len(chosen) > 1


def test_what_is_decoded_are_the_codes_themselves(model: VQVAE, x: Tensor) -> None:
    turn = turn_of(model, x)
    assert torch.equal(turn.x_hat, model.decode(turn.z_q))
    assert torch.equal(turn.x_hat, model.reconstruct(x))


def test_straight_through_gives_the_encoder_the_gradient_of_the_codes(model: VQVAE, x: Tensor) -> None:
    turn = turn_of(model, x)
    encoder = list(model.encoder.parameters())
    error = squared_error(x=x, x_hat=turn.x_hat).sum()
    ours = torch.autograd.grad(error, encoder, retain_graph=True)
    codes = turn.z_q.detach().requires_grad_()
    (at_codes,) = torch.autograd.grad(squared_error(x=x, x_hat=model.decode(codes)).sum(), codes)
    assert at_codes.abs().sum() > 0
    torch.testing.assert_close(ours, torch.autograd.grad(turn.z_e, encoder, at_codes))


def test_each_loss_moves_what_the_paper_says_and_nothing_else(model: VQVAE, x: Tensor) -> None:
    parts = {
        "encoder": list(model.encoder.parameters()),
        "decoder": list(model.decoder.parameters()),
        "codebook": [model.codebook],
    }
    turn = turn_of(model, x)
    losses = {
        "reconstruction": squared_error(x=x, x_hat=turn.x_hat),
        "codebook": codebook(z_e=turn.z_e, z_q=turn.z_q),
        "commitment": commitment(z_e=turn.z_e, z_q=turn.z_q),
    }
    moved = {
        name: {
            part
            for part, parameters in parts.items()
            if any(
                gradient is not None and gradient.any()
                for gradient in torch.autograd.grad(
                    loss.sum(), parameters, allow_unused=True, retain_graph=True
                )
            )
        }
        for name, loss in losses.items()
    }
    assert moved == {
        "reconstruction": {"encoder", "decoder"},
        "codebook": {"codebook"},
        "commitment": {"encoder"},
    }


def test_the_codebook_is_drawn_to_the_mean_of_what_it_stands_for(model: VQVAE, x: Tensor) -> None:
    """At the fixed point of the paper's second term a code is the mean of the vectors that it replaces."""
    turn = turn_of(model, x)
    nearest = model.nearest(turn.z_e)
    with torch.no_grad():
        for code in nearest.unique():
            model.codebook[code] = turn.z_e[nearest == code].mean(0)
    z_q = model.look_up(nearest)
    (gradient,) = torch.autograd.grad(codebook(z_e=turn.z_e, z_q=z_q).sum(), model.codebook)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_counts_follow_training_batches_alone(model: VQVAE, x: Tensor) -> None:
    turn = turn_of(model, x)
    before = model.counts.clone()
    assert torch.equal(before, torch.ones(4, 7, dtype=torch.float64))
    for name in ("z_q", "x_hat", "z_q"):
        getattr(turn, name)  # however often it is asked, a turn counts once
    nearest = model.nearest(turn.z_e)
    expected = COUNT_DECAY * before
    for codes in nearest:
        for position, code in enumerate(codes.tolist()):
            expected[position, code] += 1
    torch.testing.assert_close(model.counts, expected)
    kept = model.counts.clone()
    model.eval()
    assert turn_of(model, x).x_hat.isfinite().all()
    model.reconstruct(x)
    model.sample(3)
    assert torch.equal(model.counts, kept)


def test_only_what_needs_codes_counts_them(model: VQVAE, x: Tensor) -> None:
    assert turn_of(model, x).z_e.shape == (6, 4, 3)
    assert torch.equal(model.counts, torch.ones_like(model.counts))


def test_samples_have_each_positions_codes_as_often_as_they_were_counted(model: VQVAE) -> None:
    model.counts.zero_()
    model.counts[0, [1, 2]] = torch.tensor([1.0, 3.0], dtype=torch.float64)
    model.counts[[1, 2, 3], [3, 4, 5]] = 2.0
    torch.manual_seed(0)
    samples = model.sample(2000)
    rare, frequent = (
        model.decode(model.look_up(torch.tensor([[first, 3, 4, 5]]))).detach() for first in (1, 2)
    )
    is_rare = (samples - rare).abs().flatten(1).amax(1) < 1e-9
    is_frequent = (samples - frequent).abs().flatten(1).amax(1) < 1e-9
    assert (is_rare ^ is_frequent).all()
    deviation = math.sqrt(2000 * 0.25 * 0.75)
    assert abs(is_rare.sum() - 500) < 4 * deviation


def test_resuming_gives_the_same_counts_weights_and_values_bit_for_bit() -> None:
    def fresh() -> Any:
        options = {"codes": 5, "latents": 2, "hidden": (8,)}
        return trainer(OBJECTIVE, model="vqvae", options=options, steps=12, batch_size=16)

    whole = fresh()
    states: list[Any] = []

    def look() -> None:
        states.append(copy.deepcopy(whole.state_dict()))
        whole.mode(training=False)
        batch = whole.batches.first()
        whole.players[0].turn(whole.model, batch).x_hat.sum()

    rows = train(whole, {5: [look]})
    undisturbed = fresh()
    train(undisturbed)
    assert same(weights(undisturbed), weights(whole))
    resumed = fresh()
    resumed.load_state_dict(states[0])
    again = train(resumed)
    assert same(weights(resumed), weights(whole))
    assert (again.values == rows.values[5:]).all()
    assert whole.model.counts.sum() == pytest.approx(
        2 * (5 * COUNT_DECAY**12 + 16 * (1 - COUNT_DECAY**12) / (1 - COUNT_DECAY))
    )


def test_training_uses_more_than_one_code_and_reconstructs() -> None:
    torch.manual_seed(0)
    corners = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    data = corners.repeat(50, 1) + 0.05 * torch.randn(200, 2)
    options = {"codes": 8, "latents": 1, "hidden": (32,)}
    optimizer = {"name": "adam", "options": {"lr": 5e-3}}
    trained = trainer(OBJECTIVE, model="vqvae", options=options, data=data, steps=400, optimizer=optimizer)
    train(trained)
    model = trained.model
    error = (model.reconstruct(data) - data).square().sum(1).mean()
    assert error < 0.05  # a single code would leave 2.005
    assert len(model.nearest(model.encode(data)).unique()) >= 4


@pytest.mark.parametrize(
    ("data", "options", "message", "hint"),
    [
        (DIGITS, {"network": "conv", "hidden": (4,), "latents": 3}, "`latents` is 3", "`network: mlp`"),
        (POINTS, {"network": "conv", "hidden": (4,)}, "needs images", "`network: mlp`"),
        (DIGITS, {"network": "conv", "hidden": (4,) * 4}, "has 4 layers", "at most 3"),
        (genloss.DataSpec((5,), "tokens", 10, vocabulary=3), {}, "the data is tokens", "`autoregressive`"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    data: genloss.DataSpec, options: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        VQVAE(data, **options)
    assert hint in (caught.value.hint or "")
