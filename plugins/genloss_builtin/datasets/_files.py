"""What the datasets of a user's own files share: images of bytes, labels, and a part that is held out."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Gt, Lt
from torch import Tensor
from torch.utils.data import Dataset

import genloss
from genloss.errors import RequestError

Array = np.ndarray[Any, np.dtype[Any]]
Fields = dict[str, Tensor]
Share = Annotated[float, Gt(0), Lt(1)]


MAPPED = 64 * 2**20
"""Bytes from which on a file is mapped, so that all processes share what is read of it."""


def require_file(path: Path) -> None:
    """Raises RequestError unless there is a regular file: reading a pipe or a device might never end."""
    kind = kind_of(path)
    if kind == "folder":
        raise RequestError(f"`{path}` is a folder, and a file is needed")
    if kind == "other":
        raise RequestError(
            f"`{path}` is no regular file, but a pipe, a socket or a device",
            hint="copy what it gives into a file",
        )


def kind_of(path: Path, wanted: str = "file") -> Literal["file", "folder", "other"]:
    """What there is at a path, without opening it.

    Raises:
        RequestError: there is nothing, or it cannot be looked at.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: the path has a zero byte
        if not isinstance(error, OSError) or error.errno in (errno.ENOENT, errno.ENOTDIR):
            link = isinstance(error, OSError) and path.is_symlink()
            raise RequestError(
                f"`{path}` is a link to what is not there" if link else f"there is no {wanted} `{path}`",
                hint="mend the link" if link else "the path is relative to the experiment's YAML",
            ) from error
        raise RequestError(f"`{path}` cannot be read: {error.strerror}") from error
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def scaled(levels: Array) -> Array:
    """Levels 0 … 255 of uint8 as float32 in [0, 1]."""
    return levels / np.float32(255)


def shares(levels: Tensor) -> Tensor:
    """The same of a tensor, to the same bits."""
    return levels.to(torch.float32).div_(255)


def content_of(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int = 0) -> Array:
    """The numbers in a file, mapped where they are many; changes of them do not reach the file."""
    mapped = np.memmap(path, dtype, mode="c", offset=offset, shape=shape)
    return mapped if mapped.nbytes >= MAPPED else np.array(mapped)


def label_field(name: str, array: Array, examples: int) -> Tensor:
    """An array as the labels of so many examples: int64 `[examples]`.

    Raises:
        RequestError: it is not one integer for each.
    """
    if array.shape != (examples,) or array.dtype.kind not in "iu":
        raise RequestError(
            f"`{name}` {list(array.shape)} of {array.dtype} holds no labels",
            hint=f"labels are integers, one for each of the {examples} examples",
        )
    return torch.from_numpy(array.astype(np.int64))


def labels_of(part: Any) -> Tensor | None:
    """The labels of a part of the data, without reading its examples; None where that cannot be."""
    if isinstance(part, genloss.Stored):
        return part.only("label").whole()["label"] if "label" in part.fields else None
    return getattr(part, "labels", None) if isinstance(part, Dataset) else part.get("label")


def class_count(*parts: genloss.Stored) -> int | None:
    """One more than the greatest label; None where there is none, or a negative one."""
    labels = [label for part in parts if (label := labels_of(part)) is not None]
    if not labels or min(int(label.min()) for label in labels) < 0:
        return None
    return max(int(label.max()) for label in labels) + 1


def drawn(count: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """The indices that are trained on, and a share drawn at random that is not."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    unseen, trained = order.tensor_split([round(share * count)])
    return trained, unseen


def divided(examples: genloss.Stored, share: float, seed: int) -> tuple[genloss.Stored, genloss.Stored]:
    """The examples that are trained on, and a share drawn at random that is not."""
    trained, unseen = drawn(len(examples), share, seed)
    return examples.chosen(trained), examples.chosen(unseen)


def require_two(source: str, *, training: int, held_out: int) -> None:
    """Raises RequestError unless there are at least two examples in both parts."""
    for what, count in (("training", training), ("held-out", held_out)):
        if count < 2:
            raise RequestError(
                f"`{source}` gives {count} {what} example{'s' * (count != 1)}; at least 2 are needed",
                hint="store more examples, or give another `held_out`",
            )


def images_of_bytes(train: genloss.Stored, held_out: genloss.Stored) -> genloss.Data:
    """Data of images whose 256 levels are scaled to [0, 1]."""
    shape = tuple(train[0]["x"].shape)
    return genloss.Data(
        genloss.DataSpec(
            shape,
            "image",
            size=len(train),
            value_range=(0.0, 1.0),
            vocabulary=256,
            classes=class_count(train, held_out),
        ),
        train=train,
        held_out=held_out,
    )
