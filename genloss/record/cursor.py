"""How far MLflow has a run: a small file in the run's folder, which MLflow need not be asked for."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from genloss.record.files import publish


@dataclass(frozen=True)
class Cursor:
    """How far MLflow has a run.

    Attributes:
        run_id: MLflow's.
        journal: the id of the journal that the offset is of.
        offset: where the last frame ends that is shipped.
        steps: the values of so many steps are shipped.
        closed: the name of the folder when MLflow was told how the run ended, if its journal does not say.
        deleted: whether the run was found deleted in MLflow.
    """

    run_id: str
    journal: str
    offset: int
    steps: int = 0
    closed: str = ""
    deleted: bool = False

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The run's cursor; None where there is none that can be read."""
        try:
            cursor = cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return cursor if isinstance(cursor.run_id, str) and isinstance(cursor.offset, int) else None

    def write(self, path: Path) -> None:
        """Writes it so that it is there whole."""
        publish(path, json.dumps(asdict(self)).encode())
