"""Checkpoints: all that decides how training goes on, in files that are whole or not there.

A checkpoint is a torch file beside its SHA-256; it is written under another name, synced and renamed, the
digest last. Loading verifies the digest, takes an older checkpoint where the newest does not hold, and
unpickles nothing (`weights_only`).
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from genloss.errors import RecordError
from genloss.record.files import publish

KEEP = 2
_NAME = re.compile(r"step-(\d+)\.pt")


def save(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Writes the checkpoint of a step and removes all but the newest two."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    content = buffer.getvalue()
    path = folder / f"step-{step:09d}.pt"
    publish(path, content)
    publish(path.with_suffix(".sha256"), hashlib.sha256(content).hexdigest().encode())
    for old in _found(folder)[:-KEEP]:
        old.with_suffix(".sha256").unlink(missing_ok=True)
        old.unlink(missing_ok=True)
    return path


def load(folder: Path) -> tuple[int, dict[str, Any]] | None:
    """The newest checkpoint that verifies, as (step, state) on the CPU; None where there is none.

    Raises:
        RecordError: there are checkpoints, and none verifies.
    """
    found = _found(folder)
    for path in reversed(found):
        digest = path.with_suffix(".sha256")
        content = path.read_bytes()
        if not digest.exists() or digest.read_bytes().strip() != hashlib.sha256(content).hexdigest().encode():
            continue
        try:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError):
            continue
        match = _NAME.fullmatch(path.name)
        assert match is not None
        return int(match[1]), state
    if found:
        raise RecordError(f"no checkpoint in `{folder}` is whole", hint="train the run from its beginning")
    return None


def _found(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name))
