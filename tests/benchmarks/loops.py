"""The GAN that is trained in the benchmarks, and hand-written loops that train it; torch alone is imported.

2→64→64→2 generator, 2→64→64→1 discriminator, batches of 128 out of 2,500 points; minimax discriminator,
non-saturating generator, Adam.

    python -m tests.benchmarks.loops STEPS

is the whole program of somebody who trains it in the usual way and records nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH, SIZE = 128, 2500

Log = Callable[[int, Tensor, Tensor], None]
"""Told of each step: its number, the discriminator's and the generator's loss."""


def points(device: str = "cpu") -> Tensor:
    """The training data."""
    return torch.randn(SIZE, 2, device=device)


def networks() -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator, with the activation that genloss's model `gan` has in both."""
    generator, discriminator = (
        nn.Sequential(
            nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, outputs)
        )
        for outputs in (2, 1)
    )
    return generator, discriminator


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    return (F.softplus(-real_logits) + F.softplus(fake_logits)).mean()


def generator_loss(fake_logits: Tensor) -> Tensor:
    return F.softplus(-fake_logits).mean()


def usual_loop(data: Tensor, log: Log | None = None) -> Callable[[int], None]:
    """As tutorials have it: zero_grad, backward, step, torch's default optimizer."""
    device = data.device
    generator, discriminator = (network.to(device) for network in networks())
    of_generator = torch.optim.Adam(generator.parameters(), lr=1e-3)
    of_discriminator = torch.optim.Adam(discriminator.parameters(), lr=1e-3)

    def train(steps: int) -> None:
        for step in range(steps):
            real = data[torch.randint(len(data), (BATCH,), device=device)]
            fake = generator(torch.randn(BATCH, 2, device=device))
            d_loss = discriminator_loss(discriminator(real), discriminator(fake.detach()))
            of_discriminator.zero_grad()
            d_loss.backward()
            of_discriminator.step()
            g_loss = generator_loss(discriminator(generator(torch.randn(BATCH, 2, device=device))))
            of_generator.zero_grad()
            g_loss.backward()
            of_generator.step()
            if log is not None:
                log(step, d_loss, g_loss)

    return train


def leanest_loop(data: Tensor) -> Callable[[int], None]:
    """Gradients for the player's own parameters alone, no graph for the fakes, a fused optimizer."""
    device = data.device
    generator, discriminator = (network.to(device) for network in networks())
    g, d = list(generator.parameters()), list(discriminator.parameters())
    of_generator = torch.optim.Adam(g, lr=1e-3, fused=True)
    of_discriminator = torch.optim.Adam(d, lr=1e-3, fused=True)

    def train(steps: int) -> None:
        for _ in range(steps):
            real = data[torch.randint(len(data), (BATCH,), device=device)]
            with torch.no_grad():
                fake = generator(torch.randn(BATCH, 2, device=device))
            loss = discriminator_loss(discriminator(real), discriminator(fake))
            for parameter, gradient in zip(d, torch.autograd.grad(loss, d), strict=True):
                parameter.grad = gradient
            of_discriminator.step()
            loss = generator_loss(discriminator(generator(torch.randn(BATCH, 2, device=device))))
            for parameter, gradient in zip(g, torch.autograd.grad(loss, g), strict=True):
                parameter.grad = gradient
            of_generator.step()

    return train


if __name__ == "__main__":
    torch.set_num_threads(1)
    usual_loop(points())(int(sys.argv[1]))
