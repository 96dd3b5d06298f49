"""Printing a study's results."""

from __future__ import annotations

import signal
import textwrap
from contextlib import suppress
from typing import TYPE_CHECKING

from genloss.commands.numbers import print_numbers
from genloss.commands.searched import print_best
from genloss.commands.terminal import complain, hint, printable, say, stderr, stdout, warn

if TYPE_CHECKING:
    from genloss.comparison.comparison import Comparison
    from genloss.comparison.runs import RunResult
    from genloss.comparison.table import Table
    from genloss.launch.result import StudyResult

MOST_FAILURES = 5


def print_results(result: StudyResult) -> None:
    """The table and the answer, what did not finish and how to see it again, and the line that opens the
    comparison.
    """
    comparison = result.comparison
    unfinished = comparison.unfinished()
    if len(unfinished) < len(comparison.runs):
        print_overview(comparison)
    print_best(result.best)
    print_failures(comparison)
    if result.signal is not None:
        word = "interrupted" if result.signal is signal.SIGINT else "terminated"
        warn(f"{word}: {len(comparison.runs) - len(unfinished)} of {len(comparison.runs)} runs finished")
    if result.problem is not None:
        complain(result.problem)
    if not result.shipped:
        warn(f"MLflow has not got all of it; the records are safe in `{result.folder}`")
        stderr().print(f"  when MLflow answers again: genloss sync {result.name}", markup=False)
    if result.resume is not None:
        some = len(unfinished) < len(comparison.runs)
        rest = "what has finished is kept; the rest goes on" if some else "the study goes on"
        hint(f"{rest} from the newest checkpoints with")
        stderr().print(f"  {result.resume}", markup=False)
    if result.report is not None:
        say(str(result.report))
    _print_experiment(result)
    say(f"genloss ui {result.name}")
    if result.page is not None:
        say(result.page)


def _print_experiment(result: StudyResult) -> None:
    """Which of MLflow's experiments it is in, where that has another name."""
    from genloss.errors import RecordError
    from genloss.record.folder import StudyFolder

    with suppress(RecordError):
        content = StudyFolder(result.folder).read()
        if content["experiment_name"] != content["experiment"]["name"]:
            stderr().print(f"in MLflow's experiment `{content['experiment_name']}`", markup=False)


def print_overview(comparison: Comparison) -> None:
    """The table with its legend, and the answer."""
    from genloss.comparison.table import overview

    print_table_of_numbers(overview(comparison))
    print_answer(comparison)


def print_table_of_numbers(table: Table) -> None:
    """A table on stdout, and its legend on stderr."""
    print_numbers(table.columns, table.rows)
    for line in table.legend:
        stderr().print(printable(line), style="dim", markup=False)


def print_answer(comparison: Comparison) -> None:
    """The answer between empty lines, on a terminal broken between words."""
    console = stdout()
    print()
    for sentence in map(printable, comparison.answer()):
        print(textwrap.fill(sentence, console.width) if console.is_terminal else sentence)
    print()


def print_failures(comparison: Comparison) -> None:
    """What failed and why, a line for those that failed alike, and how to see it again."""
    failures = comparison.failures()
    for alike in failures[:MOST_FAILURES]:
        _print_failure(alike, comparison.named(alike))
    if len(failures) > MOST_FAILURES:
        warn(f"{len(failures) - MOST_FAILURES} more kinds of failures; MLflow has all of them")


def _print_failure(alike: list[RunResult], names: str) -> None:
    first = alike[0]
    warn(f"{names} failed: {first.message}")
    if first.hint:
        hint(first.hint)
    if first.folder is not None:
        stderr().print(f"  traceback: {first.folder.artifacts / 'traceback.txt'}", markup=False)
    stderr().print(f"  reproduce: {first.reproduce}", markup=False)
