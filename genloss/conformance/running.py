"""Making a check of a function."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable

from genloss.conformance import generators
from genloss.conformance.suite import Check
from genloss.contracts.definition import Definition


def check(
    definition: Definition,
    function: Callable[..., None],
    call: Callable[[], None],
    *,
    fundamental: bool = False,
    name: str | None = None,
) -> Check:
    """A check with the name of a function, or another, which asks what the first line of its docstring says.

    Torch's, NumPy's and Python's generators are seeded while it runs, and as they were afterwards; warnings
    are left out, so that it finds the same whatever becomes of them.

    Args:
        definition: what is checked.
        function: what checks.
        call: the same with its arguments.
        fundamental: whether the other checks make no sense where it fails.
        name: instead of the function's.
    """

    def run() -> None:
        with generators.seeded(0), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()

    asks = (inspect.getdoc(function) or "").split("\n", 1)[0]
    return Check(definition, name or function.__name__, asks, run, fundamental)
