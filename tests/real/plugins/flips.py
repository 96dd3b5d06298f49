"""Images that are flipped at random when they are read."""

from __future__ import annotations

import random
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.utils.data import Dataset

import genloss


class Flipped(Dataset[Mapping[str, Tensor]]):
    """Stripes, half of them flipped, with a little noise."""

    def __init__(self, size: int) -> None:
        rows = torch.linspace(0, 1, 8).expand(size, 1, 8, 8)
        self.images = rows * torch.linspace(0.2, 1, size).view(-1, 1, 1, 1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        image = self.images[index]
        if torch.rand(()) < 0.5:
            image = image.flip(-1)
        return {"x": (image + 0.01 * random.random()).clamp(0, 1)}


@genloss.dataset
def flipped_stripes(*, size: int = 64) -> genloss.Data:
    """Stripes that are flipped at random."""
    spec = genloss.DataSpec((1, 8, 8), "image", size, value_range=(0.0, 1.0))
    return genloss.Data(spec, Flipped(size), Flipped(16), digest=f"flipped stripes {size}")


@genloss.hookimpl
def genloss_datasets():
    yield flipped_stripes
