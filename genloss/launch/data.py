"""The data of a run, loaded once per process."""

from __future__ import annotations

from functools import cache

import yaml

from genloss.contracts.dataset import Data
from genloss.experiment.schema import Choice
from genloss.registry.catalogue import Catalogue


def load_data(known: Catalogue, choice: Choice) -> Data:
    """The data of a choice."""
    return _load(known, choice.name, yaml.safe_dump(choice.options))


@cache
def _load(known: Catalogue, name: str, options: str) -> Data:
    data: Data = known.datasets[name].configured(yaml.safe_load(options))()
    return data
