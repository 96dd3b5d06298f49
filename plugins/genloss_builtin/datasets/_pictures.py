"""Decode image files, or their bytes, to upright, opaque 8-bit levels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.features
import PIL.Image
import PIL.ImageOps

from genloss.errors import RequestError
from genloss_builtin.datasets._files import require_file

Levels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Mode = Literal["RGB", "L"]

SUFFIXES: tuple[str, ...] = (
    ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
FORMATS: tuple[str, ...] = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""The only formats tried, whatever the file's name: Pillow runs external programs to read some others."""

if PIL.features.check("avif"):
    SUFFIXES, FORMATS = (*SUFFIXES, ".avif"), (*FORMATS, "AVIF")

NOT_READ = (".avif", ".heic", ".heif", ".j2k", ".jp2", ".jxl", ".psd", ".raw", ".svg", ".tga")
"""Suffixes of other image formats, which are reported as unsupported."""


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        levels: `[H, W, 3]`, or `[H, W]` if grey.
        sixteen: the largest level if the file has 16 bits per channel, whose upper eight are the levels;
            None if it has eight.
    """

    levels: Levels
    sixteen: int | None


def decode(source: Path | bytes, *, mode: Mode | None = None, size: int | None = None) -> Picture:
    """Decode an image, rotated as its EXIF orientation says, with transparent areas made white.

    Args:
        source: a file, or the bytes of one.
        mode: colour or grey; as stored by default.
        size: side of the square to scale and centre-crop the image to; no change by default.

    Raises:
        RequestError: the file is not a regular file.
        Exception: of many types, as decoders raise for broken files.
    """
    if isinstance(source, Path):
        require_file(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # harmless damage, such as in a TIFF's tags
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        opened = io.BytesIO(source) if isinstance(source, bytes) else source
        with PIL.Image.open(opened, formats=FORMATS) as image:
            # Except for grey images, Pillow silently reads only the upper half of 16 bits per channel.
            deep = any(";16" in str(tile[3]) for tile in image.tile)
            mode = mode or ("L" if image.mode in ("1", "L", "LA", "La") else "RGB")
            if size is not None:
                # A JPEG is decoded at a fraction of its size if that is still at least twice the target.
                image.draft(mode, (2 * size, 2 * size))
            upright = PIL.ImageOps.exif_transpose(image)
            if upright.mode.startswith(("I", "F")):
                raise ValueError("its values have more than eight bits: scale and convert it to eight")
            greatest = _greatest(upright) if deep else None
            if "A" in upright.getbands() or "a" in upright.getbands() or "transparency" in upright.info:
                layer = upright.convert("RGBA")
                upright = PIL.Image.alpha_composite(PIL.Image.new("RGBA", layer.size, "white"), layer)
            fitted = upright.convert(mode)
            if size is not None:
                fitted = PIL.ImageOps.fit(fitted, (size, size), PIL.Image.Resampling.BICUBIC)
            return Picture(np.asarray(fitted), greatest)


def is_whole(path: Path) -> bool:
    """Return whether an image file ends as its format requires; False if only decoding can tell.

    Reads only the two ends of the file. Damage in between is found by decoding.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as opened:
        head, size = opened.read(16), opened.seek(0, io.SEEK_END)
        opened.seek(-min(size, 16), io.SEEK_END)
        tail = opened.read()
    if head.startswith(b"\xff\xd8"):  # JPEG
        return tail.endswith(b"\xff\xd9")
    if head.startswith(b"\x89PNG"):
        return tail[-8:-4] == b"IEND"
    if head.startswith(b"GIF8"):
        return tail.endswith(b"\x3b")
    if head.startswith(b"RIFF"):  # WebP
        return int.from_bytes(head[4:8], "little") + 8 <= size
    if head.startswith(b"BM"):
        return int.from_bytes(head[2:6], "little") <= size
    return False


@contextmanager
def reading(what: str, hint: str) -> Iterator[None]:
    """Turn any error of the body into a RequestError.

    Raises:
        RequestError: `what` cannot be read; with the hint.
    """
    try:
        yield
    except RequestError:
        raise
    except Exception as error:  # decoders raise many types of errors for broken files
        said = str(error) or type(error).__name__
        raise RequestError(f"{what} cannot be read: {said}", hint=hint) from error


def sixteen_bits(greatest: Iterable[int | None], what: str) -> tuple[str, ...]:
    """Return a note on the images with 16 bits per channel, if any, from each image's `sixteen`.

    Raises:
        RequestError: the images use fewer than 16 bits, such as 12, and would be nearly black.
    """
    found = [each for each in greatest if each is not None]
    if not found:
        return ()
    if max(found) < 128:
        raise RequestError(
            f"the images of {what} have 16 bits per channel but use fewer: only the upper eight bits are "
            f"read, whose largest value is {max(found)} of 255, so the images would be nearly black",
            hint="convert them to eight bits per channel, scaled to the range they use; or store them as "
            "a float array for `arrays`, with its `value_range`",
        )
    return (f"{len(found)} images have 16 bits per channel, of which the upper eight are read",)


def _greatest(image: PIL.Image.Image) -> int:
    """Return the largest level of the colour channels, without the alpha channel."""
    extrema: Any = image.getextrema()
    bands = dict(zip(image.getbands(), extrema if isinstance(extrema[0], tuple) else [extrema], strict=True))
    return int(max(high for band, (_, high) in bands.items() if band not in "Aa"))
