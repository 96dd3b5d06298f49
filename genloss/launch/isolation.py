"""Which runs get a process of their own.

A run's numbers depend on its run.json alone, and so on nothing that another run has left behind: torch's
default dtype or device, its grad mode, a patched function, a thread that draws from torch's generator, the
working folder, the environment, a signal's handler, what torch.compile has kept. Not all of that can be seen,
and not all can be put back; the end of the process undoes all of it. Forked from a process that has imported
torch (forkserver.py), a new one costs little. What ships with genloss leaves nothing behind, and its runs
share their workers.
"""

from __future__ import annotations

from genloss.experiment.schema import Run
from genloss.planning import provenance
from genloss.registry.catalogue import Catalogue
from genloss.registry.plugin import GROUP


def needs_own_process(run: Run, known: Catalogue) -> bool:
    """Return whether code takes part that does not ship with genloss, or torch.compile, which keeps state."""
    if run.plugins or run.objective.training.compile:
        return True
    offered_by = provenance.providers(run.data, run.objective, run.evaluation, known)
    return any(plugin.name != GROUP for plugin in offered_by)
