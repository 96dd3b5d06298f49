"""How a study's results are printed."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from genloss.commands.numbers import print_numbers
from genloss.commands.terminal import complain, hint, stderr, warn

if TYPE_CHECKING:
    from genloss.comparison.table import RunResult
    from genloss.launch.result import StudyResult

MOST_FAILURES = 5


def print_results(result: StudyResult) -> None:
    """The table, what did not finish and how to see it again, and the line that opens the comparison."""
    table = result.table
    unfinished = table.unfinished()
    if len(unfinished) < len(table.runs):
        print_numbers(table.columns(), table.rows())
        for line in table.legend():
            stderr().print(line, style="dim")
    failures = table.failures()
    for alike in failures[:MOST_FAILURES]:
        _print_failure(alike)
    if len(failures) > MOST_FAILURES:
        warn(f"{len(failures) - MOST_FAILURES} more kinds of failures; MLflow has all of them")
    if result.signal is not None:
        word = "interrupted" if result.signal is signal.SIGINT else "terminated"
        warn(f"{word}: {len(table.runs) - len(unfinished)} of {len(table.runs)} runs finished")
    if result.problem is not None:
        complain(result.problem)
    if not result.shipped:
        warn(f"MLflow has not got all of it; the records are safe in `{result.folder}`")
        stderr().print(f"  when MLflow answers again: genloss sync {result.name}", markup=False)
    if result.resume is not None:
        some = len(unfinished) < len(table.runs)
        rest = "what has finished is kept; the rest goes on" if some else "the study goes on"
        hint(f"{rest} from the newest checkpoints with")
        stderr().print(f"  {result.resume}", markup=False)
    click.echo(f"genloss ui {result.name}")
    if result.page is not None:
        click.echo(result.page)


def _print_failure(alike: list[RunResult]) -> None:
    from genloss.comparison.table import named

    first = alike[0]
    warn(f"{named(alike)} failed: {first.message}")
    if first.hint:
        hint(first.hint)
    stderr().print(f"  traceback: {first.folder.artifacts / 'traceback.txt'}", markup=False)
    stderr().print(f"  reproduce: {first.reproduce}", markup=False)
