"""Small studies in folders of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genloss.tracking import store

FAULTY = Path(__file__).parent / "faulty.py"


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A fresh store, which takes seconds to build."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    store.connect(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def here(empty: Path, fresh_store: bytes) -> Path:
    """A working folder of the test's own, with a store of its own."""
    (empty / "mlflow.db").write_bytes(fresh_store)
    return empty


def experiment(*faults: str, steps: int = 40, **more: Any) -> dict[str, Any]:
    """An experiment with an objective for each fault, which comes at half time."""
    progress = {"linear": {"from": 0.0, "to": 1.0, "steps": steps}}
    return {
        "name": "faults",
        "plugins": [str(FAULTY)],
        "data": {"name": "two_moons", "size": 300},
        "model": {"name": "autoencoder", "latent_dim": 1, "hidden": [4]},
        "objectives": {
            fault: {"network": {"faulty": {"fault": fault, "progress": progress}}} for fault in faults
        },
        "training": {"steps": steps, "batch_size": 16},
        "seeds": 1,
        "devices": "cpu",
        "workers": 2,
        **more,
    }
