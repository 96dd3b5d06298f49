"""genloss: which loss should I use, and what does it change?

Everything a plugin or a notebook needs is here; each name is imported when it is first used, so that
`import genloss` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from genloss.version import __version__ as __version__

if TYPE_CHECKING:
    from genloss.api.compare import compare as compare
    from genloss.api.load import history as history
    from genloss.api.load import load as load
    from genloss.contracts.dataset import Data as Data
    from genloss.contracts.dataset import DataSpec as DataSpec
    from genloss.contracts.dataset import dataset as dataset
    from genloss.contracts.examples import Examples as Examples
    from genloss.contracts.loss import Loss as Loss
    from genloss.contracts.loss import loss as loss
    from genloss.contracts.metric import metric as metric
    from genloss.contracts.model import Model as Model
    from genloss.contracts.model import Turn as Turn
    from genloss.contracts.stored import Stored as Stored
    from genloss.errors import GenlossError as GenlossError
    from genloss.launch.result import StudyResult as StudyResult
    from genloss.launch.resume import resume as resume
    from genloss.launch.run import run as run
    from genloss.registry.catalogue import catalogue as catalogue
    from genloss.registry.hookspecs import hookimpl as hookimpl

_EXPORTS = {
    "Data": "genloss.contracts.dataset",
    "DataSpec": "genloss.contracts.dataset",
    "Stored": "genloss.contracts.stored",
    "dataset": "genloss.contracts.dataset",
    "Loss": "genloss.contracts.loss",
    "loss": "genloss.contracts.loss",
    "Examples": "genloss.contracts.examples",
    "metric": "genloss.contracts.metric",
    "Model": "genloss.contracts.model",
    "Turn": "genloss.contracts.model",
    "GenlossError": "genloss.errors",
    "hookimpl": "genloss.registry.hookspecs",
    "StudyResult": "genloss.launch.result",
    "run": "genloss.launch.run",
    "resume": "genloss.launch.resume",
    "history": "genloss.api.load",
    "load": "genloss.api.load",
    "compare": "genloss.api.compare",
    "catalogue": "genloss.registry.catalogue",
}

__all__ = [*_EXPORTS, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module `genloss` has no attribute `{name}`")


def __dir__() -> list[str]:
    return sorted(__all__)
