"""Remarks: settings that are valid but probably not intended."""

from __future__ import annotations

from dataclasses import dataclass

from genloss.errors import Location, described
from genloss.experiment.nodes import Node

MANY_SEEDS = 20
"""With more of them, their number was probably meant to be a seed."""


class RemarkWarning(UserWarning):
    """A remark of `genloss.run`, as a Python warning."""


@dataclass(frozen=True)
class Remark:
    """A remark of a plan; the experiment is trained all the same.

    Attributes:
        message: one sentence without a full stop, names in backticks, with the number that shows it.
        where: the place that it is about, if it has one.
        hint: what to do if it was not meant.
    """

    message: str
    where: Location | None = None
    hint: str = ""

    def __str__(self) -> str:
        return described(self.message, self.where, self.hint)


def seeds_remark(root: Node) -> list[Remark]:
    """A remark if `seeds: 42` was written: it is the number of seeds, and has often been taken for one."""
    node = root.at("seeds")
    if not isinstance(node.value, int) or node.value <= MANY_SEEDS:
        return []
    return [
        Remark(
            f"`seeds: {node.value}` trains {node.value} seeds, 0 to {node.value - 1}",
            node.where,
            f"write `seeds: [{node.value}]` if that one seed was meant",
        )
    ]
