"""How a study's results are printed."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from genloss.commands.terminal import complain, print_table, stderr, warn

if TYPE_CHECKING:
    from genloss.launch.study import StudyResult


def print_results(result: StudyResult) -> None:
    """The table, what did not finish and how to see it again, and the line that opens the comparison."""
    table = result.table
    columns = table.columns()
    print_table(columns, table.rows(), right=range(1, len(columns)))
    if len(table.metrics) > 0:
        stderr().print("mean ± standard deviation over seeds; ↓ lower is better, ↑ higher", style="dim")
    unfinished = table.unfinished()
    failed = [run for run in unfinished if run.status == "FAILED"]
    for run in failed[:10]:
        warn(f"`{run.name}` failed: {run.message}")
        stderr().print(f"  traceback: {run.folder.artifacts / 'traceback.txt'}", markup=False)
        stderr().print(f"  reproduce: {run.reproduce}", markup=False)
    if len(failed) > 10:
        warn(f"{len(failed) - 10} more runs failed")
    if result.signal is not None:
        word = "interrupted" if result.signal is signal.SIGINT else "terminated"
        warn(f"{word}: {len(table.runs) - len(unfinished)} of {len(table.runs)} runs finished")
    if result.problem is not None:
        complain(result.problem)
    if not result.shipped:
        warn(f"MLflow has not got all of it; the records are safe in `{result.folder}`")
        later = f"python -m genloss.tracking.tracker {result.folder} < /dev/null"
        stderr().print(f"  when MLflow answers again: {later}", markup=False)
    click.echo(f"genloss ui {result.name}")
    if result.page is not None:
        click.echo(result.page)
