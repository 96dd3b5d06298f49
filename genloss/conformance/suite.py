"""A check of the conformance suite, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from genloss.contracts.definition import Definition
from genloss.errors import FOREIGN, GenlossError, Location
from genloss.registry.origin import culprit, describe

Status = Literal["passed", "exempt", "failed", "not run"]


class Nonconformity(GenlossError):
    """A definition does not do what its contract says."""


@dataclass(frozen=True)
class Check:
    """One thing that must hold for one definition.

    Attributes:
        definition: what is checked.
        name: the check's own, such as `permutation`; a definition's `exempt` names it.
        asks: what must hold, in one line.
        function: raises `Nonconformity`, with what was expected and what came, if it does not hold.
        fundamental: where it fails, `outcomes` runs no other check of that definition.
    """

    definition: Definition
    name: str
    asks: str
    function: Callable[[], None] = field(repr=False)
    fundamental: bool = False

    def __str__(self) -> str:
        return f"{self.definition.name}:{self.name}"

    @property
    def exempt(self) -> str | None:
        """Why the definition says that the check cannot hold, if it does."""
        return self.definition.exempt.get(self.name)

    def run(self) -> None:
        """Returns if it holds, or if it fails as the definition says, with a reason, that it does.

        Raises:
            Nonconformity: it does not hold, or it does although the definition says otherwise.
        """
        if self.exempt is None:
            self.function()
            return
        try:
            self.function()
        except FOREIGN:  # whatever way it fails: that is what was declared
            return
        raise Nonconformity(
            f"{self.definition.kind} `{self.definition.name}` is declared exempt from `{self.name}`, "
            f"and passes it: {self.exempt}",
            hint=f"delete `{self.name}` from its `exempt`",
        )


@dataclass(frozen=True)
class Outcome:
    """What came of a check.

    Attributes:
        check: which was run.
        status: `exempt` if it failed as was declared; `not run` after a fundamental one failed.
        error: why it failed, if it did.
        seconds: how long it took.
    """

    check: Check
    status: Status
    error: GenlossError | None = None
    seconds: float = 0.0


def outcomes(checks: Iterable[Check]) -> Iterator[Outcome]:
    """Run checks; one that raises has failed, whatever it raises."""
    broken: set[int] = set()
    for check in checks:
        if id(check.definition) in broken:
            yield Outcome(check, "not run")
            continue
        began = time.perf_counter()
        error: GenlossError | None = None
        try:
            check.run()
        except FOREIGN as raised:
            error = _readable(raised, check.definition)
            if check.fundamental:
                broken.add(id(check.definition))
        status: Status = "failed" if error else "passed" if check.exempt is None else "exempt"
        yield Outcome(check, status, error, time.perf_counter() - began)


def _readable(raised: BaseException, definition: Definition) -> GenlossError:
    """The error with the line of the plugin's own code that raised it, if that did."""
    cause: BaseException = raised
    while cause.__cause__ is not None:
        cause = cause.__cause__
    found = culprit(cause, [definition]) if definition.kind != "plugin" else None
    where = Location(found.place) if found is not None else None
    if isinstance(raised, GenlossError):
        raised.where = raised.where or where
        return raised
    return Nonconformity(
        f"{definition.kind} `{definition.name}` raised {describe(raised)}",
        where=where,
        hint="; ".join(getattr(raised, "__notes__", ())) or None,
    )
