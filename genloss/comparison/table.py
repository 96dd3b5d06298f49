"""The table of a study: each metric's mean ± standard deviation over the seeds, and its floor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from genloss.record.folder import RunFolder, StudyFolder, read_record

PENDING = "NOT STARTED"


@dataclass(frozen=True)
class RunResult:
    """How one run ended.

    Attributes:
        status: FINISHED, FAILED, KILLED, RUNNING or NOT STARTED.
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

    def finished(self, objective: str) -> list[RunResult]:
        return [run for run in self.runs if run.objective == objective and run.status == "FINISHED"]

    def unfinished(self) -> list[RunResult]:
        return [run for run in self.runs if run.status != "FINISHED"]

    def cell(self, objective: str, metric: str) -> str:
        """`mean ± standard deviation`; the mean alone for one seed; a dash for none."""
        numbers = [run.metrics[metric] for run in self.finished(objective) if metric in run.metrics]
        if not numbers:
            return "–"
        mean = number(float(np.mean(numbers)))
        return mean if len(numbers) == 1 else f"{mean} ± {number(float(np.std(numbers, ddof=1)))}"

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
        if any(metric in self.floors for metric in self.metrics):
            floor = [number(self.floors[m]) if m in self.floors else "–" for m in self.metrics]
            rows.append(["floor: data against data", "", *floor])
        return rows

    def columns(self) -> list[str]:
        return ["objective", "seeds", *(self.heading(metric) for metric in self.metrics)]


def number(value: float) -> str:
    """Four significant digits, without an exponent where that can be read."""
    return f"{value:.4g}"


def read_table(folder: StudyFolder) -> Table:
    """The table of a study, from its records.

    Raises:
        RecordError: the study's folder is damaged.
    """
    study = folder.read()
    runs: dict[tuple[str, int], RunResult] = {}
    planned = {run["name"]: run for run in study["runs"]}
    # A run that was tried again has a folder of its own for each attempt; the last one counts.
    for path in folder.path.glob("*.retry-*/run.json"):
        run = json.loads(path.read_text())
        planned[run["name"]] = run
    for name, run in sorted(planned.items(), key=lambda item: item[1]["attempt"]):
        result = _result(folder.run(name), run)
        runs[result.objective, result.seed] = result
    floors = folder.floors
    return Table(
        study["study"],
        tuple(objective["name"] for objective in study["experiment"]["objectives"]),
        {name: Direction(**direction) for name, direction in study["metrics"].items()},
        tuple(runs.values()),
        json.loads(floors.read_text()) if floors.exists() else {},
    )


def _result(folder: RunFolder, run: dict[str, Any]) -> RunResult:
    record = read_record(folder, values=False)
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
    )


def markdown(folder: StudyFolder) -> str:
    """The table and the runs that did not finish, as Markdown."""
    table = read_table(folder)
    columns = table.columns()
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(row) + " |" for row in table.rows()]
    if table.metrics:
        lines += [
            "",
            "Mean ± standard deviation over the seeds, after the last step; ↓ lower is better, ↑ higher.",
        ]
    unfinished = table.unfinished()
    if unfinished:
        lines += ["", f"**{len(unfinished)} of {len(table.runs)} runs did not finish:**", ""]
        lines += [
            f"* `{run.name}` {run.status}" + (f": {run.message}" if run.message else "") for run in unfinished
        ]
    return "\n".join(lines)
