"""Patches of two photographs: natural colour images that need no download."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

import genloss
from genloss.errors import RequestError
from genloss_builtin.datasets._files import Fields, images_of_bytes, scaled


@genloss.dataset
def photo_patches(
    *,
    size: Annotated[int, Ge(2)] = 16,
    stride: Annotated[int, Ge(1)] | None = None,
    held_out: Annotated[float, Ge(0.05), Le(0.95)] = 0.25,
) -> genloss.Data:
    """Square RGB patches of two photographs; by default 5,720 to train on and 1,560 held out.

    Fields: `x` `[batch, 3, size, size]` in [0, 1] (level / 255); `label` `[batch]`: 0 for the photograph of a
    temple, 1 for that of a flower.

    Patches are on a grid; with the default stride, neighbours share half of their pixels. Each photograph,
    640 × 427 pixels, is cut into vertical strips, and the right end of every strip is held out, so that no
    pixel is in both parts. Strips are as narrow as possible with room for two adjacent held-out patches, so
    that both parts cover the whole photograph.

    Options:
        size: side of a patch, in pixels; 16 by default.
        stride: distance between neighbouring patches, in pixels; half the size by default.
        held_out: share of each strip to hold out; 0.25 by default.

    Source: china.jpg and flower.jpg of scikit-learn's `load_sample_images`.

    Raises:
        RequestError: the patches do not fit into a part of the photographs.
    """
    from sklearn.datasets import load_sample_images

    parts: dict[str, list[Fields]] = {"train": [], "held_out": []}
    for label, levels in enumerate(load_sample_images().images):
        photograph = torch.from_numpy(scaled(levels)).movedim(-1, 0)
        for strip in photograph.tensor_split(_strips(photograph.shape[2], size, held_out), dim=2):
            pieces = strip.tensor_split([round((1 - held_out) * strip.shape[2])], dim=2)
            for part, piece in zip(parts.values(), pieces, strict=True):
                x = _patches(piece, size, stride or max(1, size // 2))
                part.append({"x": x, "label": torch.full((len(x),), label)})
    train, unseen = (
        {name: torch.cat([fields[name] for fields in part]) for name in ("x", "label")}
        for part in parts.values()
    )
    return images_of_bytes(genloss.Stored(train), genloss.Stored(unseen))


def _strips(width: int, size: int, held_out: float) -> int:
    """Return the number of strips a photograph is cut into."""
    return max(1, int(held_out * width / (2 * size)))


def _patches(pixels: Tensor, size: int, stride: int) -> Tensor:
    """Cut a part `[C, H, W]` of a photograph into patches `[N, C, size, size]` on a grid."""
    if size > min(pixels.shape[1:]):
        raise RequestError(
            f"patches of {size} × {size} pixels do not fit into a part of "
            f"{pixels.shape[2]} × {pixels.shape[1]} pixels of a photograph",
            hint="give a smaller `size`, or a `held_out` closer to 0.5",
        )
    windows = pixels.unfold(1, size, stride).unfold(2, size, stride)
    return windows.movedim(0, 2).reshape(-1, len(pixels), size, size)
