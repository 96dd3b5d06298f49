"""What can become of a run's record on a disk."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from genloss.record import journal
from genloss.record.folder import RunFolder

OPENED = "opened-by-a-pickle"
"""The file, in the working folder, that the pickles here would make if they were unpickled."""


class Bomb:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (OPENED, "w")


def nothing(run: RunFolder) -> None:
    """No damage."""


def newest(run: RunFolder) -> Path:
    """The newest checkpoint."""
    return max(run.checkpoints.glob("step-*.pt"))


def checkpoint_truncated(run: RunFolder) -> None:
    content = newest(run).read_bytes()
    newest(run).write_bytes(content[: len(content) // 2])


def checkpoint_flipped(run: RunFolder) -> None:
    flip(newest(run), newest(run).stat().st_size // 2)


def checkpoint_empty(run: RunFolder) -> None:
    newest(run).write_bytes(b"")


def checkpoint_newer(run: RunFolder) -> None:
    """As another version of genloss would have written it."""
    content = torch.load(newest(run), weights_only=True)
    torch.save({**content, "format": content["format"] + 1}, newest(run))
    sign(newest(run))


def checkpoint_pickle(run: RunFolder) -> None:
    """A pickle, and one that torch has packed, in the newest and in the one before; with digests that fit."""
    before, last = sorted(run.checkpoints.glob("step-*.pt"))
    last.write_bytes(pickle.dumps(Bomb()))
    torch.save({"format": 1, "step": int(before.stem[5:]), "state": Bomb()}, before)
    sign(last)
    sign(before)


def checkpoint_undigested(run: RunFolder) -> None:
    newest(run).with_suffix(".sha256").unlink()


def checkpoints_damaged(run: RunFolder) -> None:
    for path in run.checkpoints.glob("step-*.pt"):
        flip(path, 100)


def checkpoints_gone(run: RunFolder) -> None:
    shutil.rmtree(run.checkpoints)


def journal_torn(run: RunFolder) -> None:
    """A crash came into the write of a frame."""
    ends = [end for _, end in journal.read(run.journal)]
    last = run.journal.read_bytes()[ends[-2] : ends[-1]]
    with run.journal.open("ab") as file:
        file.write(last[:-1])


def journal_short(run: RunFolder) -> None:
    """It ends before the newest checkpoint and what is shipped: the disk has lost what it had taken."""
    middle, *_ = [end for frame, end in journal.read(run.journal) if isinstance(frame, journal.Values)][1:]
    with run.journal.open("r+b") as file:
        file.truncate(middle)


def journal_zeros(run: RunFolder) -> None:
    """What some file systems leave of a write that a power cut came into."""
    with run.journal.open("ab") as file:
        file.write(bytes(1000))


def journal_flipped(run: RunFolder) -> None:
    (first, *_) = [end for frame, end in journal.read(run.journal) if isinstance(frame, journal.Values)]
    flip(run.journal, first - 20)


def journal_pickle(run: RunFolder) -> None:
    run.journal.write_bytes(pickle.dumps(Bomb()))


def journal_empty(run: RunFolder) -> None:
    run.journal.write_bytes(b"")


def journal_gone(run: RunFolder) -> None:
    run.journal.unlink()


def flip(path: Path, byte: int) -> None:
    """Changes one bit."""
    content = bytearray(path.read_bytes())
    content[byte] ^= 0x10
    path.write_bytes(content)


def sign(checkpoint: Path) -> None:
    """Writes the digest that fits."""
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    checkpoint.with_suffix(".sha256").write_text(digest)
