"""The frame of a plot: grid, ticks and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genloss.comparison.report.drawing import GRID, MUTED, Box, Drawing, Text, fitted
from genloss.comparison.report.scales import Scale, tick

SMALL = 11.5
"""Pixels of the type of ticks and axes."""


@dataclass(frozen=True)
class Axes:
    """A frame with its scales."""

    box: Box
    x: Scale
    y: Scale

    def places(self, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Pixels `[count, 2]` of values."""
        return np.stack([self.across(x), self.up(y)], axis=-1)

    def across(self, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return self.box.left + self.x(x) * self.box.width

    def up(self, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return self.box.bottom - self.y(y) * self.box.height


def framed(drawing: Drawing, x: Scale, y: Scale, *, x_label: str = "", y_label: str = "") -> Axes:
    """Draw a grid with ticks on both axes; the y label stands above its axis, where it needs no turning."""
    ticks = [(value, tick(value)) for value in y.ticks(max(3, int(drawing.height / 40)))]
    widest = max((len(text) for _, text in ticks), default=1)
    box = Box(14 + 6.7 * widest, 24 if y_label else 10, drawing.width - 12, drawing.height - 38)
    axes = Axes(box, x, y)
    for value, text in ticks:
        at = float(axes.up(value))
        drawing.line(box.left, at, box.right, at, GRID, width=1.0)
        drawing.add(Text(box.left - 6, at + 4, text, SMALL, "end", MUTED))
    across(drawing, axes, x_label)
    if y_label:
        log = " (log scale)" if y.log else ""
        drawing.add(
            Text(4, 13, fitted(y_label, drawing.width - 8 - 6 * len(log), SMALL) + log, SMALL, colour=MUTED)
        )
    return axes


def across(drawing: Drawing, axes: Axes, label: str) -> None:
    """Draw the x axis below, with its ticks and label."""
    box = axes.box
    drawing.line(box.left, box.bottom, box.right, box.bottom, MUTED, width=1.0)
    last = -1e9
    for value in axes.x.ticks(max(2, int(box.width / 55))):
        at, text = float(axes.across(value)), tick(value)
        half = 3.2 * len(text)
        drawing.line(at, box.bottom, at, box.bottom + 4, MUTED, width=1.0)
        middle = min(max(at, half + 1), drawing.width - half - 1)
        if middle - half > last + 4:
            drawing.add(Text(middle, box.bottom + 16, text, SMALL, "middle", MUTED))
            last = middle + half
    if label:
        log = " (log scale)" if axes.x.log else ""
        text = fitted(label, drawing.width - 8 - 6 * len(log), SMALL) + log
        drawing.add(Text((box.left + box.right) / 2, box.bottom + 32, text, SMALL, "middle", MUTED))
