"""genloss: which loss should I use, and what does it change?

Everything a plugin or a notebook needs is here; each name is imported when it is first used, so that
`import genloss` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genloss.comparing import compare as compare
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
    from genloss.hookspecs import hookimpl as hookimpl
    from genloss.launch.result import StudyResult as StudyResult
    from genloss.launch.resume import resume as resume
    from genloss.launch.study import run as run
    from genloss.loading import history as history
    from genloss.loading import load as load
    from genloss.registry import catalogue as catalogue

__version__ = "0.1.0"

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
    "hookimpl": "genloss.hookspecs",
    "StudyResult": "genloss.launch.result",
    "run": "genloss.launch.study",
    "resume": "genloss.launch.resume",
    "history": "genloss.loading",
    "load": "genloss.loading",
    "compare": "genloss.comparing",
    "catalogue": "genloss.registry",
}

__all__ = [*_EXPORTS, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module `genloss` has no attribute `{name}`")


def __dir__() -> list[str]:
    return sorted(__all__)
