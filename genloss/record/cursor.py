"""How much of a run MLflow has: a small file in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from genloss.errors import RecordError
from genloss.record.files import publish
from genloss.record.parsing import Fields, read_json


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
        rejected: files and keys of metrics that MLflow has not got though the offset is behind them, with
            the reasons.
    """

    run_id: str
    journal: str
    offset: int
    steps: int = 0
    closed: str = ""
    deleted: bool = False
    rejected: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The run's cursor; None where there is none that can be read."""
        try:
            said = Fields(read_json(path))
            return cls(
                run_id=said.text("run_id"),
                journal=said.text("journal"),
                offset=said.count("offset"),
                steps=said.count("steps", 0),
                closed=said.text("closed", ""),
                deleted=said.flag("deleted", False),
                rejected=said.texts("rejected", {}),
            )
        except RecordError:
            return None

    def write(self, path: Path) -> None:
        """Write it so that it is there whole."""
        publish(path, json.dumps(asdict(self)).encode())
