"""The table of a study: each metric's mean ± standard deviation over the seeds, and its floor."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genloss.errors import RecordError
from genloss.record.folder import Record, RunFolder, StudyFolder, read_record

PENDING = "NOT STARTED"
NUMBER = re.compile(r"(?<!\w)-?\d[\d.,]*(e[-+]?\d+)?|\b(nan|inf)\b")

LEGEND = "mean ± standard deviation over the seeds; ↓ lower is better, ↑ higher"
FLOOR_LEGEND = "floor: what a perfect model would get"


@dataclass(frozen=True)
class RunResult:
    """How one run ended.

    Attributes:
        status: FINISHED, FAILED, KILLED, RUNNING or NOT STARTED.
        message: why it did not finish.
        hint: what to do about it.
        metrics: the last evaluation's `eval/…` numbers by name.
        duration: seconds.
        reproduce: the shell's line that trains it alone.
    """

    name: str
    objective: str
    seed: int
    status: str
    message: str
    metrics: Mapping[str, float]
    duration: float
    reproduce: str
    folder: RunFolder
    hint: str = ""

    def __repr__(self) -> str:
        return f"<run {self.name}: {self.status}>"


@dataclass(frozen=True)
class Direction:
    """What a metric's number means: where it gets better, in which unit, by which version of the metric."""

    higher_is_better: bool
    unit: str
    version: str = "1"


@dataclass(frozen=True)
class Table:
    """A study's results.

    Attributes:
        objectives: in the order of the YAML.
        metrics: with their directions, in the order of the evaluation.
        floors: what a perfect model would get, where that is known.
    """

    study: str
    objectives: tuple[str, ...]
    metrics: Mapping[str, Direction]
    runs: tuple[RunResult, ...]
    floors: Mapping[str, float]

    def __repr__(self) -> str:
        return f"<table of {self.study}: {', '.join(self.objectives)}>"

    def __str__(self) -> str:
        """The table as Markdown."""
        columns = self.columns()
        head = [columns, ["---"] + ["---:"] * (len(columns) - 1)]
        return "\n".join(f"| {' | '.join(row)} |" for row in [*head, *self.rows()])

    def _repr_html_(self) -> str:
        """The table as notebooks show it."""

        def line(cells: Sequence[str], tag: str) -> str:
            sides = ["left"] + ["right"] * (len(cells) - 1)
            return "".join(
                f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>'
                for side, cell in zip(sides, cells, strict=True)
            )

        rows = [line(self.columns(), "th"), *(line(row, "td") for row in self.rows())]
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"

    def finished(self, objective: str) -> list[RunResult]:
        return [run for run in self.runs if run.objective == objective and run.status == "FINISHED"]

    def unfinished(self) -> list[RunResult]:
        return [run for run in self.runs if run.status != "FINISHED"]

    def failures(self) -> list[list[RunResult]]:
        """The runs that failed, those together that failed alike, whatever the numbers in their messages."""
        alike: dict[str, list[RunResult]] = {}
        for run in self.runs:
            if run.status == "FAILED":
                alike.setdefault(without_numbers(run.message), []).append(run)
        return list(alike.values())

    def cell(self, objective: str, metric: str) -> str:
        """`mean ± standard deviation`; the mean alone for one seed; a dash for none."""
        numbers = [run.metrics[metric] for run in self.finished(objective) if metric in run.metrics]
        if not numbers:
            return "–"
        mean = float(np.mean(numbers))
        return number(mean) if len(numbers) == 1 else spread(mean, float(np.std(numbers, ddof=1)))

    def seeds(self, objective: str) -> str:
        """How many seeds finished, of how many if not all did."""
        done = len(self.finished(objective))
        planned = sum(run.objective == objective for run in self.runs)
        return str(done) if done == planned else f"{done} of {planned}"

    def heading(self, metric: str) -> str:
        """The metric's name with its unit and direction."""
        direction = self.metrics[metric]
        unit = "" if direction.unit == "1" else f", {direction.unit}"
        return f"{metric}{unit} {'↑' if direction.higher_is_better else '↓'}"

    def rows(self) -> list[list[str]]:
        """The rows, an objective each and the floor last."""
        rows = [
            [o, self.seeds(o), *(self.cell(o, metric) for metric in self.metrics)] for o in self.objectives
        ]
        if self.has_floor():
            floor = [number(self.floors[m]) if m in self.floors else "–" for m in self.metrics]
            rows.append(["floor", "", *floor])
        return rows

    def legend(self) -> list[str]:
        """What the cells are, in lines; none where there are none."""
        lines = [LEGEND] if self.metrics else []
        return [*lines, FLOOR_LEGEND] if self.has_floor() else lines

    def has_floor(self) -> bool:
        return any(metric in self.floors for metric in self.metrics)

    def columns(self) -> list[str]:
        return ["objective", "seeds", *(self.heading(metric) for metric in self.metrics)]


def number(value: float) -> str:
    """Four significant digits, without an exponent where that can be read."""
    return f"{value:.4g}"


def without_numbers(message: str) -> str:
    """A message that is the same for runs that failed alike."""
    return NUMBER.sub("#", message)


def spread(mean: float, deviation: float) -> str:
    """`2.31 ± 0.55`: two significant digits of the deviation, and the mean to the same decimal."""
    if not math.isfinite(mean) or not math.isfinite(deviation) or deviation == 0:
        return f"{number(mean)} ± {number(deviation)}"
    decimals = 1 - math.floor(math.log10(float(f"{deviation:.1e}")))
    if decimals > 6 or abs(mean) >= 1e6:
        return f"{number(mean)} ± {deviation:.2g}"
    shown = max(decimals, 0)
    return f"{round(mean, decimals):.{shown}f} ± {round(deviation, decimals):.{shown}f}"


def read_table(folder: StudyFolder) -> Table:
    """The table of a study, from its records.

    Raises:
        RecordError: the study's folder is damaged.
    """
    study = folder.read()
    floors = folder.floors
    return Table(
        study["study"],
        tuple(objective["name"] for objective in study["experiment"]["objectives"]),
        {name: Direction(**direction) for name, direction in study["metrics"].items()},
        tuple(_result(folder.run(run["name"]), run) for run in study["runs"]),
        json.loads(floors.read_text()) if floors.exists() else {},
    )


def _result(folder: RunFolder, run: dict[str, Any]) -> RunResult:
    try:
        record = read_record(folder, values=False)
    except RecordError as error:
        record = Record(status="FAILED", message=error.message, hint="`genloss resume` trains it anew")
    return RunResult(
        run["name"],
        run["objective"]["name"],
        run["seed"],
        record.status if folder.journal.exists() else PENDING,
        record.message,
        {key.removeprefix("eval/"): value for key, value in record.final.items() if key.startswith("eval/")},
        record.duration,
        run["reproduce"],
        folder,
        record.hint,
    )


def markdown(folder: StudyFolder) -> str:
    """The table and the runs that did not finish, as Markdown."""
    table = read_table(folder)
    lines = [str(table)]
    if table.metrics:
        lines += ["", f"{'; '.join(table.legend())}."]
    unfinished = table.unfinished()
    if unfinished:
        lines += ["", f"**{len(unfinished)} of {len(table.runs)} runs did not finish:**", ""]
        for alike in table.failures():
            lines.append(f"* FAILED: {named(alike)}: {alike[0].message}")
        for status in dict.fromkeys(run.status for run in unfinished if run.status != "FAILED"):
            lines.append(f"* {status}: {named([run for run in unfinished if run.status == status])}")
    return "\n".join(lines)


def named(runs: Sequence[RunResult]) -> str:
    """The runs' names; of many, the first and how many more."""
    return joined([f"`{run.name}`" for run in runs])


def joined(names: Sequence[str], most: int = 3) -> str:
    """A list in a sentence; of many, the first and how many more."""
    if len(names) > most + 1:
        names = [*names[:most], f"{len(names) - most} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
