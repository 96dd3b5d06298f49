"""What a step computes and what it takes, and that what cannot fit is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genloss.errors import ExperimentError
from genloss.planning import fits
from genloss.planning.plan import Plan, plan, runs
from genloss.planning.work import Work
from genloss.training import machine

EXPERIMENT: dict[str, Any] = {
    "name": "sizes",
    "data": {"name": "two_moons", "size": 400},
    "model": {"name": "autoencoder", "latent_dim": 2, "hidden": [64]},
    "objectives": {"plain": {"network": "squared_error"}},
    "training": {"steps": 10, "batch_size": 128},
    "seeds": [0],
    "devices": "cpu",
}
WEIGHTS = 2 * 64 + 64 * 2 + 2 * 64 + 64 * 2
PARAMETERS = WEIGHTS + 64 + 2 + 64 + 2


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("genloss.training.devices.cores", lambda: 8)


def planned(*overrides: str) -> Plan:
    return plan(EXPERIMENT, overrides=overrides)


def test_a_step_of_an_autoencoder() -> None:
    size = planned().sizes["plain"]
    assert size.parameters == PARAMETERS
    # Two operations for each weight and example, in the value and in each of the two gradients; x has none.
    assert size.work.flops == 128 * (6 * WEIGHTS - 2 * 2 * 64)
    assert (size.state, size.gradients, size.moments) == (4 * PARAMETERS, 4 * PARAMETERS, 8 * PARAMETERS)
    assert size.checkpoint == 12 * PARAMETERS
    assert size.work.kept is not None
    # At least what the linear layers and rectifiers are given, at most a few times that.
    assert 4 * 128 * (2 + 64 + 2 + 64) <= size.work.kept <= 4 * 4 * 128 * (2 + 64 + 2 + 64)


@pytest.mark.parametrize(
    ("override", "state", "moments", "average"),
    [
        ("training.optimizer={name: sgd, lr: 0.1}", 4, 0, 0),
        ("training.optimizer={name: sgd, lr: 0.1, momentum: 0.9}", 4, 4, 0),
        ("training.optimizer={name: adam, amsgrad: true}", 4, 12, 0),
        ("training.precision=float64", 8, 16, 0),
        ("training.precision=bfloat16", 4, 8, 0),
        ("training.ema=0.9", 4, 8, 4),
    ],
)
def test_what_else_is_held(override: str, state: int, moments: int, average: int) -> None:
    size = planned(override).sizes["plain"]
    found = (size.state, size.moments, size.average)
    assert found == tuple(PARAMETERS * each for each in (state, moments, average))


def test_masks_are_held_and_not_kept() -> None:
    given = {**EXPERIMENT, "data": "digits", "model": {"name": "autoregressive", "hidden": [100]}}
    given["objectives"] = {"plain": {"network": "categorical_nll"}}
    size = plan(given).sizes["plain"]
    assert size.computed > 0
    assert size.checkpoint == 12 * size.parameters
    assert size.step > 16 * size.parameters + size.computed


@pytest.mark.parametrize(
    ("flops", "products", "threads"),
    [
        (1e6, 10, 1),
        (6e8, 30, 1),
        (1.9e9, 30, 1),
        (2e9, 30, 2),
        (7e9, 30, 7),
        (1e11, 100, 100),
        (1e10, 10_000, 1),
    ],
)
def test_threads_by_the_work_of_a_step(flops: float, products: int, threads: int) -> None:
    assert Work(flops, products, None).threads == threads


def test_a_small_model_has_one_thread_on_any_machine() -> None:
    small = planned()
    assert [(device.workers, device.threads) for device in small.devices] == [(1, 1)]
    (run,) = runs(small, "study")
    assert run.threads == 1
    assert "--set threads=1" in run.reproduce


def test_a_large_model_has_the_cores() -> None:
    large = planned("model.hidden=[2048, 2048]")
    assert large.sizes["plain"].parameters < 20_000_000
    assert large.sizes["plain"].work.flops > 6e9
    assert large.devices[0].threads == 6
    # Which is known of a model too large to be tried as well.
    larger = planned("model.hidden=[5000, 5000]")
    assert larger.sizes["plain"].work.kept is None
    assert larger.devices[0].threads == 8


def test_the_user_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    assert planned("threads=3").devices[0].threads == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert planned().devices[0].threads == 5
    assert planned("threads=3").devices[0].threads == 3
    assert planned("model.hidden=[2048, 2048]").devices[0].threads == 5


def test_a_model_that_cannot_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExperimentError) as caught:
        planned("model.hidden=[1000000, 1000000]")
    assert "model `autoencoder` has 2,000,0" in caught.value.message
    assert "parameters, and a step takes at least 29,80" in caught.value.message
    assert caught.value.hint == "make the model or the batch smaller"
    assert caught.value.where is not None
    # Nor does one whose every worker needs what the machine has once.
    monkeypatch.setattr(machine, "memory", lambda: 20 * PARAMETERS)
    with pytest.raises(
        ExperimentError, match=r"in each of 1 worker: .* that the gradients are computed from"
    ):
        planned()
    step = int(planned_size(monkeypatch).step)
    monkeypatch.setattr(machine, "memory", lambda: step + 1)
    assert planned()
    with pytest.raises(ExperimentError, match="in each of 2 workers") as caught:
        planned("seeds=2")
    assert caught.value.hint == "set `workers: 1`"


def planned_size(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(machine, "memory", lambda: None)
    return planned().sizes["plain"]


def test_so_is_what_no_tensor_can_be() -> None:
    with pytest.raises(ExperimentError, match="cannot be built for this data, for want of memory"):
        planned("model.hidden=[1000000000000000000, 1000000000000000000]")
    with pytest.raises(ExperimentError, match=r"`latent_dim` .* expected an integer of 64 bits at most"):
        planned("model.latent_dim=99999999999999999999")
    with pytest.raises(ExperimentError, match="dataset `two_moons` cannot be loaded, for want of memory"):
        planned("data.size=1000000000000000")


def test_so_are_samples_that_no_memory_holds() -> None:
    with pytest.raises(
        ExperimentError, match=r"`evaluation.samples`: 1,000,000,000,000 samples take"
    ) as caught:
        planned("evaluation={samples: 1000000000000}")
    assert caught.value.where is not None
    assert "a few thousand do" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "key",
    [
        *("training.steps", "training.batch_size", "training.checkpoint_every", "evaluation.every"),
        *("evaluation.samples", "workers", "threads", "training.players.network.updates_per_step"),
        *("objectives.plain.network.squared_error.every", "on_failure.retry"),
    ],
)
def test_no_count_is_beyond_all_bounds(key: str) -> None:
    with pytest.raises(ExperimentError, match=f"`{key}`: expected a number ≤ [0-9,]+, got ") as caught:
        plan({**EXPERIMENT, "evaluation": {}}, overrides=[f"{key}=99999999999999999999"])
    assert caught.value.where is not None


def test_images_that_made_39_billion_parameters(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (60, 3, 64, 64), dtype=np.uint8))
    given = {
        **EXPERIMENT,
        "data": {"name": "arrays", "path": str(tmp_path / "x.npy")},
        "model": {"name": "autoregressive", "hidden": [512, 512]},
        "objectives": {"nll": {"network": "categorical_nll"}},
        "training": {"steps": 10, "batch_size": 8},
    }
    with pytest.raises(ExperimentError, match=r"model `autoregressive` has .* parameters, and a step takes"):
        plan({**given, "model": {"name": "autoregressive", "hidden": [12288, 12288]}})


@pytest.mark.parametrize(
    ("size", "said"), [(100, "0.1 KiB"), (2**20, "1.0 MiB"), (3 * 2**29, "1.5 GiB"), (2**41, "2,048.0 GiB")]
)
def test_bytes_are_told_in_a_unit_that_suits_them(size: int, said: str) -> None:
    assert fits.gib(size) == said
