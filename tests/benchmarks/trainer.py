"""What the trainer costs: against hand-written PyTorch loops, by turns, in one process.

    python -m tests.benchmarks.trainer [--steps 100] [--rounds 60]

All train the GAN of loops.py on one thread. The trainer records every term of every step in a journal; the
hand-written loops record nothing. They take turns, round by round, so that a change of the machine's speed
meets all of them; what is printed are the ratios of the rounds' medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import genloss
from genloss.experiment.schema import Choice, Objective, Term, Training
from genloss.record.journal import Journal
from genloss.record.recorder import Recorder
from genloss.training.batches import Batches
from genloss.training.trainer import Trainer
from tests.benchmarks.loops import BATCH, SIZE, leanest_loop, points, usual_loop
from tests.benchmarks.results import in_turns

SPEC = genloss.DataSpec(event_shape=(2,), kind="points", size=SIZE)
CPU = torch.device("cpu")


def genloss_loop(data: Tensor, journal: Journal) -> tuple[Callable[[int], None], Recorder]:
    """The trainer, with recorder and journal."""
    catalogue = genloss.catalogue()
    config = Objective(
        name="non_saturating",
        players={
            "discriminator": (Term(loss="minimax_discriminator", name="minimax_discriminator"),),
            "generator": (Term(loss="non_saturating_generator", name="non_saturating_generator"),),
        },
        model=Choice(name="gan"),
        training=Training(steps=10**9, batch_size=BATCH),
    )
    batches = Batches({"x": data}, batch_size=BATCH, seed=0, device=CPU, dtype=torch.float32)
    model = catalogue.models["gan"]
    trainer = Trainer(
        lambda: model.build(SPEC, latent_dim=2, hidden=(64, 64)),
        config,
        catalogue.losses,
        batches,
        seed=0,
        device=CPU,
    )
    recorder = Recorder(trainer.columns(), journal.values, device=CPU, dtype=torch.float32)
    return lambda steps: trainer.advance(trainer.step + steps, recorder), recorder


def measure(steps: int, rounds: int) -> dict[str, float]:
    """Medians of the microseconds a step takes."""

    def timed(loop: Callable[[int], None]) -> float:
        begin = time.perf_counter()
        loop(steps)
        return (time.perf_counter() - begin) / steps * 1e6

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal") as journal:
            data = points()
            ours, recorder = genloss_loop(data, journal)
            loops = {"genloss": ours, "usual": usual_loop(data), "leanest": leanest_loop(data)}
            for loop in loops.values():
                loop(steps)
            times = in_turns({name: partial(timed, loop) for name, loop in loops.items()}, rounds)
            recorder.close()
    finally:
        torch.set_num_threads(threads)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    medians = measure(arguments.steps, arguments.rounds)
    for name, microseconds in medians.items():
        print(f"{name:8} {microseconds:7.0f} µs a step")
    print(f"genloss / usual   {medians['genloss'] / medians['usual']:.2f}")
    print(f"genloss / leanest {medians['genloss'] / medians['leanest']:.2f}")


if __name__ == "__main__":
    main()
