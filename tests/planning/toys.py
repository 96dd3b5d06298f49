"""A plugin with one definition of each sort that an experiment can get wrong."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor, nn

import genloss
from genloss.errors import DefinitionError

Positive = Annotated[int, Gt(0)]


@genloss.loss(family="toy", unit="1", source="this file")
def push(
    logits: Float[Tensor, "batch"],
    hint: Float[Tensor, "batch"] | None = None,
    *,
    scale: Annotated[float, Ge(0)] = 1.0,
    form: Literal["soft", "hard"] = "soft",
) -> Float[Tensor, "batch"]:
    """Pushes."""
    return scale * logits


@genloss.loss(family="toy", unit="1", source="this file")
def pull(logits: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
    """Pulls."""
    return -logits


@genloss.loss(family="toy", unit="1", source="this file")
def match(mu: Float[Tensor, "batch latent"], *, table: Path) -> Float[Tensor, "batch"]:
    """Needs a quantity that the toy GAN has not, and a file."""
    return mu.sum(1)


@genloss.loss(family="toy", unit="1", source="this file")
def slope(gradient: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch"]:
    """Needs a quantity that the critic alone is offered."""
    return gradient.flatten(1).sum(1)


@genloss.loss(family="toy", unit="1", source="this file", unavailable="it needs torch 99")
def future(x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch"]:
    """Cannot be used yet."""
    return x.flatten(1).sum(1)


@genloss.loss(family="toy", unit="1", source="this file")
class Learned(nn.Module):
    """Has a weight, and no room for more than eight."""

    def __init__(self, *, size: int, scale: float = 1.0) -> None:
        super().__init__()
        if size > 8:
            raise ValueError(f"there is no room for {size}")
        self.weight = nn.Parameter(torch.ones(size))
        self.scale = scale

    def forward(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch"]:
        value: Tensor = self.scale * x.flatten(1).sum(1) * self.weight.sum()
        return value


class CriticTurn(genloss.Turn["ToyGAN"]):
    @cached_property
    def logits(self) -> Float[Tensor, "batch"]:
        """The critic's."""
        judged: Tensor = self.model.critic(self.x)
        return judged.squeeze(1)

    @cached_property
    def gradient(self) -> Float[Tensor, "batch *event"]:
        """Of the logits."""
        return torch.zeros_like(self.x)

    @property
    def margin(self) -> Float[Tensor, "batch"]:
        """Meant to be offered."""
        return -self.logits

    def sharpness(self) -> Float[Tensor, "batch"]:
        """Meant to be offered."""
        return self.logits.square()


class ActorTurn(genloss.Turn["ToyGAN"]):
    @cached_property
    def logits(self) -> Float[Tensor, "batch"]:
        """The critic's."""
        judged: Tensor = self.model.critic(self.model.actor(self.x))
        return judged.squeeze(1)


class ToyGAN(genloss.Model):
    """Two players."""

    def __init__(self, data: genloss.DataSpec, *, width: Positive = 4) -> None:
        super().__init__(data)
        if width == 13:
            raise ValueError("thirteen brings bad luck")
        self.critic = nn.Linear(2, 1)
        self.actor = nn.Sequential(nn.Linear(2, width), nn.Linear(width, 2))

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"critic": CriticTurn, "actor": ActorTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"critic": self.critic, "actor": self.actor}

    def sample(self, count: int) -> Tensor:
        return torch.zeros(count, 2)


class EncoderTurn(genloss.Turn["ToyVAE"]):
    @cached_property
    def mu(self) -> Float[Tensor, "batch latent"]:
        """The mean."""
        mean: Tensor = self.model.encoder(self.x)
        return mean


class ToyVAE(genloss.Model):
    """One player, and a likelihood."""

    def __init__(self, data: genloss.DataSpec) -> None:
        super().__init__(data)
        self.encoder = nn.Linear(2, 1)

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": EncoderTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self.encoder}

    def sample(self, count: int) -> Tensor:
        return torch.zeros(count, 2)

    def log_likelihood(self, x: Tensor) -> Float[Tensor, "batch"]:
        return -x.flatten(1).sum(1)


class Empty(ToyVAE):
    """A player without parameters."""

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": nn.Identity()}


class Lopsided(ToyVAE):
    """A turn for nobody."""

    def players(self) -> Mapping[str, nn.Module]:
        return {"somebody": self.encoder}


@genloss.dataset
def dots(*, size: Positive = 64, labels: bool = False, modes: bool = False) -> genloss.Data:
    """Points."""
    if size == 13:
        raise DefinitionError("thirteen brings bad luck")
    fields = {"x": torch.zeros(size, 2)}
    if labels:
        fields["label"] = torch.zeros(size, dtype=torch.int64)
    return genloss.Data(
        genloss.DataSpec((2,), "points", size=size),
        train=fields,
        held_out=fields,
        truth={"modes": torch.zeros(1, 2)} if modes else {},
    )


@genloss.dataset
def stored(*, path: Path, others: tuple[Path, ...] = ()) -> genloss.Data:
    """Numbers from a file, one in a line."""
    numbers = torch.tensor([float(line) for line in path.read_text().split()])
    fields = {"x": torch.stack([numbers, numbers], 1)}
    return genloss.Data(genloss.DataSpec((2,), "points", size=len(numbers)), fields, fields)


@genloss.metric(unit="1", higher_is_better=False)
def spread(samples: Float[Tensor, "samples *event"], *, power: Positive = 2) -> float:
    """Of the samples."""
    return float(samples.std())


@genloss.metric(unit="1", higher_is_better={"spread": False, "centre": True})
def summary(samples: Float[Tensor, "samples *event"]) -> dict[str, float]:
    """Two numbers, one of which `spread` gives too."""
    return {"spread": 0.0, "centre": 0.0}


@genloss.metric(unit="nats", higher_is_better=True)
def likelihood(held_out: Float[Tensor, "held_out *event"], log_likelihood: Any) -> float:
    """Of a model that has one."""
    return float(log_likelihood(held_out).mean())


@genloss.metric(unit="1", higher_is_better=True)
def purity(train_labels: Tensor, cache: Path) -> float:
    """Of labelled data."""
    return 0.0


@genloss.metric(unit="1", higher_is_better=True)
def coverage(samples: Tensor, modes: Tensor, mode_scale: Tensor | None = None) -> float:
    """Of data whose modes are known."""
    return 0.0


@genloss.metric(unit="1", higher_is_better=True)
def misspelt(sample: Tensor) -> float:
    """Of `samples`, had its author written so."""
    return 0.0


@genloss.hookimpl
def genloss_losses() -> Any:
    return [push, pull, match, slope, future, Learned]


@genloss.hookimpl
def genloss_models() -> Any:
    return [ToyGAN, ToyVAE, Empty, Lopsided]


@genloss.hookimpl
def genloss_datasets() -> Any:
    return [dots, stored]


@genloss.hookimpl
def genloss_metrics() -> Any:
    return [spread, summary, likelihood, purity, coverage, misspelt]
