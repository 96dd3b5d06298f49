"""Text and images read by Hugging Face's `datasets` library, from a local file or the Hub."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge

import genloss
from genloss.errors import RequestError, did_you_mean
from genloss_builtin.datasets._files import (
    Share,
    divided,
    images_of_bytes,
    label_field,
    require_file,
    require_two,
    shares,
)
from genloss_builtin.datasets._json_rows import read_columns
from genloss_builtin.datasets._notes import drawn_at_random, with_notes
from genloss_builtin.datasets._pictures import decode, reading, sixteen_bits
from genloss_builtin.datasets._tokens import Length, Level, Stride, divide, tokenize, windows

SUFFIXES = (".parquet", ".csv", ".json", ".jsonl")
QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}
"""Environment variables that stop the library from reporting what is loaded."""

Rows = Any
"""A `datasets.Dataset`; the library is imported lazily."""


def _example(folder: Path) -> Mapping[str, Any]:
    rows = [f"row {number}: {number**2} is a square" for number in range(200)]
    (folder / "rows.jsonl").write_text(
        "".join(json.dumps({"text": row}) + "\n" for row in rows), encoding="utf-8"
    )
    return {"path": folder / "rows.jsonl", "column": "text", "length": 32}


MISSING = None if find_spec("datasets") else "it needs `pip install 'genloss[huggingface]'`"


@genloss.dataset(example=_example, unavailable=MISSING)
def huggingface(
    *,
    column: str,
    path: Path | None = None,
    repository: str | None = None,
    subset: str | None = None,
    revision: str | None = None,
    split: str | None = None,
    rows: Annotated[int, Ge(1)] | None = None,
    held_out: Share | str = 0.1,
    kind: Literal["text", "image"] = "text",
    labels: str | None = None,
    length: Length = 128,
    level: Level = "character",
    stride: Stride | None = None,
    seed: int = 0,
) -> genloss.Data:
    """A column of a local Parquet, CSV or JSON file, or of a dataset on the Hugging Face Hub.

    Fields: `x`, and `label` `[batch]` if labels are given. A column is read as

    * windows `[length]` of tokens with `kind: text`: the rows are joined by blank lines, and rows without
      text are skipped.
    * images `[C, H, W]` in [0, 1] with `kind: image`, grey or RGB, all of the same size. They are decoded as
      in `image_folder`: rotated as their EXIF orientation says, with transparent areas made white.

    Requires `pip install 'genloss[huggingface]'`. A local file is read without network access and without
    leaving files behind; a repository is downloaded once, to the library's own cache. No code from a
    repository is run.

    Options:
        column: the column with text or images.
        path: a .parquet, .csv, .json or .jsonl file, relative to the experiment; or
        repository: a dataset's name on the Hub, such as `user/name`.
        subset, revision: of a repository: its configuration, and a commit, which pins its content.
        split: split of a repository; "train" by default.
        rows: use only this many rows, the first ones; all by default.
        held_out: share to hold out: the end of a text, or images chosen at random; or the name of another
            split of the repository; 0.1 by default.
        kind: what the column holds, "text" or "image"; "text" by default.
        labels: the column with the images' integer labels, if any.
        length: for text: tokens per window; 128 by default.
        level: for text: what a token is, "character" or "byte"; "character" by default.
        stride: for text: tokens from the start of one training window to the start of the next; `length` by
            default.
        seed: seed for choosing held-out images; 0 by default.

    Raises:
        RequestError: the library is missing, or the content cannot be used.
    """
    if (path is None) == (repository is None):
        raise RequestError(
            "`huggingface` needs either `path` or `repository`",
            hint="`path` names a local file, `repository` a dataset on the Hub",
        )
    if path is not None:
        for option, value in (("subset", subset), ("revision", revision), ("split", split)):
            if value is not None:
                raise RequestError(f"`{option}` is only for a `repository`", hint="a file has no splits")
        if isinstance(held_out, str):
            raise RequestError(
                f"`held_out` names the split `{held_out}`, but a file has no splits",
                hint="give a share to hold out, such as 0.1",
            )
        source = f"`{path.name}`"
        parts = [_read_file(path, [column] if labels is None else [column, labels])]
    else:
        source = f"`{repository}`"
        splits = [split or "train", *([held_out] if isinstance(held_out, str) else [])]
        parts = [_download(str(repository), subset, revision, name) for name in splits]
    parts = [part.select(range(min(rows or len(part), len(part)))) for part in parts]
    for wanted in (column, labels):
        if wanted is not None and wanted not in parts[0].column_names:
            raise RequestError(
                f"{source} has no column `{wanted}`", hint=did_you_mean(wanted, parts[0].column_names)
            )
    if isinstance(held_out, str):
        how = f"the split `{held_out}`"
    else:
        how = f"the last {held_out:g} of the text" if kind == "text" else drawn_at_random(held_out, seed)
    if kind == "image":
        (train, notes), *other = (_images(part, column, labels, source) for part in parts)
        train, unseen = (train, other[0][0]) if isinstance(held_out, str) else divided(train, held_out, seed)
        require_two(source.strip("`"), training=len(train), held_out=len(unseen))
        names = getattr(parts[0].features[labels], "names", None) if labels is not None else None
        return with_notes(images_of_bytes(train, unseen), how, names=names or (), more=notes)
    if labels is not None:
        raise RequestError("`labels` is only for images", hint="leave it out with `kind: text`")
    texts = [_text(part, column, source) for part in parts]
    tokens = tokenize("".join(texts), level)
    if isinstance(held_out, str):
        count = len(texts[0]) if level == "character" else len(texts[0].encode())
        first, last = tokens[:count], tokens[count:]
    else:
        first, last = divide(tokens, held_out)
    data = windows(first, last, length=length, stride=stride, source=source)
    empty = sum(not row for part in parts for row in part[column])
    return with_notes(data, how, more=[f"left out: {empty:,} rows without text"] if empty else ())


def _library() -> Any:
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    try:
        import datasets
    except ImportError as error:
        raise RequestError(
            f"dataset `huggingface` needs the library `datasets`: {error}",
            hint="pip install 'genloss[huggingface]'",
        ) from error
    return datasets


def _read_file(path: Path, wanted: Collection[str]) -> Rows:
    datasets = _library()
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise RequestError(f"`{path.name}` is not one of {', '.join(SUFFIXES)}", hint="convert it to Parquet")
    require_file(path)
    with _reading(f"`{path.name}`"), tempfile.TemporaryDirectory() as cache:
        if suffix.startswith(".json"):
            return datasets.Dataset.from_dict(read_columns(path, wanted))
        # `load_dataset` would report every load to the Hub, even of a local file.
        read = datasets.Dataset.from_csv if suffix == ".csv" else datasets.Dataset.from_parquet
        return read(str(path), cache_dir=cache, keep_in_memory=True)


def _download(repository: str, subset: str | None, revision: str | None, split: str) -> Rows:
    datasets = _library()
    with _reading(f"`{repository}`"):
        return datasets.load_dataset(repository, subset, revision=revision, split=split)


@contextmanager
def _reading(source: str) -> Iterator[None]:
    logging = _library().logging
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)  # the error has the same information
    try:
        yield
    except RequestError:
        raise
    except Exception as error:  # the library raises many types of errors
        cause = error.__cause__ or error
        said = str(cause).strip().splitlines()
        raise RequestError(
            f"{source} cannot be read: {said[0][:300] if said else type(cause).__name__}",
            hint="check its name, split and format; for a repository, also the network",
        ) from error
    finally:
        logging.set_verbosity(verbosity)


def _text(part: Rows, column: str, source: str) -> str:
    feature = part.features[column]
    if getattr(feature, "dtype", None) not in ("string", "large_string"):
        raise RequestError(
            f"column `{column}` of {source} does not hold text, but {feature}",
            hint="name a column of strings, or set `kind: image`",
        )
    return "".join(f"{row}\n\n" for row in part[column] if row)


def _images(
    part: Rows, column: str, labels: str | None, source: str
) -> tuple[genloss.Stored, tuple[str, ...]]:
    """Return the images `[N, C, H, W]` as bytes, scaled to [0, 1] on reading, with labels; and notes."""
    datasets = _library()
    feature = part.features[column]
    is_image = isinstance(feature, datasets.Image) or (isinstance(feature, dict) and "bytes" in feature)
    if not is_image and getattr(feature, "dtype", None) not in ("binary", "large_binary"):
        raise RequestError(
            f"column `{column}` of {source} does not hold images, but {feature}",
            hint="images are the bytes of PNG or JPEG files; text is read with `kind: text`",
        )
    # Decoded here because the library would fetch images given by URL.
    stored = part.cast_column(column, datasets.Image(decode=False))[column]
    pictures = []
    for row, item in enumerate(stored):
        what = f"the image in row {row} of column `{column}` of {source}"
        with reading(what, "repair that row, or remove it from the file"):
            if item is None:
                raise ValueError("it is missing")
            pictures.append(decode(item["bytes"] or Path(item["path"])))
    shapes = {picture.levels.shape for picture in pictures}
    if len(shapes) > 1:
        listed = ", ".join(str(list(shape)) for shape in sorted(shapes)[:3])
        raise RequestError(
            f"the images of {source} differ in shape: {listed}",
            hint="convert them to one size and colour mode",
        )
    x = torch.from_numpy(np.stack([picture.levels for picture in pictures]))
    fields = {"x": x.unsqueeze(1) if x.dim() == 3 else x.movedim(-1, 1)}
    if labels is not None:
        fields["label"] = label_field(labels, np.asarray(part[labels][:]), len(x))
    notes = sixteen_bits([picture.sixteen for picture in pictures], source)
    return genloss.Stored(fields, {"x": shares}), notes
