"""Plots of losses by step: of each objective's players over the seeds, and of a single run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File

import numpy as np

from genloss.comparison.artifacts import Artifacts
from genloss.comparison.comparison import Comparison
from genloss.comparison.report import png
from genloss.comparison.report.axes import SMALL, Axes, framed
from genloss.comparison.report.drawing import Drawing, Path, Symbol, Text, identity, stacked
from genloss.comparison.report.lines import WIDTH, Array, area, band, cut_off, line, robust, series, symbols
from genloss.comparison.report.scales import Scale
from genloss.comparison.run_journal import Line, RunJournal
from genloss.record.events import Status
from genloss.record.folder import RunFolder, read_state
from genloss.record.journal import NO_LOSSES

HEIGHT = 205.0
DASHES = ("", "6 3", "2 3", "8 3 2 3", "12 4")

Evaluations = Mapping[str, tuple[Sequence[int], Sequence[float]]]
"""The numbers of a run's evaluations by key: steps, and values."""


@dataclass(frozen=True)
class Losses:
    """The losses of one objective's player by step.

    Attributes:
        terms: name, colour and dash of each line.
        failed: whether a run that failed is shown.
    """

    objective: str
    player: str
    drawing: Drawing
    terms: tuple[tuple[str, str, str], ...]
    held_out: bool
    failed: bool


def losses(comparison: Comparison, artifacts: Artifacts, objective: str) -> list[Losses]:
    """One plot per player: the mean of each term over the seeds, with the smallest and greatest."""
    runs = comparison.of(objective)
    return _plots(
        objective,
        [artifacts.losses(run) for run in runs if run.status == Status.FINISHED],
        [artifacts.losses(run) for run in runs if run.status != Status.FINISHED],
        [artifacts.evaluations(run) for run in comparison.finished(objective)],
        max((run.cost.steps for run in runs), default=1),
    )


def loss_curves(folder: RunFolder, path: File) -> bool:
    """Draw the losses of a single run, one plot per player; return False if nothing is recorded.

    Lines are means over equal parts of the steps, so that what is drawn is not a choice of steps.
    """
    steps = read_state(folder).steps
    if not steps:
        return False
    journal = RunJournal.read(folder.journal, steps)
    plots = _plots(folder.path.name, [journal.losses], [], [journal.evaluations()], steps)
    drawings = [
        (plot.player + (" (open symbols: held-out data)" if plot.held_out else ""), with_terms(plot))
        for plot in plots
    ]
    if drawings:
        png.save(stacked(drawings, len(drawings)), path)
    return bool(drawings)


def _plots(
    objective: str,
    finished: Sequence[Mapping[str, Line]],
    others: Sequence[Mapping[str, Line]],
    evaluations: Sequence[Evaluations],
    steps: int,
) -> list[Losses]:
    keys = dict.fromkeys(
        key for lines in (*finished, *others) for key in lines if not key.endswith(NO_LOSSES)
    )
    found = []
    for player in dict.fromkeys(key.split("/")[0] for key in keys):
        own = [key for key in keys if key.startswith(f"{player}/")]
        if len(own) == 2 and own[1].endswith("/total"):  # one term: its total is the same, but for the weight
            own = own[:1]
        found.append(_plot(objective, player, own, finished, others, evaluations, steps))
    return [plot for plot in found if plot is not None]


def _plot(
    objective: str,
    player: str,
    keys: Sequence[str],
    finished: Sequence[Mapping[str, Line]],
    others: Sequence[Mapping[str, Line]],
    evaluations: Sequence[Evaluations],
    steps: int,
) -> Losses | None:
    bands = {key: band([lines[key] for lines in finished if key in lines]) for key in keys}
    left = {key: [lines[key] for lines in others if key in lines] for key in keys}
    shown = [one for one in bands.values() if one is not None]
    values = [np.concatenate([one.low, one.high]) for one in shown]
    values += [y for lines in left.values() for _, y in lines]
    ends = [one.steps for one in shown] + [x for lines in left.values() for x, _ in lines]
    if not any(np.isfinite(v).any() for v in values):
        return None
    scale, cut = robust(np.concatenate(values), log=False)
    across = Scale(0.0, max(float(steps), 1.0, *(float(x.max()) for x in ends if len(x))))
    drawing = Drawing(WIDTH, HEIGHT, f"losses of {player} by step, objective {objective}")
    axes = framed(drawing, across, scale, x_label="step", y_label=f"{player}{cut_off(cut)}")
    terms, held = [], False
    for index, key in enumerate(keys):
        (colour, shape), dash = identity(index), DASHES[index % len(DASHES)]
        name = key.split("/", 1)[1]
        terms.append((name, colour, dash))
        one = bands[key]
        if one is not None:
            area(drawing, axes, one, colour, 0.2)
            line(drawing, axes, one, colour, name, "", dash)
        for x, y in left[key]:
            _failed(drawing, axes, x, y, colour, name)
        marks = band([series(numbers.get(f"held_out/{key}")) for numbers in evaluations])
        if marks is not None:
            held = True
            symbols(drawing, axes, marks, colour, shape, f"{name} on held-out data", filled=False)
    return Losses(objective, player, drawing, tuple(terms), held, any(left.values()))


def _failed(drawing: Drawing, axes: Axes, x: Array, y: Array, colour: str, name: str) -> None:
    """A run that did not finish: a thin line with a cross at its end."""
    finite = np.isfinite(y)
    if not finite.any():
        return
    points = axes.places(x, y)
    title = f"{name} of a run that did not finish"
    drawing.add(Path(points, colour, 1.0, opacity=0.7, clip=axes.box, title=title))
    left, top = points[finite][-1]
    top = min(max(float(top), axes.box.top), axes.box.bottom)
    drawing.add(Symbol(float(left), top, "cross", 9, colour, title=title))


def with_terms(plot: Losses) -> Drawing:
    """The plot with the names of its terms below, for a picture that stands alone."""
    below = plot.drawing.height
    drawing = Drawing(
        plot.drawing.width, below + 20 * len(plot.terms), plot.drawing.label, [*plot.drawing.marks]
    )
    for row, (name, colour, dash) in enumerate(plot.terms):
        y = below + 20 * row + 12
        drawing.line(14, y - 4, 42, y - 4, colour, width=2.0, dash=dash)
        drawing.add(Text(50, y, name, SMALL))
    return drawing
