"""A plugin in whose parts bugs can be planted, each by an option."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import Dataset

import genloss
from genloss.errors import RequestError


class Large(Dataset[dict[str, Tensor]]):
    """As if it could not be read whole."""

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if index >= 64:
            raise MemoryError("too many")
        return {"x": torch.tensor([float(index), 0.0])}


@genloss.dataset
def points(
    *,
    bug: Literal["none", "typo", "nothing", "array", "part", "field", "nan", "large"] = "none",
    classes: int | None = None,
) -> genloss.Data:
    """Points in the plane."""
    if bug == "large":
        spec = genloss.DataSpec((2,), "points", size=1000)
        return genloss.Data(spec, Large(), Large(), digest="large")
    x: Any = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    if bug == "typo":
        torch.zeroes(3)
    if bug == "nothing":
        return None  # type: ignore[return-value]
    if bug == "array":
        return np.zeros((100, 2))  # type: ignore[return-value]
    if bug == "nan":
        x[17:19, 1] = float("nan")
    part: Any = x if bug == "part" else {"x": x.numpy() if bug == "field" else x}
    if classes is not None:
        part["label"] = torch.arange(100) % classes
    return genloss.Data(genloss.DataSpec((2,), "points", size=100, classes=classes), part, part)


@genloss.dataset
def labelled(*, labels: bool = False) -> genloss.Data:
    """Points that have labels when they are asked for."""
    return points(classes=2 if labels else None)


@genloss.loss(family="test", unit="data", source="this file")
def cubed_error(
    x: Float[Tensor, "batch *event"],
    x_hat: Float[Tensor, "batch *event"],
    *,
    bug: Literal["none", "typo", "shape", "detached", "small", "kernel", "nan"] = "none",
) -> Float[Tensor, "batch"]:
    """Third power of the absolute error."""
    if bug == "typo":
        return x.sqared()
    if bug == "nan":
        x = x.log()
    if bug == "shape":
        return (x - x_hat).abs().pow(3)
    if bug == "detached":
        return (x - x_hat.detach()).abs().pow(3).sum(1)
    if bug == "kernel" and x.device.type == "cpu":
        raise RuntimeError("no kernel for this device")
    if bug == "small" and len(x) < 16:
        raise ValueError(f"{len(x)} examples are not enough")
    return (x - x_hat).abs().pow(3).sum(1)


class LineTurn(genloss.Turn["Line"]):
    @cached_property
    def x_hat(self) -> Float[Tensor, "batch *event"]:
        """The reconstruction."""
        network = self.model.netwrk if self.model.bug == "turn" else self.model.network
        x_hat: Tensor = network(self.x)
        if self.model.bug == "label":
            x_hat = x_hat + 0 * self.batch["label"][:, None]
        return x_hat


class Line(genloss.Model):
    """A linear autoencoder."""

    def __init__(
        self,
        data: genloss.DataSpec,
        *,
        bug: Literal[
            "none", "typo", "turn", "turns", "label", "sample", "reconstruct", "unowned", "foreign"
        ] = "none",
        pretrained: Literal["none", "loaded", "computed"] = "none",
    ) -> None:
        super().__init__(data)
        self.bug = bug
        self.network = nn.Liner(2, 2) if bug == "typo" else nn.Linear(2, 2)
        self.wte = nn.Embedding(3, 2) if bug == "unowned" else None
        if pretrained == "loaded":
            weights = {"weight": np.eye(2, dtype="f"), "bias": np.zeros(2, dtype="f")}
            self.network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        if pretrained == "computed":
            nn.init.constant_(self.network.weight, float(torch.ones(2).norm()))

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": NoTurn if self.bug == "turns" else LineTurn}  # type: ignore[name-defined]

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": nn.Linear(2, 2) if self.bug == "foreign" else self.network}

    def sample(self, count: int) -> Tensor:
        return torch.randn(count, 3 if self.bug == "sample" else 2)

    def reconstruct(self, x: Tensor) -> Tensor:
        x_hat: Tensor = self.network(x)
        return x_hat[:, :1] if self.bug == "reconstruct" else x_hat


@genloss.metric(unit="1", higher_is_better=False)
def spread(
    samples: Float[Tensor, "samples *event"],
    reconstruct: Any,
    *,
    bug: Literal["none", "typo"] = "none",
    least: int = 100,
) -> float:
    """Of the samples."""
    if bug == "typo":
        samples.sqared()
    if len(samples) < least:
        raise ValueError(f"{len(samples)} samples are not enough")
    return float(samples.std())


def _needs_classes(train_labels: Tensor | None) -> None:
    if train_labels is None or len(train_labels.unique()) < 2:
        raise RequestError("there is one class", hint="use data of two")


@genloss.metric(unit="1", higher_is_better=True)
def tried_with_labels(samples: Float[Tensor, "samples *event"], train_labels: Tensor | None = None) -> float:
    """Fails, as a metric does whose author has tried it without labels alone."""
    return 0.0 if train_labels is None else float(train_labels.maen())  # type: ignore[attr-defined]


@genloss.metric(unit="1", higher_is_better=True, check=_needs_classes)
def checked(samples: Float[Tensor, "samples *event"], train_labels: Tensor | None = None) -> float:
    """Would take long with labels, and so is tried without them."""
    assert train_labels is None, "this takes long"
    return 0.0


@genloss.hookimpl
def genloss_losses() -> Any:
    yield cubed_error


@genloss.hookimpl
def genloss_models() -> Any:
    yield Line


@genloss.hookimpl
def genloss_datasets() -> Any:
    yield points
    yield labelled


@genloss.hookimpl
def genloss_metrics() -> Any:
    yield spread
    yield tried_with_labels
    yield checked
