"""Training and evaluation mode of modules, some parts of which stay in evaluation mode."""

from __future__ import annotations

from torch import nn


class Modes:
    """A module with the modes that its parts are in now, as they were built.

    A part in evaluation mode, as a frozen network is, stays in it whatever the rest is in: the running
    statistics of its batch norms do not move, and none of its dropout is on.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._frozen = [part for part in module.modules() if not part.training]

    def set(self, *, training: bool) -> None:
        """Put the other parts into training or evaluation mode."""
        self._module.train(training)
        for part in self._frozen:
            part.training = False
