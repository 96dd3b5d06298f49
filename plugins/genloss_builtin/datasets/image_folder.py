"""The user's own images, from a folder."""

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
"""Size in bytes of float32 up to which the images of a split are decoded once and kept in memory."""

SOME = 32
"""Number of images that are decoded in advance for a check if the images are not kept in memory."""

MEND = "repair it, or remove it from the folder"


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
    """The images in a folder and its sub-folders, resized to one size.

    Fields: `x` `[batch, 3, size, size]` in [0, 1] (level / 255), with 1 instead of 3 for grey. If the images
    are in several sub-folders, `label` `[batch]`: the index of the sub-folder, sorted by name.

    If the folder's only sub-folders are `train` and one of `test`, `val`, `valid` and `validation`, they hold
    the training and the held-out images and are not labels.

    Reads .bmp, .gif, .jpg, .png, .ppm, .tiff and .webp files, and .avif if Pillow supports it; other files,
    and names that begin with a dot, are skipped, and `genloss plan` reports how many. An image is rotated as
    its EXIF orientation says, scaled until its shorter side has `size` pixels, and cropped to its centre.
    Transparent areas become white, and only the first frame of an animation is read. Of 16 bits per channel,
    the upper eight are read.

    Up to a gigabyte of images (as float32) is decoded when a run begins and kept in memory, one byte per
    level. Beyond that, each image is decoded whenever it is drawn, which takes longer than a step of a small
    network; a .npy file read by `arrays` avoids this. Only the first and last bytes of such files are checked
    in advance.

    Options:
        path: the folder, relative to the experiment.
        size: side of an image, in pixels; 64 by default.
        colour: "rgb" or "grey"; "rgb" by default.
        held_out: share of the images to hold out at random, or the path of a folder of held-out images, each
            sub-folder of which must also be in `path`. By default the folder's own held-out split, or else
            0.25.
        seed: seed for drawing held-out images; 0 by default.

    Raises:
        RequestError: the folder has no images, or an image cannot be read.
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
    """Return the training images, the held-out ones if they are separate, and else the share to hold out."""
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
            f"the folder `{path}` has the held-out part `{unseen}`, but `held_out` is set as well",
            hint=f"leave `held_out` out, or give only the training images: `path: {path / train}`",
        )
    return _parts(path / train, held_out if unseen is None else path / unseen)


@dataclass(frozen=True)
class ImageFiles(Dataset[Fields]):
    """Image files, each decoded on access.

    Attributes:
        folder: the folder of the files.
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
            "restore the original file; repairing or removing it changes the data: start a new study, or "
            "continue with `genloss resume --allow-drift`"
        )
        item = {"x": shares(_channels_first(self._picture(index, hint).levels))}
        return item if self.labels is None else {**item, "label": self.labels[index]}

    def _picture(self, index: int, hint: str = MEND) -> Picture:
        path = self.folder / self.files[index]
        with reading(f"the image `{path}`", hint):
            return decode(path, mode="RGB" if self.colour == "rgb" else "L", size=self.size)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a decoded image."""
        return (3 if self.colour == "rgb" else 1, self.size, self.size)

    @property
    def nbytes(self) -> int:
        """Size of all images, decoded to float32."""
        return 4 * len(self.files) * self.shape[0] * self.size**2

    def chosen(self, indices: torch.Tensor) -> ImageFiles:
        """Return a subset of the files."""
        labels = None if self.labels is None else self.labels[indices]
        return replace(self, files=[self.files[index] for index in indices.tolist()], labels=labels)

    def decoded(self) -> tuple[genloss.Stored, tuple[str, ...]]:
        """Return all images as bytes in memory, and notes on them."""
        x = torch.empty(len(self.files), *self.shape, dtype=torch.uint8)
        sixteen = []
        for index in range(len(self.files)):
            picture = self._picture(index)
            x[index] = _channels_first(picture.levels)
            sixteen.append(picture.sixteen)
        fields = {"x": x} if self.labels is None else {"x": x, "label": self.labels}
        return genloss.Stored(fields, {"x": shares}), sixteen_bits(sixteen, f"`{self.folder}`")

    def checked(self) -> tuple[ImageFiles, tuple[str, ...]]:
        """Check that each file begins and ends like an image; return the files, and notes on them."""
        for index, file in enumerate(self.files):
            path = self.folder / file
            with reading(f"the image `{path}`", MEND):
                require_file(path)
                with PIL.Image.open(path, formats=FORMATS):
                    pass
                whole = is_whole(path)
            if not whole:
                self._picture(index)  # raises unless it merely ends in an unusual way
        some = range(0, len(self.files), max(1, len(self.files) // SOME))
        sixteen = sixteen_bits((self._picture(index).sixteen for index in some), f"`{self.folder}`")
        return self, (*sixteen, "images are decoded when drawn: only the ends of their files were checked")

    def digest(self) -> str:
        """Return the SHA-256 of the files' names and contents, and of how they are decoded."""
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
