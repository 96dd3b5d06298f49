"""The reconstruction error, against the definitions."""

from __future__ import annotations

import pytest
import torch

import genloss
from genloss.errors import RequestError
from genloss_builtin.metrics.reconstruction import reconstruction_error


def test_the_errors_of_a_constant_shift() -> None:
    x = torch.rand(7, 2, 3, generator=torch.Generator().manual_seed(0))
    numbers = reconstruction_error(lambda batch: batch - 0.5, x, batch_size=3)
    assert numbers == pytest.approx({"mean_squared_error": 0.25, "mean_absolute_error": 0.5})


def test_tokens_have_no_errors() -> None:
    with pytest.raises(RequestError, match="compares values, but this data is tokens"):
        reconstruction_error(lambda batch: batch, torch.zeros(4, 6, dtype=torch.long))


@pytest.mark.parametrize("name", ["autoencoder", "vae"])
def test_models_that_encode_and_decode_have_one(name: str) -> None:
    torch.manual_seed(0)
    spec = genloss.DataSpec(event_shape=(1, 8, 8), kind="image", size=10, value_range=(0.0, 1.0))
    model = genloss.catalogue().models[name].build(spec, latent_dim=3, hidden=(8,))
    x = torch.rand(4, 1, 8, 8)
    with torch.no_grad():
        reconstructed = model.reconstruct(x)  # type: ignore[operator]
    assert reconstructed.shape == x.shape
    assert 0 < reconstruction_error(model.reconstruct, x)["mean_squared_error"] < 1  # type: ignore[arg-type]
