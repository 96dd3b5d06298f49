"""A user's own data, from a NumPy file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge

import genloss
from genloss.errors import RequestError, did_you_mean
from genloss_builtin.datasets._files import (
    Array,
    Share,
    divided,
    label_field,
    require_file,
    require_two,
    scaled,
)

Kind = Literal["points", "image", "tokens"]
Range = tuple[float, float]

MAGIC = (b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")
"""What a .npy file begins with, and a .npz file: a zip archive with and without content."""


def _example(folder: Path) -> Mapping[str, Any]:
    generator = np.random.default_rng(0)
    images = generator.integers(256, size=(40, 6, 5), dtype=np.uint8)
    np.savez(folder / "images.npz", images=images, classes=np.arange(40) % 2)
    return {"path": folder / "images.npz", "train": "images", "labels": "classes"}


@genloss.dataset(example=_example)
def arrays(
    *,
    path: Path,
    train: str | None = None,
    labels: str | None = None,
    held_out: Share | str = 0.25,
    held_out_labels: str | None = None,
    source: str | None = None,
    held_out_source: str | None = None,
    kind: Kind | None = None,
    value_range: Range | None = None,
    vocabulary: Annotated[int, Ge(1)] | None = None,
    channels_last: bool = False,
    seed: int = 0,
) -> genloss.Data:
    """Examples from a .npy file, or from the named arrays of a .npz file.

    Fields: `x` `[batch, *event]`; where they are given, `label` `[batch]` and `source` `[batch, *event]`. Of
    an array become

    * `[N, H, W]` or `[N, C, H, W]`: images `[C, H, W]`. uint8 is divided by 255 (vocabulary 256), bool
      becomes 0 and 1 (vocabulary 2), floats stay as they are.
    * `[N]` or `[N, D]` of floats: points `[D]`, as they are.
    * `[N, T]` of integers with `kind: tokens`: tokens `[T]`.

    The file is only read, never unpickled. Floats become float32; NaN and infinity are refused.

    Options:
        path: of the .npy or .npz file, relative to the experiment.
        train: name of the training examples in a .npz file; needed where it holds several arrays.
        labels: name of their integer labels, if they have some.
        held_out: share of the examples that is drawn at random and not trained on (0.25 by default), or
            the name of an array of held-out examples.
        held_out_labels: name of the labels of such an array.
        source: name of an array of as many examples, alike in shape and dtype, that a flow is to carry to `x`
            in the place of noise; there need be no relation between the examples of one row.
        held_out_source: name of the same for an array of held-out examples.
        kind: what an example is, where its shape does not say it.
        value_range: least and greatest value an element can take, which are checked, never used to rescale.
            For float images [0, 1] or [−1, 1] is recognised; others must say it.
        vocabulary: number of tokens; one more than the greatest by default.
        channels_last: whether images are `[N, H, W, C]`; false by default.
        seed: of the drawing of held-out examples; 0 by default.

    Raises:
        RequestError: the file or what it holds cannot be used.
    """
    unseen_name = held_out if isinstance(held_out, str) else None
    stored = _read(path, (train, labels, unseen_name, held_out_labels, source, held_out_source))
    train = train or next(iter(stored))
    if held_out == train:
        raise RequestError(
            f"`train` and `held_out` both name `{train}`", hint="give a share to hold out, such as 0.25"
        )
    if held_out_labels is not None and not isinstance(held_out, str):
        raise RequestError(
            "`held_out_labels` is given without an array of held-out examples",
            hint="name that array by `held_out`; where it is a share, `labels` are divided as well",
        )
    if held_out_source is not None and (source is None or unseen_name is None):
        raise RequestError(
            "`held_out_source` is given without `source` and an array of held-out examples",
            hint="name those by `source` and `held_out`; where that is a share, `source` is divided as well",
        )
    if source is not None and unseen_name is not None and held_out_source is None:
        raise RequestError(
            f"`source` is given, and there is none for the held-out examples `{unseen_name}`",
            hint="name it by `held_out_source`",
        )
    named = (train, unseen_name, source, held_out_source)
    examples = {name: stored[name] for name in named if name is not None}
    _check_alike(examples)
    kind = kind or _kind(train, stored[train])
    x = {name: _examples(name, array, kind, channels_last) for name, array in examples.items()}
    value_range, vocabulary = _values(x, stored[train].dtype, kind, value_range, vocabulary)

    fields = {name: {"x": torch.from_numpy(array)} for name, array in x.items()}
    for part, label_name in ((train, labels), (str(held_out), held_out_labels)):
        if label_name is not None:
            fields[part]["label"] = label_field(label_name, stored[label_name], len(x[part]))
    for part, source_name in ((train, source), (str(held_out), held_out_source)):
        if source_name is not None:
            if len(x[source_name]) != len(x[part]):
                raise RequestError(
                    f"`{source_name}` holds {len(x[source_name])} examples, and `{part}` {len(x[part])}",
                    hint="store as many sources as there are examples",
                )
            fields[part] = fields[part] | {"source": torch.from_numpy(x[source_name])}
    if isinstance(held_out, str):
        trained, unseen = fields[train], fields[held_out]
    else:
        trained, unseen = divided(fields[train], held_out, seed)
    require_two(path.name, training=len(trained["x"]), held_out=len(unseen["x"]))
    return genloss.Data(
        genloss.DataSpec(
            tuple(trained["x"].shape[1:]),
            kind,
            size=len(trained["x"]),
            value_range=value_range,
            vocabulary=vocabulary,
            source=source is not None,
        ),
        train=trained,
        held_out=unseen,
    )


def _read(path: Path, names: tuple[str | None, ...]) -> dict[str, Array]:
    """The arrays of those names; without a first name, the only array of the file, which comes first."""
    require_file(path)
    if path.suffix not in (".npy", ".npz"):
        raise RequestError(
            f"`{path.name}` is no .npy or .npz file", hint="write one by numpy.save or numpy.savez"
        )
    try:
        # Opened here, since numpy.load leaves a damaged .npz file open.
        with path.open("rb") as opened:
            if not opened.peek(6).startswith(MAGIC):
                raise ValueError("it is no NumPy file, whatever its name says")
            content = np.load(opened, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return _only(content, path.name, names)
            return _named(content, path.name, names)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        if "Object arrays" in str(error):
            raise RequestError(
                f"`{path.name}` holds Python objects, which would have to be unpickled and could run code",
                hint="store an array of numbers: numpy.stack the examples, which must all have one shape",
            ) from error
        raise RequestError(
            f"`{path.name}` cannot be read: {error}",
            hint="it must be readable, undamaged, and written by numpy.save or numpy.savez",
        ) from error


def _only(array: Array, file: str, names: tuple[str | None, ...]) -> dict[str, Array]:
    for name in names:
        if name is not None:
            raise RequestError(
                f"`{file}` holds one array without a name, so there is no `{name}` in it",
                hint="store several arrays in one file by numpy.savez",
            )
    return {file: array}


def _named(content: Mapping[str, Array], file: str, names: tuple[str | None, ...]) -> dict[str, Array]:
    train, *others = names
    if train is None and len(content) != 1:
        raise RequestError(
            f"`{file}` holds {len(content)} arrays: {', '.join(content) or 'none'}",
            hint="say by `train` which of them are the training examples",
        )
    wanted = [train or next(iter(content)), *(name for name in others if name is not None)]
    for name in wanted:
        if name not in content:
            raise RequestError(f"`{file}` holds no array `{name}`", hint=did_you_mean(name, content))
    arrays = {name: content[name] for name in wanted}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy gives the bytes of whatever else an archive holds
            raise ValueError(f"`{name}` in it is no array")
    return arrays


def _check_alike(examples: dict[str, Array]) -> None:
    for name, array in examples.items():
        if array.dtype.kind not in "fiub" or array.size == 0:
            raise RequestError(
                f"`{name}` {list(array.shape)} of {array.dtype} holds no examples",
                hint="an array of real numbers is needed, the examples along its first dimension",
            )
    if len({(array.shape[1:], array.dtype) for array in examples.values()}) > 1:
        both = ", ".join(f"`{name}` {list(array.shape)} of {array.dtype}" for name, array in examples.items())
        raise RequestError(f"the arrays of examples differ: {both}", hint="store them alike")


def _kind(name: str, array: Array) -> Kind:
    if array.ndim in (3, 4):
        return "image"
    if array.ndim in (1, 2) and array.dtype.kind == "f":
        return "points"
    raise RequestError(
        f"`{name}` {list(array.shape)} of {array.dtype} does not say what an example is",
        hint="say `kind: tokens` or `kind: points`, or reshape images to [N, H, W] or [N, C, H, W]",
    )


def _examples(name: str, array: Array, kind: Kind, channels_last: bool) -> Array:
    """The array as examples of that kind: float32 `[N, C, H, W]` or `[N, D]`, or int64 `[N, T]`."""
    what = f"`{name}` {list(array.shape)} of {array.dtype}"
    if channels_last and (kind != "image" or array.ndim != 4):
        raise RequestError(
            f"{what} has no dimension of channels to come last",
            hint="`channels_last` is for images [N, H, W, C]; leave it out",
        )
    if kind == "tokens":
        if array.ndim != 2 or array.dtype.kind not in "iu":
            raise RequestError(f"{what} holds no tokens", hint="tokens are integers of the shape [N, T]")
        return array.astype(np.int64)
    if kind == "points":
        if array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
            raise RequestError(f"{what} holds no points", hint="points are real numbers of the shape [N, D]")
        return _finite(name, array.reshape(len(array), -1))
    if array.ndim not in (3, 4):
        raise RequestError(f"{what} holds no images", hint="images have the shape [N, H, W] or [N, C, H, W]")
    if array.dtype not in (np.uint8, np.bool_) and array.dtype.kind != "f":
        raise RequestError(
            f"{what} holds no images", hint="images are uint8 (0 … 255), bool, or float with a known range"
        )
    if array.ndim == 3:
        array = array[:, None]
    elif channels_last:
        array = np.moveaxis(array, -1, 1)
    elif array.shape[3] in (1, 3, 4) and array.shape[1] not in (1, 3, 4):
        raise RequestError(f"{what} looks as if its channels came last", hint="say `channels_last: true`")
    return _finite(name, scaled(array) if array.dtype == np.uint8 else array)


def _finite(name: str, array: Array) -> Array:
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    wrong = ~np.isfinite(array)
    if wrong.any():
        raise RequestError(
            f"`{name}` holds {wrong.sum()} values that are NaN, infinite or too great for float32, the first "
            f"in example {wrong.reshape(len(array), -1).any(1).argmax()}",
            hint="leave such examples out, or replace the values",
        )
    return array


def _values(
    x: dict[str, Array], dtype: np.dtype[Any], kind: Kind, value_range: Range | None, vocabulary: int | None
) -> tuple[Range | None, int | None]:
    """The value range and the vocabulary of the `DataSpec`, checked against the examples."""
    if value_range is not None and not value_range[0] < value_range[1]:
        raise RequestError(
            f"`value_range` {list(value_range)} is no range", hint="give [least, greatest], such as [0, 1]"
        )
    low = min(array.min().item() for array in x.values())
    high = max(array.max().item() for array in x.values())
    if kind == "tokens":
        vocabulary = vocabulary or int(high) + 1
        if low < 0 or high >= vocabulary:
            raise RequestError(f"tokens must lie in 0 … {vocabulary - 1}; these lie in {low} … {high}")
        if value_range is not None:
            raise RequestError("tokens have no `value_range`", hint="give `vocabulary` instead")
        return None, vocabulary
    if vocabulary is not None:
        raise RequestError(
            "`vocabulary` is an option for tokens", hint="store images of discrete values as uint8 or bool"
        )
    if dtype in (np.uint8, np.bool_) and kind == "image":
        if value_range not in (None, (0, 1)):
            raise RequestError(
                f"images of {dtype} are scaled to [0, 1], not to {list(value_range or ())}",
                hint="store them as float to have them in another range",
            )
        return (0.0, 1.0), 256 if dtype == np.uint8 else 2
    if kind == "image" and value_range is None:
        value_range = next(((a, 1.0) for a in (0.0, -1.0) if low >= a and high <= 1), None)
        if value_range is None:
            raise RequestError(
                f"float images must lie in [0, 1] or [−1, 1]; these lie in [{low:g}, {high:g}]",
                hint="divide them by the greatest possible value, store uint8, or give `value_range`",
            )
    if value_range is not None and not (value_range[0] <= low and high <= value_range[1]):
        raise RequestError(
            f"the values lie in [{low:g}, {high:g}], outside of `value_range` {list(value_range)}"
        )
    return value_range, None
