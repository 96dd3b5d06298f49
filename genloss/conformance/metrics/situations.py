"""What a metric is tried with: data of each kind, a model that is good at it, and one that is not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genloss.contracts.dataset import DataSpec
from genloss.contracts.model import Model, Turn

TRAIN, HELD_OUT, SAMPLES = 256, 128, 96
"""Examples; no two numbers are the same, so that none passes for another."""


@dataclass(frozen=True)
class Situation:
    """Where data comes from, with all that is known about it.

    Attributes:
        spec: of the data.
        draw: gives examples and their labels.
        spoil: makes examples that no good model would give.
        truth: what a dataset would tell metrics.
    """

    spec: DataSpec
    draw: Callable[[int], tuple[Tensor, Tensor]]
    spoil: Callable[[Tensor], Tensor]
    truth: Mapping[str, Any]

    def offered(self, cache: Path, good: bool) -> dict[str, Any]:
        """All that a metric may ask for, of a model that draws from the data, or from its spoilt examples.

        Args:
            cache: the folder that metrics get.
            good: whether the model is good.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            (train, train_labels), (held_out, held_out_labels), (samples, _) = map(
                self.draw, (TRAIN, HELD_OUT, SAMPLES)
            )
        model = Rememberer(self.spec, train if good else self.spoil(train)).eval()
        return {
            **self.truth,
            "truth": dict(self.truth),
            "samples": samples if good else self.spoil(samples),
            "held_out": held_out,
            "train": train,
            "held_out_labels": held_out_labels,
            "train_labels": train_labels,
            "model": model,
            "log_likelihood": model.log_likelihood,
            "reconstruct": model.reconstruct,
            "cache": cache,
        }


class RemembererTurn(Turn["Rememberer"]):
    """Nothing but the data."""


class Rememberer(Model):
    """A model that holds examples: its samples are some of them, and what is near them is likely."""

    examples: Tensor

    def __init__(self, data: DataSpec, examples: Tensor) -> None:
        super().__init__(data)
        self.register_buffer("examples", examples)
        spread = 1.0 if data.kind == "tokens" else float(examples.std(0).mean())
        self.bandwidth = nn.Parameter(torch.tensor(0.5 * spread, dtype=torch.float32))

    def turns(self) -> Mapping[str, type[Turn[Any]]]:
        return {"network": RemembererTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self}

    def sample(self, count: int) -> Tensor:
        """Examples that it holds, drawn at random."""
        return self.examples[torch.randint(len(self.examples), (count,), device=self.examples.device)]

    def reconstruct(self, x: Tensor) -> Tensor:
        """The nearest example that it holds."""
        return self.examples[self._distances(x).argmin(1)]

    def log_likelihood(self, x: Tensor) -> Tensor:
        """Of a mixture of Gaussians around its examples; tokens are mistaken with a chance of 0.2 each."""
        with torch.no_grad():
            if self.data.kind == "tokens":
                vocabulary, length = self.data.vocabulary or 2, x[0].numel()
                wrong = self._distances(x)
                exponents = wrong * math.log(0.2 / (vocabulary - 1)) + (length - wrong) * math.log(0.8)
            else:
                exponents = -0.5 * (self._distances(x) / self.bandwidth).square()
                exponents = exponents - x[0].numel() * (self.bandwidth * math.sqrt(2 * math.pi)).log()
            return exponents.logsumexp(1) - math.log(len(self.examples))

    def _distances(self, x: Tensor) -> Tensor:
        """Euclidean distances to its examples; of tokens, in how many they differ."""
        if self.data.kind == "tokens":
            return (x[:, None] != self.examples).flatten(2).sum(2).to(self.bandwidth)
        return torch.cdist(x.flatten(1), self.examples.to(x).flatten(1))


def points() -> Situation:
    """Two Gaussians in the plane, which are labelled, and whose density is known."""
    modes, scale = torch.tensor([[-2.0, 0.0], [2.0, 1.0]]), 0.3

    def draw(count: int) -> tuple[Tensor, Tensor]:
        label = torch.randint(2, (count,))
        return modes[label] + scale * torch.randn(count, 2), label

    def log_density(x: Tensor) -> Tensor:
        exponents = -0.5 * (torch.cdist(x, modes.to(x)) / scale).square()
        return exponents.logsumexp(1) - math.log(2) - math.log(2 * math.pi * scale**2)

    truth = {"modes": modes, "mode_scale": scale, "log_density": log_density}
    return Situation(DataSpec((2,), "points", size=TRAIN), draw, lambda x: x + 20, truth)


def images() -> Situation:
    """Two labelled grey images of 8 × 8 pixels, each with some noise."""
    prototypes = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)).round()

    def draw(count: int) -> tuple[Tensor, Tensor]:
        label = torch.randint(2, (count,))
        return (prototypes[label] - 0.1 * torch.randn(count, 1, 8, 8)).clamp(0, 1), label

    spec = DataSpec((1, 8, 8), "image", size=TRAIN, value_range=(0.0, 1.0))
    return Situation(spec, draw, lambda x: 1 - x, {})


def tokens() -> Situation:
    """Independent tokens, of which some are more frequent, so that their entropy is known."""
    log_p = torch.linspace(0, 4, 7).log_softmax(0)

    def draw(count: int) -> tuple[Tensor, Tensor]:
        drawn = torch.multinomial(log_p.exp(), count * 6, replacement=True).view(count, 6)
        return drawn, drawn[:, 0] % 2

    def log_density(x: Tensor) -> Tensor:
        return log_p.to(x.device)[x].sum(1)

    truth = {"entropy_rate": float(-(log_p.exp() * log_p).sum()), "log_density": log_density}
    spec = DataSpec((6,), "tokens", size=TRAIN, vocabulary=7, alphabet=tuple("abcdefg"))
    return Situation(spec, draw, lambda x: 6 - x, truth)


SITUATIONS: Mapping[str, Callable[[], Situation]] = {"points": points, "images": images, "tokens": tokens}
TRUTH = frozenset(name for situation in SITUATIONS.values() for name in situation().truth)
"""The names of what is known about these sources."""
