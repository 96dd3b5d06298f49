"""The user's own data, from a NumPy file."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

import genloss
from genloss.errors import RequestError, did_you_mean
from genloss_builtin.datasets._files import (
    MAPPED,
    Array,
    Share,
    class_count,
    divided,
    label_field,
    require_file,
    require_two,
    shares,
)
from genloss_builtin.datasets._notes import drawn_at_random, with_notes

Kind = Literal["points", "image", "tokens"]
Range = tuple[float, float]

MAGIC = (b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")
"""First bytes of a .npy file, and of a .npz file: a zip archive with and without content."""


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

    Fields: `x` `[batch, *event]`; if given, `label` `[batch]` and `source` `[batch, *event]`. An array is
    read as

    * images `[C, H, W]`, if its shape is `[N, H, W]` or `[N, C, H, W]`. uint8 is divided by 255 (vocabulary
      256), bool becomes 0 and 1 (vocabulary 2), floats are unchanged.
    * points `[D]`, if it holds floats `[N]` or `[N, D]`; they are unchanged.
    * tokens `[T]`, if it holds integers `[N, T]` and `kind: tokens` is set.

    The file is never unpickled. Floats become float32; NaN and infinity are rejected. A large .npy file is
    memory-mapped: do not change it during training.

    Options:
        path: the .npy or .npz file, relative to the experiment.
        train: name of the training examples in a .npz file; required if it holds several arrays.
        labels: name of their integer labels, if any.
        held_out: share of the examples to hold out at random (0.25 by default), or the name of an array of
            held-out examples.
        held_out_labels: name of the labels of that array.
        source: name of an array with as many examples, of the same shape and dtype, which a flow transports
            to `x` instead of noise; the examples of one row need not be related.
        held_out_source: name of the corresponding array for an array of held-out examples.
        kind: what an example is, if its shape does not determine it.
        value_range: smallest and largest possible value of an element; checked, never used to rescale. For
            float images, [0, 1] and [−1, 1] are recognised; any other range must be given.
        vocabulary: number of tokens; the largest token plus one by default.
        channels_last: whether images are `[N, H, W, C]`; false by default.
        seed: seed for drawing held-out examples; 0 by default.

    Raises:
        RequestError: the file or its content cannot be used.
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
            hint="name that array with `held_out`; if `held_out` is a share, `labels` are split as well",
        )
    if held_out_source is not None and (source is None or unseen_name is None):
        raise RequestError(
            "`held_out_source` is given without `source` and an array of held-out examples",
            hint="name them with `source` and `held_out`; if that is a share, `source` is split as well",
        )
    if source is not None and unseen_name is not None and held_out_source is None:
        raise RequestError(
            f"`source` is given, but not for the held-out examples `{unseen_name}`",
            hint="name it with `held_out_source`",
        )
    named = (train, unseen_name, source, held_out_source)
    examples = {name: stored[name] for name in named if name is not None}
    _check_alike(examples)
    kind = kind or _kind(train, stored[train])
    x = {name: _examples(name, array, kind, channels_last) for name, array in examples.items()}
    bounds = [_bounds(name, array, x[name]) for name, array in examples.items()]
    value_range, vocabulary = _values(bounds, stored[train].dtype, kind, value_range, vocabulary)

    def part(name: str, label_name: str | None, source_name: str | None) -> genloss.Stored:
        fields, convert = dict(x[name].fields), dict(x[name].convert)
        if label_name is not None:
            fields["label"] = label_field(label_name, stored[label_name], len(x[name]))
        if source_name is not None:
            if len(x[source_name]) != len(x[name]):
                raise RequestError(
                    f"`{source_name}` has {len(x[source_name])} examples, but `{name}` has {len(x[name])}",
                    hint="store as many sources as there are examples",
                )
            fields["source"], convert["source"] = x[source_name].fields["x"], convert["x"]
        return genloss.Stored(fields, convert)

    trained = part(train, labels, source)
    if isinstance(held_out, str):
        unseen = part(held_out, held_out_labels, held_out_source)
    else:
        trained, unseen = divided(trained, held_out, seed)
    require_two(path.name, training=len(trained), held_out=len(unseen))
    data = genloss.Data(
        genloss.DataSpec(
            tuple(trained[0]["x"].shape),
            kind,
            size=len(trained),
            value_range=value_range,
            vocabulary=vocabulary,
            source=source is not None,
            classes=class_count(trained, unseen),
        ),
        train=trained,
        held_out=unseen,
    )
    how = f"the array `{held_out}`" if isinstance(held_out, str) else drawn_at_random(held_out, seed)
    return with_notes(data, how, more=_left_out(path, stored))


def _read(path: Path, names: tuple[str | None, ...]) -> dict[str, Array]:
    """Return the named arrays; if the first name is None, the file's only array comes first."""
    require_file(path)
    if path.suffix.lower() not in (".npy", ".npz"):
        raise RequestError(
            f"`{path.name}` is not a .npy or .npz file", hint="write one with numpy.save or numpy.savez"
        )
    try:
        # Opened here because numpy.load leaves a damaged .npz file open.
        with path.open("rb") as opened:
            if not opened.peek(6).startswith(MAGIC):
                raise ValueError("it is not a NumPy file, despite its name")
            if opened.peek(6).startswith(MAGIC[0]):
                return _only(_mapped(path), path.name, names)
            return _named(np.load(opened, allow_pickle=False), path.name, names)
    except RequestError:
        raise
    except Exception as error:  # numpy and zipfile raise many types of errors for damaged files
        if "Object arrays" in str(error) or "Python objects" in str(error):
            raise RequestError(
                f"`{path.name}` holds Python objects, which would have to be unpickled and could run code",
                hint="store an array of numbers: numpy.stack the examples, which must all have one shape",
            ) from error
        raise RequestError(
            f"`{path.name}` cannot be read: {str(error) or type(error).__name__}",
            hint="it must be readable, undamaged and written by numpy.save or numpy.savez",
        ) from error


def _left_out(path: Path, used: Mapping[str, Array]) -> tuple[str, ...]:
    """Return a note on the arrays in a .npz file that are not used."""
    if not zipfile.is_zipfile(path):
        return ()
    with zipfile.ZipFile(path) as archive:
        others = [name for each in archive.namelist() if (name := each.removesuffix(".npy")) not in used]
    shown = [f"`{name}`" for name in others[:8]] + (["…"] if len(others) > 8 else [])
    return (f"left out: {', '.join(shown)}",) if others else ()


def _mapped(path: Path) -> Array:
    """Return the array of a .npy file; a large one is memory-mapped, so that all processes share it."""
    array = np.lib.format.open_memmap(path, mode="c")
    return array if array.nbytes >= MAPPED else np.array(array)


def _only(array: Array, file: str, names: tuple[str | None, ...]) -> dict[str, Array]:
    for name in names:
        if name is not None:
            raise RequestError(
                f"`{file}` holds one unnamed array, so it has no array `{name}`",
                hint="store several arrays in one file with numpy.savez",
            )
    return {file: array}


def _named(content: Mapping[str, Array], file: str, names: tuple[str | None, ...]) -> dict[str, Array]:
    train, *others = names
    if train is None and len(content) != 1:
        raise RequestError(
            f"`{file}` holds {len(content)} arrays: {', '.join(content) or 'none'}",
            hint="name the training examples with `train`",
        )
    wanted = [train or next(iter(content)), *(name for name in others if name is not None)]
    for name in wanted:
        if name not in content:
            raise RequestError(f"`{file}` has no array `{name}`", hint=did_you_mean(name, content))
    arrays = {name: content[name] for name in wanted}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy returns any other archive member as bytes
            raise ValueError(f"`{name}` in it is not an array")
    return arrays


def _check_alike(examples: dict[str, Array]) -> None:
    for name, array in examples.items():
        if array.dtype.kind not in "fiub" or array.size == 0:
            raise RequestError(
                f"`{name}` {list(array.shape)} of {array.dtype} does not hold examples",
                hint="give an array of real numbers with the examples along its first dimension",
            )
    if len({(array.shape[1:], array.dtype) for array in examples.values()}) > 1:
        both = ", ".join(f"`{name}` {list(array.shape)} of {array.dtype}" for name, array in examples.items())
        raise RequestError(
            f"the arrays of examples differ: {both}", hint="store them with the same shape and dtype"
        )


def _kind(name: str, array: Array) -> Kind:
    if array.ndim in (3, 4):
        return "image"
    if array.ndim in (1, 2) and array.dtype.kind == "f":
        return "points"
    raise RequestError(
        f"cannot tell what the examples in `{name}` {list(array.shape)} of {array.dtype} are",
        hint="set `kind: tokens` or `kind: points`, or reshape images to [N, H, W] or [N, C, H, W]",
    )


def _examples(name: str, array: Array, kind: Kind, channels_last: bool) -> genloss.Stored:
    """Return the array as examples of a kind: float32 `[N, C, H, W]` or `[N, D]`, or int64 `[N, T]`."""
    what = f"`{name}` {list(array.shape)} of {array.dtype}"
    if channels_last and (kind != "image" or array.ndim != 4):
        raise RequestError(
            f"{what} has no channel dimension that could come last",
            hint="leave `channels_last` out; it is for images [N, H, W, C]",
        )
    if kind == "tokens":
        if array.ndim != 2 or array.dtype.kind not in "iu":
            raise RequestError(f"{what} does not hold tokens", hint="tokens are integers of shape [N, T]")
        return genloss.Stored({"x": _tensor(array)}, {"x": Tensor.long})
    if kind == "points":
        if array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
            raise RequestError(f"{what} does not hold points", hint="points are real numbers of shape [N, D]")
        return genloss.Stored({"x": _tensor(array).reshape(len(array), -1)}, {"x": Tensor.float})
    if array.ndim not in (3, 4):
        raise RequestError(f"{what} does not hold images", hint="images are [N, H, W] or [N, C, H, W]")
    if array.dtype not in (np.uint8, np.bool_) and array.dtype.kind != "f":
        raise RequestError(
            f"{what} does not hold images",
            hint="images are uint8 (0 … 255), bool, or float with a known range",
        )
    x = _tensor(array)
    if array.ndim == 3:
        x = x[:, None]
    elif channels_last:
        x = x.movedim(-1, 1)
    elif array.shape[3] in (1, 3, 4) and array.shape[1] not in (1, 3, 4):
        raise RequestError(f"{what} seems to have its channels last", hint="set `channels_last: true`")
    return genloss.Stored({"x": x}, {"x": shares if array.dtype == np.uint8 else Tensor.float})


def _tensor(array: Array) -> Tensor:
    """Return an array as a tensor: a view, unless torch cannot read it or it is not contiguous."""
    with np.errstate(over="ignore"):
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:
            array = array.astype(np.float32)
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.ascontiguousarray(native))


def _bounds(name: str, array: Array, examples: genloss.Stored) -> Range:
    """Return the smallest and the largest value.

    Raises:
        RequestError: a value is not finite.
    """
    if array.dtype.kind != "f":
        return array.min().item(), array.max().item()
    low, high, wrong, first, seen = math.inf, -math.inf, 0, None, 0
    for chunk in examples.chunks():
        x = chunk["x"]
        finite = x.isfinite()
        if not finite.all():
            wrong += int((~finite).sum())
            if first is None:
                first = seen + int((~finite).flatten(1).any(1).int().argmax())
        low, high, seen = min(low, x.min().item()), max(high, x.max().item()), seen + len(x)
    if wrong:
        raise RequestError(
            f"`{name}` holds {wrong} values that are NaN, infinite or too large for float32, the first "
            f"in example {first}",
            hint="leave these examples out, or replace the values",
        )
    return low, high


def _values(
    bounds: Sequence[Range],
    dtype: np.dtype[Any],
    kind: Kind,
    value_range: Range | None,
    vocabulary: int | None,
) -> tuple[Range | None, int | None]:
    """Return the value range and the vocabulary of the `DataSpec`, checked against the examples."""
    if value_range is not None and not value_range[0] < value_range[1]:
        raise RequestError(
            f"`value_range` {list(value_range)} is not a range",
            hint="give [smallest, largest], such as [0, 1]",
        )
    low = min(least for least, _ in bounds)
    high = max(greatest for _, greatest in bounds)
    if kind == "tokens":
        vocabulary = vocabulary or int(high) + 1
        if low < 0 or high >= min(vocabulary, 2**63):
            raise RequestError(f"tokens must be in 0 … {vocabulary - 1}; these are in {low} … {high}")
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
                hint="store them as float to use another range",
            )
        return (0.0, 1.0), 256 if dtype == np.uint8 else 2
    if kind == "image" and value_range is None:
        value_range = next(((a, 1.0) for a in (0.0, -1.0) if low >= a and high <= 1), None)
        if value_range is None:
            raise RequestError(
                f"float images must be in [0, 1] or [−1, 1]; these are in [{low:g}, {high:g}]",
                hint="divide them by the largest possible value, store uint8, or set `value_range`",
            )
    if value_range is not None and not (value_range[0] <= low and high <= value_range[1]):
        raise RequestError(
            f"the values are in [{low:g}, {high:g}], outside `value_range` {list(value_range)}"
        )
    return value_range, None
