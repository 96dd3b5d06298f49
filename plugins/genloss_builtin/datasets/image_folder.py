"""A user's own images, from a folder."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import PIL.Image
import PIL.ImageOps
import torch
from annotated_types import Ge, Le
from torch.utils.data import Dataset

import genloss
from genloss.errors import RequestError
from genloss_builtin.datasets._files import Fields, Share, drawn, require_two, scaled

SUFFIXES = (
    ".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""No other is tried, whatever a file's name: Pillow reads some by running programs."""

IN_MEMORY = 2**30
"""Bytes of float32 up to which the images of a part are decoded once and kept."""


def _example(folder: Path) -> Mapping[str, Any]:
    generator = np.random.default_rng(0)
    for number in range(20):
        file = folder / "images" / ("odd" if number % 2 else "even") / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(generator.integers(256, size=(9, 7, 3), dtype=np.uint8)).save(file)
    return {"path": folder / "images", "size": 6}


@genloss.dataset(example=_example)
def image_folder(
    *,
    path: Path,
    size: Annotated[int, Ge(2), Le(1024)] = 64,
    colour: Literal["rgb", "grey"] = "rgb",
    held_out: Share | Path = 0.25,
    seed: int = 0,
) -> genloss.Data:
    """The images in a folder and in its sub-folders, brought to one size.

    Fields: `x` `[batch, 3, size, size]` in [0, 1] (level / 255), with 1 in place of 3 for grey. Where the
    images lie in several sub-folders, `label` `[batch]`: which one, in the order of their names.

    Read are .bmp, .gif, .jpg, .png, .ppm, .tiff and .webp files; others, and names that begin with a dot, are
    left out. An image is turned as its camera says, scaled until its shorter side has `size` pixels, and cut
    to its centre. What is transparent becomes white, and of moving images the first one is taken.

    Up to a gigabyte of images (as float32) is decoded when a run begins, and kept in memory. More are decoded
    each time they are drawn, which takes longer than a step of a small network; a .npy file, by `arrays`,
    does not.

    Options:
        path: of the folder, relative to the experiment.
        size: side of an image, in pixels; 64 by default.
        colour: "rgb" or "grey"; "rgb" by default.
        held_out: share of the images that is drawn at random and not trained on (0.25 by default), or the
            path of a folder of held-out images; of its sub-folders each has a namesake in the other.
        seed: of the drawing of held-out images; 0 by default.

    Raises:
        RequestError: the folder has no images, or one cannot be read.
    """
    files = _find(path)
    names = _sub_folders(path, files)
    everything = ImageFiles(path, files, _labels(path, files, names), size, colour)
    if isinstance(held_out, Path):
        _require_apart(path, held_out)
        others = _find(held_out)
        train = everything
        unseen = ImageFiles(held_out, others, _labels(held_out, others, names), size, colour)
    else:
        train, unseen = map(everything.chosen, drawn(len(files), held_out, seed))
    require_two(path.name, training=len(train), held_out=len(unseen))
    parts = [part.decoded() if part.nbytes <= IN_MEMORY else part.checked() for part in (train, unseen)]
    lazy = any(isinstance(part, ImageFiles) for part in parts)
    return genloss.Data(
        genloss.DataSpec(train.shape, "image", size=len(train), value_range=(0.0, 1.0), vocabulary=256),
        train=parts[0],
        held_out=parts[1],
        digest=f"{train.digest()}-{unseen.digest()}" if lazy else "",
    )


@dataclass(frozen=True)
class ImageFiles(Dataset[Fields]):
    """Image files, each decoded when it is asked for.

    Attributes:
        folder: where they lie.
        files: paths relative to it.
        labels: of each file; none for no file, or one for each.
        size: side of a decoded image.
        colour: "rgb" or "grey".
    """

    folder: Path
    files: Sequence[Path]
    labels: Sequence[int]
    size: int
    colour: Literal["rgb", "grey"]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Fields:
        levels = _decode(self.folder / self.files[index], self.size, "RGB" if self.colour == "rgb" else "L")
        item = {"x": torch.from_numpy(scaled(levels)).reshape(self.size, self.size, -1).movedim(-1, 0)}
        return {**item, "label": torch.tensor(self.labels[index])} if self.labels else item

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a decoded image."""
        return (3 if self.colour == "rgb" else 1, self.size, self.size)

    @property
    def nbytes(self) -> int:
        """Of all images, decoded to float32."""
        return 4 * len(self.files) * self.shape[0] * self.size**2

    def chosen(self, indices: torch.Tensor) -> ImageFiles:
        """Some of the files."""
        chosen = indices.tolist()
        labels = [self.labels[index] for index in chosen] if self.labels else []
        return replace(self, files=[self.files[index] for index in chosen], labels=labels)

    def decoded(self) -> Fields:
        """All of them, in memory."""
        x = torch.empty(len(self.files), *self.shape)
        for index in range(len(self.files)):
            x[index] = self[index]["x"]
        return {"x": x, "label": torch.tensor(self.labels)} if self.labels else {"x": x}

    def checked(self) -> ImageFiles:
        """The same, once it is known that each file begins as an image does."""
        for file in self.files:
            with _reading(self.folder / file), PIL.Image.open(self.folder / file, formats=FORMATS):
                pass
        return self

    def digest(self) -> str:
        """SHA-256 of the files' names and contents, and of what becomes of them."""
        sha = hashlib.sha256(f"{self.size} {self.colour} {self.labels}".encode())
        for file in self.files:
            with _reading(self.folder / file), (self.folder / file).open("rb") as opened:
                content = hashlib.file_digest(opened, "sha256").hexdigest()
            sha.update(f"{file.as_posix()} {content}\n".encode())
        return sha.hexdigest()


def _find(folder: Path) -> list[Path]:
    """The image files in a folder and its sub-folders, relative to it, in the order of their names."""

    def refuse(error: OSError) -> None:
        raise RequestError(f"`{error.filename}` cannot be read: {error.strerror}") from error

    if not folder.is_dir():
        what = "is a file, and a folder is needed" if folder.exists() else "is no folder"
        raise RequestError(f"`{folder}` {what}", hint="the path is relative to the experiment's YAML")
    found, seen = [], set()
    for where, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            raise RequestError(
                f"the folder `{where}` is a link to one that is read already",
                hint="remove the link: its images would be trained on and held out at once",
            )
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                found.append((Path(where) / name).relative_to(folder))
    if not found:
        raise RequestError(
            f"there are no images in the folder `{folder}`", hint=f"images are {', '.join(SUFFIXES)} files"
        )
    return sorted(found, key=Path.as_posix)


def _sub_folders(folder: Path, files: Sequence[Path]) -> list[str]:
    """The names of the sub-folders that part the images, in their order; none where there are not two."""
    names = sorted({file.parts[0] for file in files if len(file.parts) > 1})
    beside = [file for file in files if len(file.parts) == 1]
    if names and beside:
        raise RequestError(
            f"the folder `{folder}` has images of its own, such as `{beside[0]}`, beside the sub-folder "
            f"`{names[0]}` with images",
            hint="put all images into sub-folders, which are their labels, or none",
        )
    return names if len(names) > 1 else []


def _labels(folder: Path, files: Sequence[Path], names: Sequence[str]) -> list[int]:
    """The index of each file's sub-folder among those names; none where there are no names."""
    if not names:
        return []
    index = {name: position for position, name in enumerate(names)}
    for file in files:
        if len(file.parts) < 2 or file.parts[0] not in index:
            raise RequestError(
                f"`{folder / file}` lies in no sub-folder that the training images have as well",
                hint=f"theirs are {', '.join(names[:8])}{', …' if len(names) > 8 else ''}",
            )
    return [index[file.parts[0]] for file in files]


def _require_apart(path: Path, held_out: Path) -> None:
    one, other = path.resolve(), held_out.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise RequestError(
            f"of the folders `{path}` and `{held_out}` one has the other's images as well",
            hint="give two folders apart, or a share to hold out, such as 0.25",
        )


def _decode(
    path: Path, size: int, mode: Literal["RGB", "L"]
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Levels `[size, size, 3]` or `[size, size]` of an image file."""
    with _reading(path), PIL.Image.open(path, formats=FORMATS) as image:
        # A JPEG is decoded at a fraction of its size, if that is still twice what is wanted.
        image.draft(mode, (2 * size, 2 * size))
        upright = PIL.ImageOps.exif_transpose(image)
        if upright.mode.startswith(("I", "F")):
            raise ValueError("its values have more than eight bits")
        if "A" in upright.getbands() or "transparency" in upright.info:
            layer = upright.convert("RGBA")
            upright = PIL.Image.alpha_composite(PIL.Image.new("RGBA", layer.size, "white"), layer)
        fitted = PIL.ImageOps.fit(upright.convert(mode), (size, size), PIL.Image.Resampling.BICUBIC)
        return np.asarray(fitted)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Names the file in whatever goes wrong with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            yield
    except Exception as error:  # decoders raise many kinds of errors for broken files
        raise RequestError(
            f"the image `{path}` cannot be read: {error}", hint="mend it, or take it out of the folder"
        ) from error
