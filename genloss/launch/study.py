"""A running study, as shared by the scheduler, its workers and its display."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genloss.contracts.dataset import Data
from genloss.experiment.schema import Experiment, Run
from genloss.record.folder import StudyFolder
from genloss.registry.catalogue import Catalogue
from genloss.training.devices import Device

if TYPE_CHECKING:
    from genloss.launch.search import Search


@dataclass(frozen=True)
class Study:
    """What is left of a study, and what it is trained with.

    Attributes:
        folder: its records.
        experiment: what it trains.
        catalogue: what its plugins offer.
        data: loaded.
        devices: those that it trains on.
        runs: what is left to train.
        finished: how many runs were finished before.
        drift: what has changed since it began, if that is accepted.
        search: chooses the values of its trials, if it searches.
    """

    folder: StudyFolder
    experiment: Experiment
    catalogue: Catalogue
    data: Data
    devices: tuple[Device, ...]
    runs: tuple[Run, ...]
    finished: int = 0
    drift: str = ""
    search: Search | None = None
