"""Plots of each objective's interval and of the differences to the baseline, one row per objective."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from genloss.comparison.comparison import Comparison
from genloss.comparison.report.axes import SMALL, Axes, across
from genloss.comparison.report.drawing import (
    GRID,
    INK,
    MUTED,
    Box,
    Drawing,
    Symbol,
    Text,
    fitted,
    identity,
)
from genloss.comparison.report.scales import Scale, around
from genloss.text import number, p_value, spread

WIDTH = 350.0
ROW = 38.0
ROOM = 0.75
"""An interval is shown whole if the axis grows by no more than this share of what the seeds need."""
FAR = 3.0
"""A reference is on the axis if that grows to no more than this many times what the seeds need."""


def intervals(comparison: Comparison, metric: str) -> Drawing:
    """Every seed's number, the mean and its 95% confidence interval for each objective, and the reference as
    a line.
    """
    summaries = comparison.summaries[metric]
    seeds = {
        o: {r.seed: r.metrics[metric] for r in comparison.finished(o) if metric in r.metrics}
        for o in comparison.objectives
    }
    reference = comparison.references.get(metric, math.nan)
    values = [v for by_seed in seeds.values() for v in by_seed.values() if math.isfinite(v)]
    ends = [end for s in summaries.values() for end in (s.low, s.high)]
    scale = axis(values, ends, reference)
    drawing, axes = _rows(
        f"{metric}: every seed, mean and 95% confidence interval of each objective",
        len(comparison.objectives),
        scale,
        sense(comparison, metric),
    )
    if math.isfinite(reference):
        _reference(drawing, axes, reference)
    for index, objective in enumerate(comparison.objectives):
        summary, (colour, shape) = summaries[objective], identity(index)
        baseline = objective == comparison.baseline
        said = spread(summary.mean, summary.half_width) if summary.count else "no number"
        y = _labelled(
            drawing, axes, index, objective + (" (baseline)" if baseline else ""), said, bold=baseline
        )
        for place, (seed, value) in enumerate(seeds[objective].items()):
            if math.isfinite(value):
                at = float(axes.across(value))
                title = f"{objective}, seed {seed}: {number(value)}"
                drawing.add(
                    Symbol(at, y + 3.5 * (place % 3 - 1), size=5, colour=colour, opacity=0.5, title=title)
                )
        if not summary.count:
            continue
        title = f"{objective}: mean {said} of {summary.count} seeds"
        _bar(drawing, axes, y, summary.low, summary.high, colour, title)
        drawing.add(Symbol(float(axes.across(summary.mean)), y, shape, 11, colour, title=title))
    return drawing


def differences(comparison: Comparison, metric: str) -> Drawing:
    """The paired differences to the baseline: of every seed, their mean and its 95% confidence interval."""
    found = [d for d in comparison.differences if d.metric == metric]
    places = {objective: index for index, objective in enumerate(comparison.objectives)}
    values = [value for d in found for value in d.by_seed.values()]
    ends = [end for d in found for end in (d.low, d.high)]
    scale = axis([*values, 0.0], ends, math.nan, log=False)
    drawing, axes = _rows(
        f"{metric}: paired differences to {comparison.baseline}",
        len(found),
        scale,
        f"difference to {comparison.baseline}{_unit(comparison, metric)}",
    )
    zero = float(axes.across(0.0))
    drawing.line(zero, axes.box.top, zero, axes.box.bottom, MUTED, width=1.0)
    higher = comparison.metrics[metric].higher_is_better
    for sign, anchor in ((-1, "end"), (1, "start")):
        word = "better" if (sign > 0) == higher else "worse"
        arrow = f"{word} →" if sign > 0 else f"← {word}"
        room = axes.box.right - zero if sign > 0 else zero - axes.box.left
        if room > 52:
            drawing.add(Text(zero + 6 * sign, axes.box.top - 4, arrow, SMALL, anchor, MUTED))
    for index, difference in enumerate(found):
        colour, shape = identity(places[difference.objective])
        said = f"p = {p_value(difference.p_holm)}" if difference.seeds > 1 else "no test"
        if difference.significant:
            said += ", better" if difference.better else ", worse"
        y = _labelled(drawing, axes, index, difference.objective, said, bold=difference.significant)
        for place, (seed, value) in enumerate(difference.by_seed.items()):
            title = f"{difference.objective}, seed {seed}: {number(value)}"
            at = float(axes.across(value))
            drawing.add(
                Symbol(at, y + 3.5 * (place % 3 - 1), size=5, colour=colour, opacity=0.5, title=title)
            )
        if not difference.seeds:
            continue
        title = f"{difference.objective}: {said}"
        _bar(drawing, axes, y, difference.low, difference.high, colour, title)
        drawing.add(
            Symbol(
                float(axes.across(difference.mean)),
                y,
                shape,
                11,
                colour,
                filled=difference.significant,
                title=title,
            )
        )
    return drawing


def heading(comparison: Comparison, metric: str) -> str:
    """The metric's name with its unit."""
    return f"{metric}{_unit(comparison, metric)}"


def sense(comparison: Comparison, metric: str) -> str:
    """The metric's unit, and where it gets better."""
    better = f"{'higher' if comparison.metrics[metric].higher_is_better else 'lower'} is better"
    return f"{_unit(comparison, metric)}, {better}".removeprefix(", ")


def _unit(comparison: Comparison, metric: str) -> str:
    unit = comparison.metrics[metric].unit
    return "" if unit in ("1", "") else f", {unit}"


def _rows(label: str, count: int, scale: Scale, below: str) -> tuple[Drawing, Axes]:
    drawing = Drawing(WIDTH, 18 + ROW * count + 44, label)
    box = Box(14, 18, WIDTH - 14, 18 + ROW * count + 4)
    axes = Axes(box, scale, Scale(0, 1))
    for value in scale.ticks(int(box.width / 55)):
        at = float(axes.across(value))
        drawing.line(at, box.top, at, box.bottom, GRID, width=1.0)
    across(drawing, axes, below)
    return drawing, axes


def _labelled(drawing: Drawing, axes: Axes, index: int, name: str, said: str, *, bold: bool) -> float:
    """Write a row's name and number above its line, and return the line's place."""
    top = axes.box.top + ROW * index
    room = WIDTH - 24 - 6.8 * len(said)
    drawing.add(Text(4, top + 12, fitted(name, room, 12), 12, bold=bold, halo=True, title=name))
    drawing.add(Text(WIDTH - 4, top + 12, said, SMALL, "end", MUTED, halo=True))
    return top + 26


def _bar(drawing: Drawing, axes: Axes, y: float, low: float, high: float, colour: str, title: str) -> None:
    """An interval; an arrow where it goes on beyond the axis."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return
    least, most = axes.box.left, axes.box.right
    # On a logarithmic axis there is no place for an end at or below 0.
    left = float(axes.across(low)) if low > 0 or not axes.x.log else -math.inf
    right = float(axes.across(high)) if high > 0 or not axes.x.log else math.inf
    drawing.line(max(left, least), y, min(right, most), y, colour, width=2.5, title=title)
    for at, outside, shape in ((left, left < least, "left"), (right, right > most, "right")):
        if outside:
            drawing.add(Symbol(least if shape == "left" else most, y, shape, 8, colour, title=title))
        else:
            drawing.line(at, y - 5, at, y + 5, colour, width=1.5)


def _reference(drawing: Drawing, axes: Axes, reference: float) -> None:
    at = float(axes.across(reference)) if reference > 0 or not axes.x.log else -math.inf
    said, (left, right) = f"real data {number(reference)}", (axes.box.left, axes.box.right)
    if left <= at <= right:
        drawing.line(at, axes.box.top - 2, at, axes.box.bottom, INK, width=1.2, dash="4 3")
    half = 3.6 * len(said) + 4
    if at < left:
        said, at = f"← {said}", left
    elif at > right:
        said, at = f"{said} →", right
    drawing.add(Text(min(max(at, half), WIDTH - half), axes.box.top - 6, said, SMALL, "middle", MUTED))


def axis(
    values: Sequence[float], ends: Sequence[float], reference: float, *, log: bool | None = None
) -> Scale:
    """An axis for the seeds; intervals and a reference take part as far as they leave room for the seeds."""
    shown = [value for value in values if math.isfinite(value)]
    if not shown:
        return around([reference])
    scale = around(shown, log=log)
    wanted = [end for end in ends if math.isfinite(end) and (end > 0 or not scale.log)]
    low, high = _grown(scale, wanted, ROOM)
    shown += [low, high] if len(set(shown)) > 1 else wanted
    if math.isfinite(reference) and (reference > 0 or not scale.log):
        with_reference = around([*shown, reference], log=scale.log)
        without = around(shown, log=scale.log)
        if _length(with_reference) <= FAR * _length(without):
            shown.append(reference)
    return around(shown, log=scale.log)


def _grown(scale: Scale, wanted: Sequence[float], most: float) -> tuple[float, float]:
    """The ends of an axis, moved out to what is wanted, but by no more than a share of its length."""
    places = [float(scale(value)) for value in wanted]
    low, high = max(min([0.06, *places]), -most), min(max([0.94, *places]), 1 + most)
    if scale.log:
        ratio = scale.high / scale.low
        return scale.low * ratio**low, scale.low * ratio**high
    span = scale.high - scale.low
    return scale.low + low * span, scale.low + high * span


def _length(scale: Scale) -> float:
    return math.log(scale.high / scale.low) if scale.log else scale.high - scale.low


def decisions(comparison: Comparison) -> Mapping[tuple[str, str], str]:
    """By metric and objective `better` or `worse` than the baseline, where that is significant."""
    return {
        (d.metric, d.objective): "better" if d.better else "worse"
        for d in comparison.differences
        if d.significant
    }
