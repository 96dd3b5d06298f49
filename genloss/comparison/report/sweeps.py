"""A metric against the values of a sweep or a search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genloss.comparison.comparison import Comparison
from genloss.comparison.report.axes import SMALL, Axes, framed
from genloss.comparison.report.drawing import MUTED, Box, Drawing, Path, Symbol, Text, fitted, identity
from genloss.comparison.report.intervals import axis, sense
from genloss.comparison.report.scales import Scale, around, tick
from genloss.text import number, spread

WIDTH, HEIGHT = 350.0, 260.0
MOST_CELLS = 12
"""Values along a side of a heat map; a longer one is drawn as points."""
# The ends and three places between of matplotlib's `cividis`, which all kinds of colour vision read alike.
CIVIDIS = np.array([(0, 32, 77), (65, 77, 107), (124, 123, 120), (188, 175, 111), (255, 234, 70)]) / 255


@dataclass(frozen=True)
class Sweep:
    """Objectives that are points of a sweep over the same values.

    Attributes:
        paths: what varies.
        bases: of each objective of the YAML the points, objective to values.
        looks: of each of these objectives, the number of its colour and symbol.
    """

    paths: tuple[str, ...]
    bases: Mapping[str, Mapping[str, Mapping[str, Any]]]
    looks: Mapping[str, int]

    def values(self, path: str) -> list[Any]:
        """The distinct values of a path, in order."""
        found = [point[path] for points in self.bases.values() for point in points.values()]
        distinct = list({repr(value): value for value in found}.values())
        return sorted(distinct) if _numeric(distinct) else distinct

    def is_grid(self) -> bool:
        """Return whether there are two paths, and each pair of their values is a point."""
        if len(self.paths) != 2:
            return False
        sides = [len(self.values(path)) for path in self.paths]
        full = all(len(points) == sides[0] * sides[1] for points in self.bases.values())
        return full and max(sides) <= MOST_CELLS


def sweeps(comparison: Comparison) -> list[Sweep]:
    """The sweeps in a comparison: of objectives whose points name the same paths, where something varies."""
    bases: dict[str, dict[str, Mapping[str, Any]]] = {}
    for run in comparison.runs:
        if run.point:
            bases.setdefault(run.base or run.objective, {}).setdefault(run.objective, run.point)
    alike: dict[tuple[str, ...], dict[str, dict[str, Mapping[str, Any]]]] = {}
    for base, points in bases.items():
        common = [p for p in next(iter(points.values())) if all(p in point for point in points.values())]
        varied = tuple(p for p in common if len({repr(point[p]) for point in points.values()}) > 1)
        if varied:
            alike.setdefault(varied, {})[base] = points
    every = {base: place for place, base in enumerate(dict.fromkeys(run.base for run in comparison.runs))}
    return [
        Sweep(paths, found, every if comparison.is_search else {base: i for i, base in enumerate(found)})
        for paths, found in alike.items()
    ]


def drawings(comparison: Comparison, sweep: Sweep, metric: str) -> list[tuple[str, Drawing]]:
    """A heat map for each objective where two values make a grid, else a plot for each path."""
    if sweep.is_grid():
        return [(base, _heat_map(comparison, sweep, metric, base)) for base in sweep.bases]
    return [("", _against(comparison, sweep, metric, path)) for path in sweep.paths]


def _against(comparison: Comparison, sweep: Sweep, metric: str, path: str) -> Drawing:
    """Mean, 95% confidence interval and seeds against one value; lines where nothing else varies."""
    values = sweep.values(path)
    numeric = _numeric(values)
    place = {repr(value): float(value) if numeric else float(i) for i, value in enumerate(values)}
    across = _across([*place.values()], numeric=numeric)
    summaries = comparison.summaries[metric]
    seeds = {
        o: [
            r.metrics[metric]
            for r in comparison.finished(o)
            if math.isfinite(r.metrics.get(metric, math.nan))
        ]
        for points in sweep.bases.values()
        for o in points
    }
    outside = _reference(comparison, sweep, metric)
    ends = [end for o in seeds for end in (summaries[o].low, summaries[o].high)]
    up = axis([v for found in seeds.values() for v in found] + [outside], ends, math.nan)
    drawing = Drawing(WIDTH, HEIGHT, f"{metric} against {path}")
    label = path if numeric else ""
    axes = framed(drawing, across, up, x_label=label, y_label=sense(comparison, metric))
    if not numeric:
        _named(drawing, axes, path, values)
    if math.isfinite(outside):
        at = float(axes.up(outside))
        drawing.line(axes.box.left, at, axes.box.right, at, MUTED, width=1.5, dash="5 3")
        drawing.add(
            Text(axes.box.right, at - 4, f"{comparison.baseline} (baseline)", SMALL, "end", MUTED, halo=True)
        )
    for base, points in sweep.bases.items():
        colour, shape = identity(sweep.looks[base])
        row = sorted((place[repr(point[path])], objective) for objective, point in points.items())
        if len(sweep.paths) == 1:
            means = axes.places([x for x, _ in row], [summaries[o].mean for _, o in row])
            drawing.add(Path(means, colour, 2.0, clip=axes.box, title=base))
        for x, objective in row:
            at = float(axes.across(x))
            for value in seeds[objective]:
                drawing.add(Symbol(at, float(axes.up(value)), size=4.5, colour=colour, opacity=0.4))
            summary = summaries[objective]
            if not summary.count:
                continue
            said = spread(summary.mean, summary.half_width)
            title = f"{objective}: {metric} {said}, {summary.count} seeds"
            if math.isfinite(summary.low) and len(sweep.paths) == 1:
                low = summary.low if summary.low > 0 or not up.log else up.low
                bar = axes.places([x, x], [low, summary.high])
                drawing.add(Path(bar, colour, 1.8, clip=axes.box, title=title))
            drawing.add(Symbol(at, float(axes.up(summary.mean)), shape, 9, colour, title=title))
    return drawing


def _reference(comparison: Comparison, sweep: Sweep, metric: str) -> float:
    """The baseline's mean, where it is not a point of the sweep; a search has none."""
    points = {objective for found in sweep.bases.values() for objective in found}
    if comparison.is_search or comparison.baseline in points:
        return math.nan
    return comparison.summaries[metric][comparison.baseline].mean


def _heat_map(comparison: Comparison, sweep: Sweep, metric: str, base: str) -> Drawing:
    """The metric's mean in each cell, the better the lighter."""
    first, second = sweep.paths
    columns, rows = sweep.values(first), sweep.values(second)
    summaries = comparison.summaries[metric]
    means = {
        (repr(point[first]), repr(point[second])): (objective, summaries[objective].mean)
        for objective, point in sweep.bases[base].items()
    }
    finite = [mean for _, mean in means.values() if math.isfinite(mean)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    higher = comparison.metrics[metric].higher_is_better
    left = 16 + 6.4 * max(len(_said(value)) for value in rows)
    side = min((WIDTH - left - 8) / len(columns), 110.0)
    height = min(side, 46.0)
    drawing = Drawing(WIDTH, 22 + height * len(rows) + 40, f"{metric} by {first} and {second}, {base}")
    drawing.add(Text(4, 13, fitted(second, WIDTH - 8, SMALL), SMALL, colour=MUTED))
    for down, row in enumerate(rows):
        top = 22 + height * down
        drawing.add(Text(left - 6, top + height / 2 + 4, _said(row), SMALL, "end", MUTED))
        for over, column in enumerate(columns):
            objective, mean = means.get((repr(column), repr(row)), ("", math.nan))
            share = (mean - low) / (high - low) if high > low else 0.5
            colour, ink = _colour(share if higher else 1 - share)
            box = Box(left + side * over + 1, top + 1, left + side * (over + 1) - 1, top + height - 1)
            title = f"{objective}: {number(mean)}" if objective else ""
            shade = 1.0 if math.isfinite(mean) else 0.2
            drawing.add(Path(box.corners(), colour, opacity=shade, filled=True, title=title))
            text = fitted(number(mean), side, SMALL)
            drawing.add(Text((box.left + box.right) / 2, top + height / 2 + 4, text, SMALL, "middle", ink))
    bottom = 22 + height * len(rows)
    for over, column in enumerate(columns):
        text = fitted(_said(column), side, SMALL)
        drawing.add(Text(left + side * (over + 0.5), bottom + 14, text, SMALL, "middle", MUTED))
    middle = left + side * len(columns) / 2
    text = fitted(first, WIDTH - 16, SMALL)
    half = 3.1 * len(text)
    drawing.add(Text(min(max(middle, half), WIDTH - half), bottom + 32, text, SMALL, "middle", MUTED))
    return drawing


def _colour(share: float) -> tuple[str, str]:
    """A colour for a share, and that of text on it."""
    if not math.isfinite(share):
        return MUTED, "ink"
    places = np.linspace(0, 1, len(CIVIDIS))
    rgb = np.array([np.interp(share, places, CIVIDIS[:, channel]) for channel in range(3)])
    text = "#ffffff" if float(rgb @ (0.2126, 0.7152, 0.0722)) < 0.45 else "#10151a"
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb), text


def _across(places: Sequence[float], *, numeric: bool) -> Scale:
    if not numeric:
        return Scale(-0.5, len(places) - 0.5)
    positive = min(places) > 0
    return around(places, margin=0.08, log=positive and max(places) / min(places) >= 10)


def _named(drawing: Drawing, axes: Axes, path: str, values: Sequence[Any]) -> None:
    """Names in the place of ticks."""
    bottom = axes.box.bottom
    # What `framed` wrote there are the numbers of the places.
    drawing.marks = [m for m in drawing.marks if not (isinstance(m, Text) and m.y > bottom + 10)]
    room = axes.box.width / len(values)
    for index, value in enumerate(values):
        text = fitted(_said(value), room, SMALL)
        drawing.add(Text(float(axes.across(index)), bottom + 16, text, SMALL, "middle", MUTED))
    text = fitted(path, drawing.width - 8, SMALL)
    drawing.add(Text((axes.box.left + axes.box.right) / 2, bottom + 32, text, SMALL, "middle", MUTED))


def _numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)


def _said(value: Any) -> str:
    return tick(float(value)) if _numeric([value]) else str(value)
