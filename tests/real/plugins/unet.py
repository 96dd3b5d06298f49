"""The U-Net of `diffusers`: group norms, attention, and an output that is a dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

import genloss


class UNetTurn(genloss.Turn["Unet"]):
    """What a diffusion model offers, with times in steps."""

    @cached_property
    def _step(self) -> Tensor:
        return torch.randint(self.model.steps, (len(self.x),), device=self.x.device)

    @cached_property
    def _signal(self) -> Tensor:
        return self.model.signal[self._step].to(self.x.dtype)

    @cached_property
    def snr(self) -> Float[Tensor, "batch"]:
        """The signal-to-noise ratio."""
        return self._signal / (1 - self._signal)

    @cached_property
    def target(self) -> Float[Tensor, "batch *event"]:
        """The noise."""
        return torch.randn_like(self.x)

    @cached_property
    def prediction(self) -> Float[Tensor, "batch *event"]:
        """The network's estimate of the noise."""
        signal = self._signal.view(-1, 1, 1, 1)
        noisy = signal.sqrt() * self.x + (1 - signal).sqrt() * self.target
        return self.model.network(noisy, self._step).sample

    @cached_property
    def parameterization(self) -> str:
        """What the network predicts."""
        return "epsilon"


class Unet(genloss.Model):
    """A small diffusion model of images."""

    steps = 100

    def __init__(self, data: genloss.DataSpec, *, width: int = 8) -> None:
        from diffusers import UNet2DModel

        super().__init__(data)
        channels, height, _ = data.event_shape
        self.network = UNet2DModel(
            sample_size=height,
            in_channels=channels,
            out_channels=channels,
            layers_per_block=1,
            block_out_channels=(width, width),
            norm_num_groups=4,
            attention_head_dim=4,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        )
        self.register_buffer("signal", torch.linspace(0.999, 0.01, self.steps), persistent=False)

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": UNetTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """One estimate of the data from noise."""
        noise = torch.randn(count, *self.data.event_shape)
        last = torch.full((count,), self.steps - 1)
        return noise - self.network(noise, last).sample


@genloss.hookimpl
def genloss_models():
    yield Unet
