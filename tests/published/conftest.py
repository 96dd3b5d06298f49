"""The check command and its modules, as the command itself imports them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PUBLISHED = Path(__file__).parents[2] / "experiments" / "published"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A module of `experiments/published`, by its name."""
    monkeypatch.syspath_prepend(str(PUBLISHED))
    return importlib.import_module
