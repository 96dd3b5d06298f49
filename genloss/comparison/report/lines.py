"""Curves by step, with bands over the seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genloss.comparison.artifacts import Artifacts
from genloss.comparison.comparison import Comparison
from genloss.comparison.report.axes import SMALL, Axes, framed
from genloss.comparison.report.drawing import INK, MUTED, Drawing, Path, Symbol, Text, identity
from genloss.comparison.report.intervals import sense
from genloss.comparison.report.scales import Scale, around

Array = npt.NDArray[np.float64]

WIDTH, HEIGHT = 350.0, 250.0
TOGETHER = 7
"""As many objectives are shown in one plot; of more, each gets one of its own."""
MARKED = 25
"""A curve with more points has no symbols on it."""
DASHES = ("", "6 3", "2 3", "8 3 2 3", "12 4")
EXTREME = 5.0
"""An axis leaves extremes out that would make it this many times as long."""


@dataclass(frozen=True)
class Band:
    """Of several seeds at the same steps: mean, smallest and greatest of the values that are finite."""

    steps: Array
    mean: Array
    low: Array
    high: Array
    seeds: int


def band(lines: Sequence[tuple[Array, Array]]) -> Band | None:
    """The band of some lines: at the steps of the longest, between which the others are straight."""
    lines = [(x, y) for x, y in lines if len(x)]
    if not lines:
        return None
    steps = max((x for x, _ in lines), key=len)
    rows = np.stack(
        [y if np.array_equal(x, steps) else np.interp(steps, x, y, np.nan, np.nan) for x, y in lines]
    )
    counts = np.isfinite(rows).sum(0)
    held = np.where(np.isfinite(rows), rows, np.nan)
    mean, low, high = (np.full(len(steps), np.nan) for _ in range(3))
    some = counts > 0
    mean[some] = np.nanmean(held[:, some], axis=0)
    low[some], high[some] = np.nanmin(held[:, some], axis=0), np.nanmax(held[:, some], axis=0)
    return Band(steps, mean, low, high, len(lines))


def metric_bands(
    comparison: Comparison, artifacts: Artifacts, metric: str, objectives: Sequence[str]
) -> dict[str, Band]:
    """Of the objectives' finished runs the metric by step; those that were evaluated once are left out."""
    found = {}
    for objective in objectives:
        lines = [
            series(artifacts.evaluations(run).get(f"eval/{metric}")) for run in comparison.finished(objective)
        ]
        one = band(lines)
        if one is not None and len(one.steps) > 1:
            found[objective] = one
    return found


def learning_curves(
    comparison: Comparison, metric: str, bands: Mapping[str, Band]
) -> list[tuple[str, Drawing]]:
    """The metric by step: all objectives in one plot, or a plot each where there are many."""
    objectives = {name: index for index, name in enumerate(comparison.objectives)}
    reference = comparison.references.get(metric, math.nan)
    ends = [x for b in bands.values() for x in (float(b.steps[0]), float(b.steps[-1]))]
    values = np.concatenate([np.concatenate([b.low, b.high]) for b in bands.values()])
    scale, cut = robust(values)
    if math.isfinite(reference) and (reference > 0 or not scale.log):
        wider = around([scale.low, scale.high, reference], log=scale.log, margin=0.02)
        if scale.log or wider.high - wider.low <= 3 * (scale.high - scale.low):
            scale = wider
    across = Scale(min(0.0, *ends), max(ends))
    together = len(comparison.objectives) <= TOGETHER
    parts: list[tuple[str, list[str]]] = (
        [("", list(bands))] if together else [(name, [name]) for name in bands]
    )
    drawn = []
    for name, shown in parts:
        drawing = Drawing(WIDTH, HEIGHT, f"{metric} by step{f', {name}' if name else ''}")
        axes = framed(
            drawing, across, scale, x_label="step", y_label=sense(comparison, metric) + cut_off(cut)
        )
        if math.isfinite(reference):
            _level(drawing, axes, reference, "real data")
        if not together and name != comparison.baseline and comparison.baseline in bands:
            base = bands[comparison.baseline]
            points = axes.places(base.steps, base.mean)
            drawing.add(
                Path(points, MUTED, 1.5, "5 3", clip=axes.box, title=f"{comparison.baseline} (baseline)")
            )
        for one in shown:
            colour, shape = identity(objectives[one])
            area(drawing, axes, bands[one], colour, 0.13 if together else 0.25)
        for one in shown:
            colour, shape = identity(objectives[one])
            line(drawing, axes, bands[one], colour, one, shape)
        drawn.append((name, drawing))
    return drawn


def robust(values: Array, *, log: bool | None = None) -> tuple[Scale, bool]:
    """An axis for values, and whether extremes are left out of it, which would leave no room for the rest."""
    finite = values[np.isfinite(values)]
    whole = around(finite.tolist(), log=log)
    if whole.log or len(finite) < 20:
        return whole, False
    low, high = np.quantile(finite, [0.02, 0.98])
    rest = around([float(low), float(high)], margin=0.2, log=False)
    if whole.high - whole.low > EXTREME * (rest.high - rest.low):
        return rest, True
    return whole, False


def cut_off(cut: bool) -> str:
    return " (extremes cut off)" if cut else ""


def series(found: tuple[Sequence[int], Sequence[float]] | None) -> tuple[Array, Array]:
    steps, values = found if found is not None else ((), ())
    return np.array(steps, np.float64), np.array(values, np.float64)


def area(drawing: Drawing, axes: Axes, one: Band, colour: str, opacity: float) -> None:
    if one.seeds < 2:
        return
    some = np.isfinite(one.low)
    forth = axes.places(one.steps[some], _above(axes.y, one.low[some]))
    back = axes.places(one.steps[some], one.high[some])[::-1]
    drawing.add(Path(np.concatenate([forth, back]), colour, opacity=opacity, filled=True, clip=axes.box))


def _above(scale: Scale, values: Array) -> Array:
    return np.maximum(values, scale.low) if scale.log else values


def line(
    drawing: Drawing, axes: Axes, one: Band, colour: str, title: str, shape: str, dash: str = ""
) -> None:
    drawing.add(Path(axes.places(one.steps, one.mean), colour, 2.0, dash, clip=axes.box, title=title))
    if shape and len(one.steps) <= MARKED:
        symbols(drawing, axes, one, colour, shape, title)


def symbols(
    drawing: Drawing, axes: Axes, one: Band, colour: str, shape: str, title: str, *, filled: bool = True
) -> None:
    every = max(1, math.ceil(len(one.steps) / MARKED))
    for step, mean in list(zip(one.steps.tolist(), one.mean.tolist(), strict=True))[::-every]:
        x, y = float(axes.across(step)), float(axes.up(mean))
        if axes.box.top - 1 <= y <= axes.box.bottom + 1:
            drawing.add(
                Symbol(x, y, shape, 7, colour, filled=filled, title=f"{title}, step {step:g}: {mean:.4g}")
            )


def _level(drawing: Drawing, axes: Axes, value: float, name: str) -> None:
    at = float(axes.up(value)) if value > 0 or not axes.y.log else math.inf
    if axes.box.top <= at <= axes.box.bottom:
        drawing.line(axes.box.left, at, axes.box.right, at, INK, width=1.2, dash="4 3", title=name)
        drawing.add(Text(axes.box.right, at - 4, name, SMALL, "end", MUTED, halo=True))


def legend(names: Sequence[tuple[str, str, str]], width: float) -> Drawing:
    """Names with their colours and symbols, in rows, for a picture that stands alone."""
    drawing = Drawing(width, 0)
    x, y = 14.0, 16.0
    for name, colour, shape in names:
        needed = 26 + 6.8 * len(name)
        if x > 14 and x + needed > width:
            x, y = 14.0, y + 20
        drawing.add(Symbol(x + 4, y - 4, shape, 10, colour), Text(x + 14, y, name, 12))
        x += needed
    drawing.height = y + 12
    return drawing
