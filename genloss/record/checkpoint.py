"""Checkpoints: all that decides how training goes on, in files that are whole or not there.

A checkpoint is a torch file beside its SHA-256; it is written under another name, synced and renamed, the
digest last. Loading verifies the digest, takes an older checkpoint where the newest does not hold, and
unpickles nothing (`weights_only`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genloss.record.files import publish, published

FORMAT = 1
KEEP = 2
_NAME = re.compile(r"step-(\d+)\.pt")


@dataclass(frozen=True)
class Loaded:
    """Where a run goes on.

    Attributes:
        step: steps done; 0 where it starts over.
        state: what was saved, on the CPU; None where it starts over.
        passed_over: the checkpoints that were not used, each with the reason.
    """

    step: int
    state: dict[str, Any] | None
    passed_over: tuple[str, ...] = ()


class _Unusable(Exception):
    """Why a checkpoint is not used."""


def save(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Write the checkpoint of a step; removes all but it and the newest before it.

    Those of later steps go, too: had they been of use, training would not be here.

    Raises:
        OSError: it could not be written; those before it are as they were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:09d}.pt"
    with published(path) as part:
        try:
            torch.save({"format": FORMAT, "step": step, "state": dict(state)}, part)
        except RuntimeError as error:  # what torch makes of a disk that is full
            raise OSError(f"torch could not write it: {error}") from error
        digest = _digest(part)
    publish(_beside(path), digest.encode())
    found = _found(folder)
    end = found.index(path) + 1
    kept = found[max(0, end - KEEP) : end]
    for other in found:
        if other not in kept:
            with suppress(OSError):  # a folder of that name, say
                _beside(other).unlink(missing_ok=True)
                other.unlink()
    return path


def load(folder: Path, at_most: int | None = None) -> Loaded:
    """The newest checkpoint that verifies.

    Args:
        folder: the checkpoints'.
        at_most: the last step that may be used: those that the journal has.
    """
    passed_over: list[str] = []
    for path in reversed(_found(folder)):
        step = _step(path)
        try:
            if at_most is not None and step > at_most:
                raise _Unusable(f"the journal ends at step {at_most}")
            return Loaded(step, _read(path, step), tuple(passed_over))
        except _Unusable as reason:
            passed_over.append(f"{path.name}: {reason}")
    return Loaded(0, None, tuple(passed_over))


def _read(path: Path, step: int) -> dict[str, Any]:
    try:
        whole = _beside(path).read_bytes().strip() == _digest(path).encode()
    except FileNotFoundError:
        raise _Unusable("it has no digest") from None
    except OSError as error:
        raise _Unusable(f"it cannot be read: {error.strerror}") from None
    if not whole:
        raise _Unusable("its digest is another")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever torch makes of bytes that it has not written
        raise _Unusable("it is not a file of tensors") from None
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise _Unusable("it is not a checkpoint of genloss")
    if content["format"] != FORMAT:
        raise _Unusable(f"its format is {content['format']}, and this genloss reads {FORMAT}")
    said, state = content.get("step"), content.get("state")
    if not isinstance(said, int) or not isinstance(state, dict):
        raise _Unusable("it is not a checkpoint of genloss")
    if said != step:
        raise _Unusable(f"it is of step {said}")
    return state


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def _found(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name)), key=_step)
