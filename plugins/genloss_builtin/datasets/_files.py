"""Helpers shared by the datasets that read user files: byte images, labels and the held-out split."""

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
"""Size in bytes from which a file is memory-mapped, so that all processes share its pages."""


def require_file(path: Path) -> None:
    """Raise RequestError unless `path` is a regular file: reading a pipe or a device might never end."""
    kind = kind_of(path)
    if kind == "folder":
        raise RequestError(f"`{path}` is a folder; expected a file")
    if kind == "other":
        raise RequestError(
            f"`{path}` is not a regular file, but a pipe, a socket or a device",
            hint="copy its content to a file",
        )


def kind_of(path: Path, wanted: str = "file") -> Literal["file", "folder", "other"]:
    """Return what kind of file a path is, without opening it.

    Raises:
        RequestError: the path does not exist or cannot be accessed.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: the path contains a null byte
        if not isinstance(error, OSError) or error.errno in (errno.ENOENT, errno.ENOTDIR):
            link = isinstance(error, OSError) and path.is_symlink()
            raise RequestError(
                f"`{path}` is a broken link" if link else f"no {wanted} `{path}` found",
                hint="repair the link" if link else "the path is relative to the experiment's YAML",
            ) from error
        raise RequestError(f"`{path}` cannot be read: {error.strerror}") from error
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def scaled(levels: Array) -> Array:
    """Scale uint8 levels 0 … 255 to float32 in [0, 1]."""
    return levels / np.float32(255)


def shares(levels: Tensor) -> Tensor:
    """Scale a tensor as `scaled` does an array, with bit-identical results."""
    return levels.to(torch.float32).div_(255)


def content_of(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int = 0) -> Array:
    """Return the numbers in a file, memory-mapped if large; changes to them are not written back."""
    mapped = np.memmap(path, dtype, mode="c", offset=offset, shape=shape)
    return mapped if mapped.nbytes >= MAPPED else np.array(mapped)


def label_field(name: str, array: Array, examples: int) -> Tensor:
    """Return an array as int64 labels `[examples]`.

    Raises:
        RequestError: the array is not one integer per example.
    """
    if array.shape != (examples,) or array.dtype.kind not in "iu":
        raise RequestError(
            f"`{name}` {list(array.shape)} of {array.dtype} does not hold labels",
            hint=f"labels are integers, one for each of the {examples} examples",
        )
    return torch.from_numpy(array.astype(np.int64))


def labels_of(part: Any) -> Tensor | None:
    """Return the labels of a part of the data without reading its examples, or None if not possible."""
    if isinstance(part, genloss.Stored):
        return part.only("label").whole()["label"] if "label" in part.fields else None
    return getattr(part, "labels", None) if isinstance(part, Dataset) else part.get("label")


def class_count(*parts: genloss.Stored) -> int | None:
    """Return the largest label plus one, or None without labels or with negative ones."""
    labels = [label for part in parts if (label := labels_of(part)) is not None]
    if not labels or min(int(label.min()) for label in labels) < 0:
        return None
    return max(int(label.max()) for label in labels) + 1


def drawn(count: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices to train on, and a random share of the indices to hold out."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    unseen, trained = order.tensor_split([round(share * count)])
    return trained, unseen


def divided(examples: genloss.Stored, share: float, seed: int) -> tuple[genloss.Stored, genloss.Stored]:
    """Return the examples to train on, and a random share of the examples to hold out."""
    trained, unseen = drawn(len(examples), share, seed)
    return examples.chosen(trained), examples.chosen(unseen)


def require_two(source: str, *, training: int, held_out: int) -> None:
    """Raise RequestError unless both parts have at least two examples."""
    for what, count in (("training", training), ("held-out", held_out)):
        if count < 2:
            raise RequestError(
                f"`{source}` has {count} {what} example{'s' * (count != 1)}; at least 2 are needed",
                hint="store more examples, or change `held_out`",
            )


def images_of_bytes(train: genloss.Stored, held_out: genloss.Stored) -> genloss.Data:
    """Return images with 256 levels, scaled to [0, 1], as `genloss.Data`."""
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
