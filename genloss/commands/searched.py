"""A search in readable form: its search space, and its results."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from genloss.commands.terminal import hint, printable, stderr, stdout
from genloss.experiment.nodes import show
from genloss.experiment.schema import Range
from genloss.text import count_of, one_line

if TYPE_CHECKING:
    from genloss.comparison.trials import Best
    from genloss.planning.plan import Plan

LONGEST = 200
"""Characters of a point or a choice in one line."""


def planned_search(planned: Plan) -> Iterator[str]:
    """How a plan's search chooses, what from, and each objective's first trial."""
    search = planned.experiment.search
    if search is None:
        return
    pruner = "" if search.pruner == "none" else f", pruned by the {search.pruner}"
    yield (
        f"{count_of(search.trials, 'trial')} of each objective for the best {search.metric}: "
        f"{search.sampler}, seed {search.seed}{pruner}"
    )
    for path, values in search.space.items():
        yield f"{path}: {_range(values)}"
    for trial in planned.first_trials:
        said = ", ".join(f"{path} {show(value)[1:-1]}" for path, value in trial.point.items())
        yield one_line(f"first of {trial.base}: {said}", LONGEST)


def print_best(best: tuple[Best, ...]) -> None:
    """The values of each objective's best trial, ready to copy, and how to learn what it is worth."""
    for each in best:
        stdout().print(Text.assemble(f"`{each.objective}`, ", (f"trial {each.trial}", "bold"), ":"))
        words = [word for override in each.overrides for word in ("--set", override)]
        stdout().print(Text(f"  {printable(shlex.join(words))}"), soft_wrap=True)
    commands = [each.command for each in best if each.command]
    if commands:
        hint("what the best trials are worth, fresh seeds tell")
    for command in commands:
        stderr().print(f"  {command}", markup=False)


def _range(values: Range) -> str:
    form = values.form
    if values.choice is not None:
        return one_line(f"one of {', '.join(show(value)[1:-1] for value in values.choice)}", LONGEST)
    low, high = values.values
    how = {"log_uniform": ", by its logarithm", "integer": ", a whole number"}.get(form, "")
    return f"{low:g} to {high:g}{how}"
