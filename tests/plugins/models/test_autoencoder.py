from __future__ import annotations

import torch

import genloss
from genloss_builtin.models.autoencoder import Autoencoder, AutoencoderTurn

POINTS = genloss.DataSpec((2,), "points", 64)


def test_the_reconstruction_is_the_decoded_code() -> None:
    model = Autoencoder(POINTS, latent_dim=3)
    turn = AutoencoderTurn(model, {"x": torch.randn(5, 2)})
    assert torch.equal(turn.z, model.encode(turn.x))
    assert torch.equal(turn.x_hat, model.decode(turn.z))


def test_a_prior_sample_runs_no_network() -> None:
    model = Autoencoder(POINTS)
    calls: list[object] = []
    for network in (model.encoder, model.decoder):
        network.register_forward_hook(lambda *call: calls.append(call))
    turn = AutoencoderTurn(model, {"x": torch.randn(5, 2)})
    assert turn.z_prior.shape == (5, 16)
    assert not calls
    assert turn.x_hat.shape == (5, 2)
    assert len(calls) == 2


def test_a_sample_is_a_decoded_sample_of_the_prior() -> None:
    model = Autoencoder(POINTS, latent_dim=3)
    torch.manual_seed(3)
    samples = model.sample(5)
    torch.manual_seed(3)
    assert torch.equal(samples, model.decode(torch.randn(5, 3)))


def test_one_number_suffices_for_points_on_a_line() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 1) * torch.tensor([1.0, -2.0]) + 1
    model = Autoencoder(POINTS, latent_dim=1, hidden=(16,))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    errors = []
    for _ in range(200):
        turn = AutoencoderTurn(model, {"x": x})
        error = (turn.x - turn.x_hat).square().sum(1).mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.01 * errors[0]
