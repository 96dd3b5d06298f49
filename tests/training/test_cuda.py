"""What only a CUDA device can show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from genloss.training import devices
from genloss.training.trainer import Trainer
from tests.training.support import NON_SATURATING, WGAN_GP, Rows, recorder, train, trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]
CUDA = torch.device("cuda:0")


def on_cuda(players: Any, **training: Any) -> Trainer:
    return trainer(players, device=CUDA, **training)


@pytest.mark.parametrize("players", [NON_SATURATING, WGAN_GP])
def test_a_step_does_not_wait_for_the_device(players: Any) -> None:
    trained = on_cuda(players)
    kept = recorder(trained, Rows())
    trained.advance(3, kept)  # the first steps make the optimizers' state
    torch.cuda.set_sync_debug_mode("error")
    try:
        trained.advance(9, kept)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert trained.step == 9


def test_a_run_is_recorded_whole() -> None:
    trained = on_cuda(NON_SATURATING, steps=2500)
    rows = train(trained)
    assert len(rows.values) == 2500
    assert np.isfinite(rows.values).all()


def test_weights_and_batches_are_the_cpu_s() -> None:
    here, there = trainer(NON_SATURATING, precision="float64"), on_cuda(NON_SATURATING, precision="float64")
    for ours, theirs in zip(here.model.parameters(), there.model.parameters(), strict=True):
        assert torch.equal(ours, theirs.cpu())  # weights are drawn on the CPU, whatever the device
    assert torch.equal(next(here.batches)["x"], next(there.batches)["x"].cpu())


def test_auto_takes_it() -> None:
    (device,) = devices.choose(["auto"], runs=4)
    assert device.name == "cuda:0"
    assert device.workers == 1
