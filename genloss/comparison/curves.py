"""Loss curves as figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genloss.record import journal
from genloss.record.events import Column
from genloss.record.folder import RunFolder, read_state
from genloss.record.frame import Values
from genloss.record.journal import NO_LOSSES

# Okabe and Ito's colours, which all kinds of colour vision tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
POINTS = 400


def loss_curves(folder: RunFolder, path: Path) -> bool:
    """Draws a run's loss terms, a panel a player, with the held-out values as dots; False if there are none.

    Thin lines are means over 1/400 of the steps, so that what is drawn is not a choice of steps.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    record = read_state(folder)
    if not record.steps:
        return False
    blocks = (frame for frame, _ in journal.read(folder.journal) if isinstance(frame, Values))
    lines = means(blocks, record.columns, record.steps)
    keys = [column.key for column in record.columns]
    players = list(dict.fromkeys(key.split("/")[0] for key in keys))
    figure = Figure(figsize=(4.6 * len(players) + 0.4, 3.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for panel, player in enumerate(players, 1):
        axes = figure.add_subplot(1, len(players), panel)
        terms = [(i, c) for i, c in enumerate(record.columns) if c.key.startswith(f"{player}/")]
        terms = [(i, c) for i, c in terms if not c.key.endswith(NO_LOSSES)]
        if len(terms) == 2:  # one term: its total is the same, but for the weight
            terms = terms[:1]
        for colour, (index, column) in zip(COLOURS * len(terms), terms, strict=False):
            axes.plot(*lines[index], color=colour, lw=1.2, label=column.key.split("/")[1])
            held_out = {
                s: n[f"held_out/{column.key}"]
                for s, n in record.evaluations.items()
                if f"held_out/{column.key}" in n
            }
            if held_out:
                axes.plot(list(held_out), list(held_out.values()), "o", ms=4, color=colour, mfc="white")
        axes.set_title(player, fontsize=10)
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    if any(key.startswith("held_out/") for numbers in record.evaluations.values() for key in numbers):
        figure.supxlabel("○ on held-out data", fontsize=8, color="0.4", x=0.99, ha="right")
    figure.savefig(path)
    return True


def means(
    blocks: Iterable[Values], columns: Sequence[Column], steps: int, parts: int = POINTS
) -> list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """For each column the means of its steps and values, over equal parts of all steps.

    Only one block is looked at at a time: a long run's values are more than a process should hold.

    Args:
        blocks: of the run's values.
        columns: what a row holds.
        steps: of the run.
        parts: how many, if there are as many steps.
    """
    parts = min(parts, steps)
    # Of each column and part: how many values, the sum of their steps, and their own sum.
    counted, stepped, summed = np.zeros((3, len(columns), parts))
    for block in blocks:
        for index, column in enumerate(columns):
            series = block.column(index, column)
            part = series.steps * parts // steps
            counted[index] += np.bincount(part, minlength=parts)
            stepped[index] += np.bincount(part, series.steps, parts)
            with np.errstate(invalid="ignore"):  # +inf and -inf in one part are NaN
                summed[index] += np.bincount(part, series.values, parts)
    return [
        (places[many > 0] / many[many > 0], sums[many > 0] / many[many > 0])
        for many, places, sums in zip(counted, stepped, summed, strict=True)
    ]
