"""Drawings as PNG files: dark on white, for slides and papers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from genloss.comparison.report.drawing import (
    SHADES,
    Drawing,
    Path,
    Symbol,
    Text,
    extent,
    shown,
    symbol_points,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.transforms import Affine2D

DPI = 150
PIXELS = 100
"""Of a drawing, in an inch."""

POINT = 72 / PIXELS
DARK = "#1b1f23"
ANCHORS: Mapping[str, Literal["left", "center", "right"]] = {
    "start": "left",
    "middle": "center",
    "end": "right",
}
MARGIN = 16.0
"""Pixels of a drawing that stay white at the right and below; `stacked` leaves some elsewhere."""
LARGEST = 12_000
"""Pixels of a drawing's side; what is longer is made smaller."""


def save(placed: Sequence[tuple[float, float, Drawing]], path: File) -> None:
    """Write drawings, each in its place, as one picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.transforms import Affine2D

    width, height = (side + MARGIN for side in extent(placed))
    dpi = min(DPI, LARGEST * PIXELS / max(width, height))
    figure = Figure(figsize=(width / PIXELS, height / PIXELS), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    scale = dpi / PIXELS
    for x, y, drawing in placed:
        # The figure's places are pixels of the picture, from its lower left corner.
        transform = Affine2D().translate(x, y - height).scale(scale, -scale)
        for mark in drawing.marks:
            figure.add_artist(_artist(mark, transform))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, dpi=dpi, metadata={"Software": None}, pil_kwargs={"compress_level": 4})


def _artist(mark: Path | Symbol | Text, transform: Affine2D) -> Artist:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Circle, PathPatch, Rectangle
    from matplotlib.path import Path as Outline
    from matplotlib.text import Text as Label

    colour = DARK if mark.colour in SHADES else mark.colour
    shade = SHADES.get(mark.colour, 1.0)
    if isinstance(mark, Text):
        return Label(
            mark.x,
            mark.y,
            shown(mark.text),
            size=mark.size * POINT,
            color=colour,
            alpha=shade,
            weight="bold" if mark.bold else "normal",
            horizontalalignment=ANCHORS[mark.anchor],
            verticalalignment="baseline",
            parse_math=False,
            bbox={"facecolor": "white", "linewidth": 0, "pad": 1.0} if mark.halo else None,
            transform=transform,
        )
    alpha = mark.opacity * shade
    if isinstance(mark, Symbol):
        paint: dict[str, Any] = {"facecolor": colour, "linewidth": 0}
        if not mark.filled:
            paint = {"facecolor": "none", "edgecolor": colour, "linewidth": 1.6 * POINT}
        if mark.shape == "circle":
            return Circle((mark.x, mark.y), mark.size / 2, alpha=alpha, transform=transform, **paint)
        corners = symbol_points(mark)
        outline = Outline(np.concatenate([corners, corners[:1]]), closed=True)
        return PathPatch(outline, alpha=alpha, transform=transform, **paint)
    drawn: Artist
    if mark.filled:
        area = Outline(mark.points)
        drawn = PathPatch(area, facecolor=colour, alpha=alpha, linewidth=0, transform=transform)
    else:
        dash = tuple(float(part) / mark.width for part in mark.dash.split())
        drawn = Line2D(
            mark.points[:, 0],
            mark.points[:, 1],
            color=colour,
            alpha=alpha,
            linewidth=mark.width * POINT,
            linestyle=(0, dash) if dash else "-",
            transform=transform,
        )
    if mark.clip is not None:
        box = mark.clip
        drawn.set_clip_path(Rectangle((box.left, box.top), box.width, box.height, transform=transform))
    return drawn
