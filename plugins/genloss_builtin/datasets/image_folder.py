"""A user's own images, from a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import PIL.Image
import torch
from annotated_types import Ge, Le
from torch.utils.data import Dataset

import genloss
from genloss.errors import RequestError
from genloss_builtin.datasets import _image_files
from genloss_builtin.datasets._files import Fields, Share, drawn, require_file, require_two, shares
from genloss_builtin.datasets._image_files import Found
from genloss_builtin.datasets._notes import drawn_at_random, with_notes
from genloss_builtin.datasets._pictures import (
    FORMATS,
    Levels,
    Picture,
    decode,
    is_whole,
    reading,
    sixteen_bits,
)

IN_MEMORY = 2**30
"""Bytes of float32 up to which the images of a part are decoded once and kept."""

SOME = 32
"""Images that are decoded beforehand of those that are not kept."""

MEND = "mend it, or take it out of the folder"


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
    held_out: Share | Path | None = None,
    seed: int = 0,
) -> genloss.Data:
    """The images in a folder and in its sub-folders, brought to one size.

    Fields: `x` `[batch, 3, size, size]` in [0, 1] (level / 255), with 1 in place of 3 for grey. Where the
    images lie in several sub-folders, `label` `[batch]`: which one, in the order of their names.

    Where the folder's only sub-folders are `train` and one of `test`, `val`, `valid` and `validation`, those
    are the training and the held-out images, and not labels.

    Read are .bmp, .gif, .jpg, .png, .ppm, .tiff and .webp files, and .avif where Pillow does; others, and
    names that begin with a dot, are left out, and `genloss plan` says how many. An image is turned as its
    camera says, scaled until its shorter side has `size` pixels, and cut to its centre. What is transparent
    becomes white, and of moving images the first one is taken. Of 16 bits a channel the upper eight are read.

    Up to a gigabyte of images (as float32) is decoded when a run begins, and kept in memory, a byte a level.
    More are decoded each time they are drawn, which takes longer than a step of a small network; a .npy file,
    by `arrays`, does not. Of these, only the beginnings and ends of the files are looked at before.

    Options:
        path: of the folder, relative to the experiment.
        size: side of an image, in pixels; 64 by default.
        colour: "rgb" or "grey"; "rgb" by default.
        held_out: share of the images that is drawn at random and not trained on, or the path of a folder of
            held-out images; of its sub-folders each has a namesake in the other. By default the folder's own
            held-out part, or else 0.25.
        seed: of the drawing of held-out images; 0 by default.

    Raises:
        RequestError: the folder has no images, or one cannot be read.
    """
    found, unseen_found, share = _parts(path, held_out)
    names = _image_files.sub_folders(found)
    train = ImageFiles(found.folder, found.files, _image_files.labels(found, names), size, colour)
    if unseen_found is None:
        train, unseen = map(train.chosen, drawn(len(found.files), share, seed))
        how, looked_at = drawn_at_random(share, seed), [found]
    else:
        labels = _image_files.labels(unseen_found, names)
        unseen = ImageFiles(unseen_found.folder, unseen_found.files, labels, size, colour)
        how, looked_at = f"those in `{unseen_found.folder.name}`", [found, unseen_found]
    require_two(path.name, training=len(train), held_out=len(unseen))
    (kept, notes), (kept_unseen, _) = (
        part.decoded() if part.nbytes <= IN_MEMORY else part.checked() for part in (train, unseen)
    )
    lazy = isinstance(kept, ImageFiles) or isinstance(kept_unseen, ImageFiles)
    data = genloss.Data(
        genloss.DataSpec(
            train.shape,
            "image",
            size=len(train),
            value_range=(0.0, 1.0),
            vocabulary=256,
            classes=len(names) or None,
        ),
        train=kept,
        held_out=kept_unseen,
        digest=(lambda: f"{train.digest()}-{unseen.digest()}") if lazy else "",
    )
    return with_notes(
        data,
        how,
        names=names,
        more=(*_image_files.left_out(*looked_at), *notes),
    )


def _parts(path: Path, held_out: float | Path | None) -> tuple[Found, Found | None, float]:
    """The training images, the held-out ones if they lie apart, and the share to hold out if they do not."""
    if isinstance(held_out, Path):
        _image_files.require_apart(path, held_out)
    found = _image_files.find(path)
    train, unseen = _image_files.parts(path, found.files)
    if train is None:
        if isinstance(held_out, Path):
            return found, _image_files.find(held_out), 0.0
        return found, None, 0.25 if held_out is None else held_out
    if held_out is not None and unseen is not None:
        raise RequestError(
            f"the folder `{path}` has the held-out part `{unseen}`, and `held_out` asks for another",
            hint=f"leave `held_out` out, or name the training images alone: `path: {path / train}`",
        )
    return _parts(path / train, held_out if unseen is None else path / unseen)


@dataclass(frozen=True)
class ImageFiles(Dataset[Fields]):
    """Image files, each decoded when it is asked for.

    Attributes:
        folder: where they lie.
        files: paths relative to it.
        labels: int64 `[files]`, or None.
        size: side of a decoded image.
        colour: "rgb" or "grey".
    """

    folder: Path
    files: Sequence[Path]
    labels: torch.Tensor | None
    size: int
    colour: Literal["rgb", "grey"]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Fields:
        hint = (
            "put back the file that it was; if it is mended or taken out, the data are others: begin anew, "
            "or go on by `genloss resume --allow-drift`"
        )
        item = {"x": shares(_channels_first(self._picture(index, hint).levels))}
        return item if self.labels is None else {**item, "label": self.labels[index]}

    def _picture(self, index: int, hint: str = MEND) -> Picture:
        path = self.folder / self.files[index]
        with reading(f"the image `{path}`", hint):
            return decode(path, mode="RGB" if self.colour == "rgb" else "L", size=self.size)

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
        labels = None if self.labels is None else self.labels[indices]
        return replace(self, files=[self.files[index] for index in indices.tolist()], labels=labels)

    def decoded(self) -> tuple[genloss.Stored, tuple[str, ...]]:
        """All of them, in memory: their bytes; and notes of them."""
        x = torch.empty(len(self.files), *self.shape, dtype=torch.uint8)
        sixteen = []
        for index in range(len(self.files)):
            picture = self._picture(index)
            x[index] = _channels_first(picture.levels)
            sixteen.append(picture.sixteen)
        fields = {"x": x} if self.labels is None else {"x": x, "label": self.labels}
        return genloss.Stored(fields, {"x": shares}), sixteen_bits(sixteen, f"`{self.folder}`")

    def checked(self) -> tuple[ImageFiles, tuple[str, ...]]:
        """The same, once it is known that each file begins and ends as an image does; and notes of them."""
        for index, file in enumerate(self.files):
            path = self.folder / file
            with reading(f"the image `{path}`", MEND):
                require_file(path)
                with PIL.Image.open(path, formats=FORMATS):
                    pass
                whole = is_whole(path)
            if not whole:
                self._picture(index)  # which tells whether it only ends in an unusual way
        some = range(0, len(self.files), max(1, len(self.files) // SOME))
        sixteen = sixteen_bits((self._picture(index).sixteen for index in some), f"`{self.folder}`")
        return self, (*sixteen, "decoded when they are drawn: of their files, only the ends were looked at")

    def digest(self) -> str:
        """SHA-256 of the files' names and contents, and of what becomes of them."""
        labels = [] if self.labels is None else self.labels.tolist()
        sha = hashlib.sha256(f"{self.size} {self.colour} {labels}".encode())
        for file in self.files:
            with (
                reading(f"the image `{self.folder / file}`", MEND),
                (self.folder / file).open("rb") as opened,
            ):
                content = hashlib.file_digest(opened, "sha256").hexdigest()
            sha.update(f"{file.as_posix()} {content}\n".encode())
        return sha.hexdigest()


def _channels_first(levels: Levels) -> torch.Tensor:
    return torch.tensor(levels).reshape(*levels.shape[:2], -1).movedim(-1, 0)
