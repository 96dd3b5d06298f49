"""A check of the conformance suite, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from genloss.contracts.definition import Definition
from genloss.errors import GenlossError


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
    """

    definition: Definition
    name: str
    asks: str
    function: Callable[[], None] = field(repr=False)

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
        except Exception:  # whatever way it fails: that is what was declared
            return
        raise Nonconformity(
            f"{self.definition.kind} `{self.definition.name}` is declared exempt from `{self.name}`, "
            f"and passes it: {self.exempt}",
            hint=f"delete `{self.name}` from its `exempt`",
        )
