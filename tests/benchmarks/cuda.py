"""What recording costs on CUDA: the trainer with its recorder, and with one that drops what it is given.

Needs torch and genloss's small dependencies, not MLflow: it runs from a checkout with

    PYTHONPATH=.:plugins python -m tests.benchmarks cuda

The loops take turns, round by round; each round
ends when the device is done. The hand-written loops, which record nothing, are there for comparison.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

import genloss
from genloss.experiment.schema import Choice, Objective, Term, Training
from genloss.record.journal import Journal
from genloss.record.recorder import Recorder
from genloss.training.batches import Batches
from genloss.training.trainer import Trainer
from genloss_builtin.losses.adversarial import minimax_discriminator, non_saturating_generator
from genloss_builtin.models.gan import GAN
from tests.benchmarks.loops import BATCH, SIZE, leanest_loop, points, usual_loop
from tests.benchmarks.results import Bound, Figure, Section, in_turns

STEPS, ROUNDS = 500, 20
BOUND = Bound(most=1.05)
SPEC = genloss.DataSpec(event_shape=(2,), kind="points", size=SIZE)


class Dropped:
    """A recorder that keeps nothing."""

    def write(self, values: Sequence[Tensor | None]) -> None:
        """Nothing."""


def trainer(device: torch.device) -> Trainer:
    """genloss's, for the GAN of the loops."""
    losses = {loss.name: loss for loss in (minimax_discriminator, non_saturating_generator)}
    players = zip(("discriminator", "generator"), losses, strict=True)
    config = Objective(
        name="non_saturating",
        players={player: (Term(loss=loss, name=loss),) for player, loss in players},
        model=Choice(name="gan"),
        training=Training(steps=10**9, batch_size=BATCH),
    )
    data = {"x": points(device.type)}
    return Trainer(
        lambda: GAN(SPEC, latent_dim=2, hidden=(64, 64)),
        config,
        losses,
        Batches(data, batch_size=BATCH, seed=0, device=device, dtype=torch.float32),
        seed=0,
        device=device,
    )


def measure(device: torch.device, steps: int, rounds: int) -> dict[str, Figure]:
    """Microseconds a step takes."""

    def timed(train: Callable[[int], None]) -> Callable[[], float]:
        def seconds() -> float:
            wait(device)
            begin = time.perf_counter()
            train(steps)
            wait(device)
            return (time.perf_counter() - begin) / steps * 1e6

        train(steps)
        return seconds

    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal") as journal:
        recorded, dropped = trainer(device), trainer(device)
        recorder = Recorder(recorded.columns(), journal.values, device=device, dtype=torch.float32)
        loops = {
            "recorded": lambda steps: recorded.advance(recorded.step + steps, recorder),
            "not recorded": lambda steps: dropped.advance(dropped.step + steps, Dropped()),  # type: ignore[arg-type]
            "usual": usual_loop(points(device.type)),
            "leanest": leanest_loop(points(device.type)),
        }
        found = in_turns({name: timed(loop) for name, loop in loops.items()}, rounds)
        recorder.flush()
        recorder.close()
    return {name: Figure.of(values, "µs") for name, values in found.items()}


def wait(device: torch.device) -> None:
    """Until the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def missing() -> str | None:
    """Why this cannot be measured here, if it cannot."""
    return None if torch.cuda.is_available() else "torch sees no CUDA device here"


def sections(*, quick: bool) -> list[Section]:
    if reason := missing():
        print(f"cuda: not measured: {reason}")
        return []
    steps, rounds = (50, 3) if quick else (STEPS, ROUNDS)
    found = measure(torch.device("cuda"), steps, rounds)
    section = Section(
        "Recording on CUDA",
        f"A step of the GAN on {torch.cuda.get_device_name()}: the trainer with every value recorded, and "
        "with a recorder that drops them. The hand-written loops record nothing. "
        f"Rounds: {rounds} of {steps:,} steps.",
    )
    section.figures(
        [
            ("genloss", found["recorded"], None),
            ("genloss without recording", found["not recorded"], None),
            ("with / without recording", found["recorded"] / found["not recorded"], BOUND),
            ("usual loop", found["usual"], None),
            ("leanest loop", found["leanest"], None),
        ]
    )
    return [section]
