"""Samples as a person looks at them: a grid of images, or points in the plane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genloss.contracts.dataset import DataSpec

GRID = 8
SMALLEST_SIDE = 40
"""Pixels: a smaller image is enlarged by a whole factor, so that its pixels can be seen."""


def shows_reference(data: DataSpec) -> bool:
    """Return whether real examples are drawn behind samples of this kind."""
    return data.kind == "points" and data.event_shape == (2,)


def draw(samples: Tensor, data: DataSpec, path: Path, *, reference: Tensor | None = None) -> bool:
    """Write a PNG of samples `[count, *event]`; return whether this kind of data can be drawn.

    Args:
        samples: generated examples.
        data: what they are examples of.
        path: the file to write.
        reference: real examples, drawn behind points in the plane.
    """
    if data.kind == "image":
        path.parent.mkdir(parents=True, exist_ok=True)
        grid(samples[: GRID * GRID], data.value_range or (0.0, 1.0)).save(path)
        return True
    if shows_reference(data):
        path.parent.mkdir(parents=True, exist_ok=True)
        _scatter(samples, reference, path)
        return True
    return False


def grid(images: Tensor, value_range: tuple[float, float]) -> Image.Image:
    """Images `[count, channels, height, width]` in rows of eight, values clamped to their range."""
    low, high = value_range
    shares = (images.detach().float().cpu() - low) / (high - low)
    levels = shares.clamp(0, 1).mul(255).round().to(torch.uint8)
    count, channels, height, width = levels.shape
    factor = max(1, -(-SMALLEST_SIDE // min(height, width)))
    levels = levels.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    rows = -(-count // GRID)
    edge = 2
    down, right = height * factor + edge, width * factor + edge
    sheet = torch.full((channels, rows * down + edge, GRID * right + edge), 96, dtype=torch.uint8)
    for index, image in enumerate(levels):
        top, left = (index // GRID) * down + edge, (index % GRID) * right + edge
        sheet[:, top : top + down - edge, left : left + right - edge] = image
    pixels = sheet.permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[..., 0] if channels < 3 else pixels[..., :3])


def _scatter(samples: Tensor, reference: Tensor | None, path: Path) -> None:
    """Sample over the data, in a frame that the data alone decide; what lies outside stands at its edge."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    points = samples.detach().cpu().numpy()
    finite = np.isfinite(points).all(1)
    shown = points[finite] if reference is None else reference.detach().cpu().numpy()
    low, high = (shown.min(0), shown.max(0)) if len(shown) else (np.zeros(2), np.ones(2))
    margin = 0.25 * (high - low) + (high == low)
    low, high = low - margin, high + margin
    inside = finite & (points >= low).all(1) & (points <= high).all(1)
    if reference is not None:
        axes.scatter(shown[:, 0], shown[:, 1], s=3, color="0.75", label="data", linewidths=0)
    axes.scatter(points[inside, 0], points[inside, 1], s=3, color="#0072B2", label="samples", linewidths=0)
    if not inside.all():
        edge = np.clip(points[~inside], low, high)  # one that is NaN is counted, and has no place
        label = f"{len(edge):,} of them outside"
        axes.scatter(
            edge[:, 0],
            edge[:, 1],
            s=12,
            marker="x",
            color="#D55E00",
            label=label,
            clip_on=False,
            linewidths=0.8,
        )
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    figure.legend(
        loc="outside upper center", ncols=3, markerscale=2, frameon=False, columnspacing=1, handletextpad=0.2
    )
    figure.savefig(path)
