"""The one reader of pictures: a file, or the bytes of one, as upright and opaque levels of eight bits."""

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
"""No other is tried, whatever a file's name: Pillow reads some by running programs."""

if PIL.features.check("avif"):
    SUFFIXES, FORMATS = (*SUFFIXES, ".avif"), (*FORMATS, "AVIF")

NOT_READ = (".avif", ".heic", ".heif", ".j2k", ".jp2", ".jxl", ".psd", ".raw", ".svg", ".tga")
"""Suffixes of other pictures: those among them that are not read are told as such."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        levels: `[H, W, 3]`, or `[H, W]` of a grey one.
        sixteen: of a file with 16 bits a channel, whose upper eight are the levels, the greatest level;
            None for one with eight.
    """

    levels: Levels
    sixteen: int | None


def decode(source: Path | bytes, *, mode: Mode | None = None, size: int | None = None) -> Picture:
    """Decodes a picture: turned as its camera says, and what is transparent made white.

    Args:
        source: a file, or the bytes of one.
        mode: colour or grey; as it is stored by default.
        size: side of a square, to whose size it is scaled, and cut to the centre; none by default.

    Raises:
        RequestError: the file is no regular one.
        Exception: of many kinds, as decoders raise for broken files.
    """
    if isinstance(source, Path):
        require_file(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damage that it can do without, such as in a TIFF's tags
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        opened = io.BytesIO(source) if isinstance(source, bytes) else source
        with PIL.Image.open(opened, formats=FORMATS) as image:
            # Pillow reads the upper half of 16 bits a channel without saying so, but for grey ones.
            deep = any(";16" in str(tile[3]) for tile in image.tile)
            mode = mode or ("L" if image.mode in ("1", "L", "LA", "La") else "RGB")
            if size is not None:
                # A JPEG is decoded at a fraction of its size, if that is still twice what is wanted.
                image.draft(mode, (2 * size, 2 * size))
            upright = PIL.ImageOps.exif_transpose(image)
            if upright.mode.startswith(("I", "F")):
                raise ValueError("its values have more than eight bits: convert it to eight, scaled as meant")
            greatest = _greatest(upright) if deep else None
            if "A" in upright.getbands() or "a" in upright.getbands() or "transparency" in upright.info:
                layer = upright.convert("RGBA")
                upright = PIL.Image.alpha_composite(PIL.Image.new("RGBA", layer.size, "white"), layer)
            fitted = upright.convert(mode)
            if size is not None:
                fitted = PIL.ImageOps.fit(fitted, (size, size), PIL.Image.Resampling.BICUBIC)
            return Picture(np.asarray(fitted), greatest)


def is_whole(path: Path) -> bool:
    """Whether a picture's file has the end that its format wants; False also where only decoding tells.

    It reads the file's two ends alone. What is damaged in between is found by decoding.

    Raises:
        OSError: it cannot be read.
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
    """Makes a request's error of whatever goes wrong with a picture.

    Raises:
        RequestError: of `what`, with the hint.
    """
    try:
        yield
    except RequestError:
        raise
    except Exception as error:  # decoders raise many kinds of errors for broken files
        said = str(error) or type(error).__name__
        raise RequestError(f"{what} cannot be read: {said}", hint=hint) from error


def sixteen_bits(greatest: Iterable[int | None], what: str) -> tuple[str, ...]:
    """A note of the pictures with 16 bits a channel, if there are some, from each one's `sixteen`.

    Raises:
        RequestError: they do not use all of their upper eight bits, as data of 12 bits do not, and would
            be nearly black.
    """
    found = [each for each in greatest if each is not None]
    if not found:
        return ()
    if max(found) < 128:
        raise RequestError(
            f"the pictures of {what} have 16 bits a channel, and use fewer: of their upper eight bits, which "
            f"are read, the greatest value is {max(found)} of 255, and so they would be nearly black",
            hint="convert them to eight bits a channel, scaled to the range that they have; or store them as "
            "a float array for `arrays`, with its `value_range`",
        )
    return (f"{len(found)} images have 16 bits a channel, of which the upper eight are read",)


def _greatest(image: PIL.Image.Image) -> int:
    """The greatest level of a colour, not of the opacity."""
    extrema: Any = image.getextrema()
    bands = dict(zip(image.getbands(), extrema if isinstance(extrema[0], tuple) else [extrema], strict=True))
    return int(max(high for band, (_, high) in bands.items() if band not in "Aa"))
