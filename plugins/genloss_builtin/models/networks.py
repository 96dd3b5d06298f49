"""Small networks shared by the models, and the masked layers of the autoregressive model.

`mlp` takes any shape, flattened. `conv` takes images: each entry of `hidden` is a strided convolution that
halves height and width, as in DCGAN (Radford et al. 2016, arXiv:1511.06434), but without normalisation
layers, which would couple the examples of a batch. A decoder has the encoder's widths in reverse order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F

import genloss
from genloss.errors import DefinitionError

Positive = Annotated[int, Gt(0)]
Network = Literal["mlp", "conv"]
Activation = Callable[[], nn.Module]


def encoder(
    data: genloss.DataSpec,
    outputs: int,
    *,
    network: Network,
    hidden: Sequence[int],
    activation: Activation = nn.ReLU,
) -> nn.Sequential:
    """Build a network from examples `[batch, *event]` to `[batch, outputs]`.

    An activation follows each hidden layer.

    Raises:
        DefinitionError: the network does not fit the data.
    """
    _check(data, network, hidden)
    if network == "mlp":
        inputs = math.prod(data.event_shape)
        flatten = [nn.Flatten()] if len(data.event_shape) > 1 else []
        return nn.Sequential(*flatten, *mlp([inputs, *hidden, outputs], activation))
    grid = smallest(data, hidden)
    return nn.Sequential(
        *halving(data, hidden, activation), nn.Flatten(), nn.Linear(math.prod(grid), outputs)
    )


def decoder(
    data: genloss.DataSpec,
    inputs: int,
    *,
    network: Network,
    hidden: Sequence[int],
    activation: Activation = nn.ReLU,
    per_element: int = 1,
) -> nn.Sequential:
    """Build a network from `[batch, inputs]` to unbounded values `[batch, *event]`.

    An activation follows each hidden layer. The `per_element` values for each element of an example are
    concatenated along the event's first dimension, to be split by `chunk(per_element, dim=1)`.

    Raises:
        DefinitionError: the network does not fit the data.
    """
    _check(data, network, hidden)
    event = (per_element * data.event_shape[0], *data.event_shape[1:])
    if network == "mlp":
        unflatten = [nn.Unflatten(1, event)] if len(event) > 1 else []
        return nn.Sequential(*mlp([inputs, *reversed(hidden), math.prod(event)], activation), *unflatten)
    grid = smallest(data, hidden) if hidden else event
    return nn.Sequential(
        nn.Linear(inputs, math.prod(grid)),
        nn.Unflatten(1, grid),
        *doubling(data, hidden, event[0], activation),
    )


def mlp(widths: Sequence[int], activation: Activation = nn.ReLU) -> list[nn.Module]:
    """Return linear layers of the given widths, with activations in between."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), activation()]
    return layers[:-1]


def halving(
    data: genloss.DataSpec, hidden: Sequence[int], activation: Activation = nn.ReLU
) -> list[nn.Module]:
    """Return strided convolutions, each with an activation, from images to the features of `smallest`.

    Raises:
        DefinitionError: the data is not images, or the images are too small.
    """
    _check(data, "conv", hidden)
    layers: list[nn.Module] = []
    for before, after in pairwise([data.event_shape[0], *hidden]):
        layers += [nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1), activation()]
    return layers


def doubling(
    data: genloss.DataSpec, hidden: Sequence[int], outputs: int, activation: Activation = nn.ReLU
) -> list[nn.Module]:
    """Return transposed convolutions, each after an activation, from the features of `smallest` to images."""
    layers: list[nn.Module] = []
    for stage, (before, after) in enumerate(pairwise([*reversed(hidden), outputs]), start=1):
        height, width = (size >> (len(hidden) - stage) for size in data.event_shape[1:])
        # Halving an odd size dropped a row, which output_padding restores.
        odd = (height % 2, width % 2)
        layers += [
            activation(),
            nn.ConvTranspose2d(before, after, kernel_size=4, stride=2, padding=1, output_padding=odd),
        ]
    return layers


def smallest(data: genloss.DataSpec, hidden: Sequence[int]) -> tuple[int, int, int]:
    """Return channels, height and width after the last halving."""
    channels, height, width = data.event_shape
    return (hidden[-1] if hidden else channels, height >> len(hidden), width >> len(hidden))


def initialise(network: nn.Sequential) -> None:
    """Reinitialise the weights so that values keep their scale from layer to layer; zero the biases.

    Source:
        He et al. 2015, "Delving Deep into Rectifiers", arXiv:1502.01852.
    """
    for layer in network:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            fan_in: float = layer.weight[0].numel()
        elif isinstance(layer, nn.ConvTranspose2d):
            # Strides spread each input over several outputs, so each output has fewer inputs by that factor.
            fan_in = layer.weight[:, 0].numel() / math.prod(layer.stride)
        else:
            continue
        nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_in))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class Bounded(nn.Module):
    """Maps the real line to the open interval from `low` to `high` by the logistic function."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low = low
        self.high = high

    def forward(self, value: Tensor) -> Tensor:
        return torch.sigmoid(value) * (self.high - self.low) + self.low


def to_value_range(data: genloss.DataSpec) -> nn.Module:
    """Return the activation whose range is that of the data: logistic if it is bounded."""
    if data.value_range is None:
        return nn.Identity()
    return nn.Sigmoid() if data.value_range == (0, 1) else Bounded(*data.value_range)


def normal(like: Tensor, *shape: int) -> Tensor:
    """Draw from N(0, I) on the device and in the dtype of `like`."""
    return torch.randn(shape, device=like.device, dtype=like.dtype)


class MaskedLinear(nn.Linear):
    """A linear layer without the connections where `mask` `[outputs, inputs]` is zero."""

    mask: Tensor

    def __init__(self, mask: Tensor, *, bias: bool = True) -> None:
        super().__init__(mask.shape[1], mask.shape[0], bias=bias)
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight * self.mask, self.bias)


class MaskedConv2d(nn.Conv2d):
    """A convolution that depends only on earlier pixels in raster order, row by row.

    Channels are assigned to the `colours` of a pixel in turn (0, 1, 2, 0, 1, …). At the pixel itself, a
    colour depends on the colours before it (mask A of the paper), and with `see_self` also on itself (mask B,
    for layers whose input has already been masked by A).

    Source:
        van den Oord, Kalchbrenner & Kavukcuoglu 2016, "Pixel Recurrent Neural Networks", arXiv:1601.06759.
    """

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, kernel_size: int, *, colours: int, see_self: bool) -> None:
        super().__init__(inputs, outputs, kernel_size, padding=kernel_size // 2)
        centre = kernel_size // 2
        mask = torch.zeros_like(self.weight, requires_grad=False)
        mask[:, :, :centre] = 1
        mask[:, :, centre, :centre] = 1
        colour_in = torch.arange(inputs) % colours
        colour_out = torch.arange(outputs)[:, None] % colours
        mask[:, :, centre, centre] = (colour_in < colour_out + see_self).to(mask)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight * self.mask, self.bias, padding=self.kernel_size[0] // 2)


class MADE(nn.Module):
    """A masked MLP in which the `outputs` at position t depend only on the `inputs` at positions before t.

    Maps `[batch, positions · inputs]` to `[batch, positions · outputs]`. As in the paper, inputs are also
    connected directly to outputs, since few hidden units depend on the last positions.

    Source:
        Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation", arXiv:1502.03509.
    """

    def __init__(self, positions: int, inputs: int, hidden: Sequence[int], outputs: int) -> None:
        super().__init__()
        # A unit of degree m depends on positions 1 … m; outputs at position t depend on degrees below t.
        first = degrees = torch.arange(positions).repeat_interleave(inputs) + 1
        last = torch.arange(positions).repeat_interleave(outputs)[:, None] + 1
        self.direct = MaskedLinear(last > first)
        self.layers = nn.Sequential()
        for width in hidden:
            spread = torch.arange(width) * (positions - 1) // width + 1
            self.layers.extend([MaskedLinear(spread[:, None] >= degrees), nn.ReLU()])
            degrees = spread
        if hidden:
            self.layers.append(MaskedLinear(last > degrees, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        direct: Tensor = self.direct(x)
        return direct + self.layers(x) if len(self.layers) else direct


def pixel_cnn(colours: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Build a masked CNN in which each colour of a pixel depends only on earlier ones in raster order.

    Maps `[batch, colours, height, width]` to `[batch, outputs · colours, height, width]`: channel
    v · colours + c is output v of colour c.

    The first layer is 7×7, the next ones are 3×3, the last is 1×1. As in the paper, a stack of such layers
    has a blind spot to the upper right, which costs likelihood but not correctness.
    """
    layers: list[nn.Module] = []
    for index, (before, after) in enumerate(pairwise([colours, *hidden, outputs * colours])):
        first, last = index == 0, index == len(hidden)
        kernel_size = 7 if first else 1 if last else 3
        layers += [MaskedConv2d(before, after, kernel_size, colours=colours, see_self=not first), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def require_images(data: genloss.DataSpec) -> None:
    """Raise DefinitionError unless an example is an image `(channels, height, width)`."""
    if data.kind != "image" or len(data.event_shape) != 3:
        raise DefinitionError(
            f"`network: conv` needs images (channels, height, width), but this data is {data.kind} of shape "
            f"{data.event_shape}",
            hint="use `network: mlp`, which takes any shape",
        )


def _check(data: genloss.DataSpec, network: Network, hidden: Sequence[int]) -> None:
    if data.kind == "tokens":
        raise DefinitionError(
            "this model is for continuous data, but the data is tokens",
            hint="use `autoregressive` for tokens",
        )
    if network == "conv":
        require_images(data)
        if min(smallest(data, hidden)) < 1:
            size = min(data.event_shape[1:])
            raise DefinitionError(
                f"`hidden` has {len(hidden)} layers, each halving the image, whose shorter side is {size}",
                hint=f"give at most {size.bit_length() - 1} with `network: conv`",
            )
