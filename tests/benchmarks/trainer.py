"""What the trainer costs: against hand-written PyTorch loops, paired, in one process.

    python -m tests.benchmarks.trainer [--steps 100] [--rounds 60]

All train the same GAN (2→64→64→2 generator, 2→64→64→1 discriminator, batch 128) on one thread: minimax
discriminator, non-saturating generator, Adam. The trainer records every term of every step in a journal;
the hand-written loops record nothing. They take turns, round by round, so that a change of the machine's
speed meets all of them; what is printed are the ratios of the rounds' medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import genloss
from genloss.experiment.schema import Choice, Objective, Term, Training
from genloss.record.journal import Journal
from genloss.record.recorder import Recorder
from genloss.training.batches import Batches
from genloss.training.trainer import Trainer

BATCH = 128
SPEC = genloss.DataSpec(event_shape=(2,), kind="points", size=2500)
CPU = torch.device("cpu")


def networks() -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator."""
    generator = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    discriminator = nn.Sequential(
        nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)
    )
    return generator, discriminator


def usual_loop(data: Tensor) -> Callable[[int], None]:
    """As tutorials have it: zero_grad, backward, step, torch's default optimizer."""
    generator, discriminator = networks()
    of_generator = torch.optim.Adam(generator.parameters(), lr=1e-3)
    of_discriminator = torch.optim.Adam(discriminator.parameters(), lr=1e-3)

    def train(steps: int) -> None:
        for _ in range(steps):
            real = data[torch.randint(len(data), (BATCH,))]
            fake = generator(torch.randn(BATCH, 2))
            loss = (F.softplus(-discriminator(real)) + F.softplus(discriminator(fake.detach()))).mean()
            of_discriminator.zero_grad()
            loss.backward()
            of_discriminator.step()
            loss = F.softplus(-discriminator(generator(torch.randn(BATCH, 2)))).mean()
            of_generator.zero_grad()
            loss.backward()
            of_generator.step()

    return train


def leanest_loop(data: Tensor) -> Callable[[int], None]:
    """Gradients for the player's own parameters alone, no graph for the fakes, a fused optimizer."""
    generator, discriminator = networks()
    g, d = list(generator.parameters()), list(discriminator.parameters())
    of_generator = torch.optim.Adam(g, lr=1e-3, fused=True)
    of_discriminator = torch.optim.Adam(d, lr=1e-3, fused=True)

    def train(steps: int) -> None:
        for _ in range(steps):
            real = data[torch.randint(len(data), (BATCH,))]
            with torch.no_grad():
                fake = generator(torch.randn(BATCH, 2))
            loss = (F.softplus(-discriminator(real)) + F.softplus(discriminator(fake))).mean()
            for parameter, gradient in zip(d, torch.autograd.grad(loss, d), strict=True):
                parameter.grad = gradient
            of_discriminator.step()
            loss = F.softplus(-discriminator(generator(torch.randn(BATCH, 2)))).mean()
            for parameter, gradient in zip(g, torch.autograd.grad(loss, g), strict=True):
                parameter.grad = gradient
            of_generator.step()

    return train


def genloss_loop(data: Tensor, journal: Journal) -> Callable[[int], None]:
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
    return lambda steps: trainer.advance(trainer.step + steps, recorder)


def measure(steps: int, rounds: int) -> dict[str, float]:
    """Medians of the microseconds a step takes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal") as journal:
            data = torch.randn(SPEC.size, 2)
            loops = {
                "genloss": genloss_loop(data, journal),
                "usual": usual_loop(data),
                "leanest": leanest_loop(data),
            }
            times: dict[str, list[float]] = {name: [] for name in loops}
            for loop in loops.values():
                loop(steps)
            for _ in range(rounds):
                for name, loop in loops.items():
                    begin = time.perf_counter()
                    loop(steps)
                    times[name].append((time.perf_counter() - begin) / steps * 1e6)
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
