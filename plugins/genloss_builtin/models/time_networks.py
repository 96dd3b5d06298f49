"""Time-conditioned networks for diffusion and flow matching, and the scaling of their data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

import genloss
from genloss.errors import DefinitionError
from genloss_builtin.models.networks import Activation, mlp, require_images

TimeNetwork = Literal["mlp", "plain_mlp", "conv"]
ActivationName = Literal["silu", "selu", "relu", "gelu", "tanh"]

ACTIVATIONS: Mapping[ActivationName, Activation] = {
    "silu": nn.SiLU,
    "selu": nn.SELU,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}

EMBEDDING = 32
"""Length of a time embedding."""

FASTEST = 100.0
"""The embedding's highest frequency, in radians from t = 0 to 1."""


def time_network(
    data: genloss.DataSpec,
    *,
    network: TimeNetwork,
    hidden: Sequence[int],
    activation: ActivationName = "silu",
) -> nn.Module:
    """Build a network from examples `[batch, *event]` and times `[batch]` in [0, 1] to `[batch, *event]`.

    Its outputs are unbounded.

    Raises:
        DefinitionError: the network does not fit the data.
    """
    if data.kind == "tokens":
        raise DefinitionError(
            "this model is for continuous data, but the data is tokens",
            hint="use `autoregressive` for tokens",
        )
    if not hidden:
        raise DefinitionError(
            "`hidden` is empty, but the time enters through hidden layers",
            hint="set, for example, `hidden: [128, 128]`",
        )
    if network == "mlp":
        return TimeMLP(data, hidden, ACTIVATIONS[activation])
    if network == "plain_mlp":
        return PlainTimeMLP(data, hidden, ACTIVATIONS[activation])
    require_images(data)
    return UNet(data.event_shape[0], hidden, ACTIVATIONS[activation])


class TimeEmbedding(nn.Module):
    """Sines and cosines of the time, at frequencies from 1 to `FASTEST`.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.5; for the time, Ho et al. 2020, arXiv:2006.11239.
    """

    def forward(self, t: Float[Tensor, "batch"]) -> Float[Tensor, "batch embedding"]:
        exponents = torch.arange(EMBEDDING // 2, device=t.device, dtype=t.dtype) / (EMBEDDING // 2 - 1)
        angles = t[:, None] * FASTEST**exponents
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class TimeMLP(nn.Module):
    """A multilayer perceptron on the flattened example, with the time added in each hidden layer.

    From the second hidden layer on, layers have a residual connection if their input has the same width.
    """

    def __init__(self, data: genloss.DataSpec, hidden: Sequence[int], activation: Activation) -> None:
        super().__init__()
        size = math.prod(data.event_shape)
        self.activation = activation()
        self.embedding = TimeEmbedding()
        self.layers = nn.ModuleList(nn.Linear(*widths) for widths in pairwise([size, *hidden]))
        self.times = nn.ModuleList(nn.Linear(EMBEDDING, width) for width in hidden)
        self.leave = nn.Linear([size, *hidden][-1], size)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        time, out = self.embedding(t), x.flatten(1)
        for number, (layer, with_time) in enumerate(zip(self.layers, self.times, strict=True)):
            inner = self.activation(layer(out) + with_time(time))
            out = out + inner if number and inner.shape == out.shape else inner
        value: Tensor = self.leave(out)
        return value.view_as(x)


class PlainTimeMLP(nn.Module):
    """A multilayer perceptron whose input is the flattened example concatenated with the time."""

    def __init__(self, data: genloss.DataSpec, hidden: Sequence[int], activation: Activation) -> None:
        super().__init__()
        size = math.prod(data.event_shape)
        self.layers = nn.Sequential(*mlp([size + 1, *hidden, size], activation))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        value: Tensor = self.layers(torch.cat([x.flatten(1), t[:, None]], dim=1))
        return value.view_as(x)


class ResidualBlock(nn.Module):
    """Two convolutions with a residual connection; the time scales and shifts the channels in between.

    Each example is normalised separately, which does not couple the examples of a batch.

    Source:
        Dhariwal & Nichol 2021, arXiv:2105.05233, section 3.1.
    """

    def __init__(self, inputs: int, outputs: int, activation: Activation) -> None:
        super().__init__()
        self.first = nn.Sequential(_norm(inputs), activation(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.norm = _norm(outputs)
        self.time = nn.Linear(EMBEDDING, 2 * outputs)
        self.second = nn.Sequential(activation(), nn.Conv2d(outputs, outputs, 3, padding=1))
        self.around = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        between = self.norm(self.first(x)) * (1 + scale) + shift
        out: Tensor = self.around(x) + self.second(between)
        return out


class UNet(nn.Module):
    """One residual block per entry of `hidden` on the way down, halving the image in between, and as many up.

    Source:
        Ronneberger, Fischer & Brox 2015, arXiv:1505.04597; with a time, Ho et al. 2020, arXiv:2006.11239.
    """

    def __init__(self, channels: int, hidden: Sequence[int], activation: Activation) -> None:
        super().__init__()
        first = hidden[0]
        self.time = nn.Sequential(TimeEmbedding(), nn.Linear(EMBEDDING, EMBEDDING), activation())
        self.enter = nn.Conv2d(channels, first, 3, padding=1)
        self.down = nn.ModuleList(ResidualBlock(*widths, activation) for widths in pairwise([first, *hidden]))
        self.up = nn.ModuleList(
            ResidualBlock(below + beside, beside, activation)
            for beside, below in reversed(list(pairwise(hidden)))
        )
        self.leave = nn.Sequential(_norm(first), activation(), nn.Conv2d(first, channels, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        time = self.time(t)
        x, skipped = self.down[0](self.enter(x), time), []
        for block in list(self.down)[1:]:
            skipped.append(x)
            x = block(F.avg_pool2d(x, 2, ceil_mode=True), time)
        for block in self.up:
            beside = skipped.pop()
            x = block(torch.cat([F.interpolate(x, beside.shape[2:]), beside], dim=1), time)
        out: Tensor = self.leave(x)
        return out


class UnitScale:
    """Scales data from its range to [−1, 1] and back; unbounded data is unchanged."""

    def __init__(self, data: genloss.DataSpec) -> None:
        low, high = data.value_range or (-1.0, 1.0)
        self.bounded = data.value_range is not None
        self.centre = (high + low) / 2
        self.half = (high - low) / 2

    def enter(self, x: Tensor) -> Tensor:
        """Scale data to the networks' range."""
        return (x - self.centre) / self.half if self.bounded else x

    def leave(self, x: Tensor) -> Tensor:
        """Invert `enter`."""
        return x * self.half + self.centre if self.bounded else x

    def clip(self, x: Tensor) -> Tensor:
        """Clip scaled values to the range of the data."""
        return x.clamp(-1, 1) if self.bounded else x


def per_example(values: Float[Tensor, "batch"], like: Tensor) -> Tensor:
    """Reshape one number per example to broadcast against `[batch, *event]`."""
    return values.view(-1, *[1] * (like.dim() - 1))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(1, channels)
