"""Images in the IDX file format, in which MNIST and its relatives are distributed."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import genloss
from genloss.errors import RequestError
from genloss_builtin.datasets._files import (
    Array,
    Share,
    content_of,
    divided,
    images_of_bytes,
    label_field,
    require_file,
    require_two,
    shares,
)
from genloss_builtin.datasets._notes import drawn_at_random, with_notes

TYPES = {b"\x08": ">u1", b"\x09": ">i1", b"\x0b": ">i2", b"\x0c": ">i4", b"\x0d": ">f4", b"\x0e": ">f8"}
"""NumPy dtypes by the third byte of a file."""

DIMENSIONS = (b"\x01", b"\x02", b"\x03", b"\x04")
"""The fourth byte: the number of dimensions. The format has no limit; images never have more."""

PIECE = 2**20

EXPANSION = 1040
"""Upper bound on gzip's expansion; its maximum is about 1,032."""

GZIP = b"\x1f\x8b"


def _example(folder: Path) -> Mapping[str, Any]:
    generator = np.random.default_rng(0)
    for name, array in (
        ("images", generator.integers(256, size=(40, 6, 5), dtype=np.uint8)),
        ("labels", np.arange(40, dtype=np.uint8) % 2),
    ):
        sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
        (folder / name).write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())
    return {"path": folder / "images", "labels": folder / "labels"}


@genloss.dataset(example=_example)
def idx(
    *,
    path: Path,
    labels: Path | None = None,
    held_out: Share | Path = 0.25,
    held_out_labels: Path | None = None,
    seed: int = 0,
) -> genloss.Data:
    """Images from an IDX file, such as MNIST's `train-images-idx3-ubyte.gz`.

    Fields: `x` `[batch, 1, H, W]` in [0, 1] (level / 255), and `label` `[batch]` if labels are given.

    Files may be gzip-compressed, whatever their names.

    Options:
        path: the file of images, bytes `[N, H, W]`, relative to the experiment.
        labels: the file of their labels, integers `[N]`, if any.
        held_out: share of the images to hold out at random (0.25 by default), or the path of a file of
            held-out images.
        held_out_labels: the file of their labels.
        seed: seed for drawing held-out images; 0 by default.

    Source: LeCun, Cortes & Burges, "The MNIST database of handwritten digits", which defines the format.

    Raises:
        RequestError: a file or its content cannot be used.
    """
    if not isinstance(held_out, Path):
        if held_out_labels is not None:
            raise RequestError(
                "`held_out_labels` is given without a file of held-out images",
                hint="name that file with `held_out`; if `held_out` is a share, `labels` are split as well",
            )
        trained, unseen = divided(_stored(path, labels), held_out, seed)
    else:
        if path.resolve() == held_out.resolve():
            raise RequestError(
                f"`path` and `held_out` both name `{path.name}`",
                hint="give a share to hold out, such as 0.25",
            )
        trained, unseen = _stored(path, labels), _stored(held_out, held_out_labels)
        shapes = [list(part[0]["x"].shape[1:]) for part in (trained, unseen)]
        if shapes[0] != shapes[1]:
            raise RequestError(
                f"the images of `{path.name}` are {shapes[0]} pixels, those of `{held_out.name}` {shapes[1]}"
            )
    require_two(path.name, training=len(trained), held_out=len(unseen))
    how = f"those of `{held_out.name}`" if isinstance(held_out, Path) else drawn_at_random(held_out, seed)
    return with_notes(images_of_bytes(trained, unseen), how)


def _stored(images: Path, labels: Path | None) -> genloss.Stored:
    levels = _read(images)
    if levels.ndim != 3 or levels.dtype != np.uint8 or levels.size == 0:
        raise RequestError(
            f"`{images.name}` {list(levels.shape)} of {levels.dtype} does not hold images",
            hint="images are bytes of shape [N, H, W]"
            + ("; name a file of labels with `labels`" if levels.ndim == 1 else ""),
        )
    fields = {"x": torch.from_numpy(levels[:, None])}
    if labels is not None:
        fields["label"] = label_field(labels.name, _read(labels), len(levels))
    return genloss.Stored(fields, {"x": shares})


def _read(path: Path) -> Array:
    """Return the array in a file."""
    require_file(path)
    try:
        with path.open("rb") as opened:
            compressed = opened.read(2) == GZIP
        with gzip.open(path, "rb") if compressed else path.open("rb") as opened:
            header = opened.read(4)
            if header[:2] != bytes(2) or header[2:3] not in TYPES or header[3:] not in DIMENSIONS:
                raise ValueError("it does not begin like an IDX file")
            sizes = [int.from_bytes(opened.read(4), "big") for _ in range(header[3])]
            dtype = np.dtype(TYPES[header[2:3]])
            announced = math.prod(sizes) * dtype.itemsize
            most = path.stat().st_size * (EXPANSION if compressed else 1)
            if announced > most:
                raise ValueError(
                    f"its shape {sizes} requires {announced:,} bytes, but it has at most {most:,}"
                )
            if announced > (memory := os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")):
                raise ValueError(f"it requires {announced:,} bytes of memory, but there are only {memory:,}")
            if not compressed and announced == path.stat().st_size - opened.tell() > 0:
                array = content_of(path, dtype, tuple(sizes), opened.tell())
                return array.astype(dtype.newbyteorder("="), copy=False)
            # Read in pieces, and stop just past the announced size: neither number can be trusted yet.
            content = bytearray()
            while len(content) <= announced and (piece := opened.read(PIECE)):
                content += piece
            if len(content) != announced:
                found = "more" if len(content) > announced else f"{len(content):,}"
                raise ValueError(f"its shape {sizes} requires {announced:,} bytes, but it has {found}")
            array = np.frombuffer(content, dtype).reshape(sizes)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise RequestError(
            f"`{path.name}` cannot be read: {error}",
            hint="it must be an IDX file, optionally gzip-compressed: copy or download it again",
        ) from error
    return array.astype(dtype.newbyteorder("="), copy=False)
