"""A user's own data, from a NumPy file."""

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

    The file is only read, never unpickled. Floats become float32; NaN and infinity are refused. A large .npy
    file is mapped, not read as a whole: leave it as it is while it is trained on.

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
    bounds = [_bounds(name, array, x[name]) for name, array in examples.items()]
    value_range, vocabulary = _values(bounds, stored[train].dtype, kind, value_range, vocabulary)

    def part(name: str, label_name: str | None, source_name: str | None) -> genloss.Stored:
        fields, convert = dict(x[name].fields), dict(x[name].convert)
        if label_name is not None:
            fields["label"] = label_field(label_name, stored[label_name], len(x[name]))
        if source_name is not None:
            if len(x[source_name]) != len(x[name]):
                raise RequestError(
                    f"`{source_name}` holds {len(x[source_name])} examples, and `{name}` {len(x[name])}",
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
    """The arrays of those names; without a first name, the only array of the file, which comes first."""
    require_file(path)
    if path.suffix.lower() not in (".npy", ".npz"):
        raise RequestError(
            f"`{path.name}` is no .npy or .npz file", hint="write one by numpy.save or numpy.savez"
        )
    try:
        # Opened here, since numpy.load leaves a damaged .npz file open.
        with path.open("rb") as opened:
            if not opened.peek(6).startswith(MAGIC):
                raise ValueError("it is no NumPy file, whatever its name says")
            if opened.peek(6).startswith(MAGIC[0]):
                return _only(_mapped(path), path.name, names)
            return _named(np.load(opened, allow_pickle=False), path.name, names)
    except RequestError:
        raise
    except Exception as error:  # numpy and zipfile raise many kinds of errors for damaged files
        if "Object arrays" in str(error) or "Python objects" in str(error):
            raise RequestError(
                f"`{path.name}` holds Python objects, which would have to be unpickled and could run code",
                hint="store an array of numbers: numpy.stack the examples, which must all have one shape",
            ) from error
        raise RequestError(
            f"`{path.name}` cannot be read: {str(error) or type(error).__name__}",
            hint="it must be readable, undamaged, and written by numpy.save or numpy.savez",
        ) from error


def _left_out(path: Path, used: Mapping[str, Array]) -> tuple[str, ...]:
    """A note of the arrays in a .npz file that are not used."""
    if not zipfile.is_zipfile(path):
        return ()
    with zipfile.ZipFile(path) as archive:
        others = [name for each in archive.namelist() if (name := each.removesuffix(".npy")) not in used]
    shown = [f"`{name}`" for name in others[:8]] + (["…"] if len(others) > 8 else [])
    return (f"left out: {', '.join(shown)}",) if others else ()


def _mapped(path: Path) -> Array:
    """The array of a .npy file; a large one is mapped, so that all processes share what is read of it."""
    array = np.lib.format.open_memmap(path, mode="c")
    return array if array.nbytes >= MAPPED else np.array(array)


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


def _examples(name: str, array: Array, kind: Kind, channels_last: bool) -> genloss.Stored:
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
        return genloss.Stored({"x": _tensor(array)}, {"x": Tensor.long})
    if kind == "points":
        if array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
            raise RequestError(f"{what} holds no points", hint="points are real numbers of the shape [N, D]")
        return genloss.Stored({"x": _tensor(array).reshape(len(array), -1)}, {"x": Tensor.float})
    if array.ndim not in (3, 4):
        raise RequestError(f"{what} holds no images", hint="images have the shape [N, H, W] or [N, C, H, W]")
    if array.dtype not in (np.uint8, np.bool_) and array.dtype.kind != "f":
        raise RequestError(
            f"{what} holds no images", hint="images are uint8 (0 … 255), bool, or float with a known range"
        )
    x = _tensor(array)
    if array.ndim == 3:
        x = x[:, None]
    elif channels_last:
        x = x.movedim(-1, 1)
    elif array.shape[3] in (1, 3, 4) and array.shape[1] not in (1, 3, 4):
        raise RequestError(f"{what} looks as if its channels came last", hint="say `channels_last: true`")
    return genloss.Stored({"x": x}, {"x": shares if array.dtype == np.uint8 else Tensor.float})


def _tensor(array: Array) -> Tensor:
    """An array as a tensor: a view, unless torch cannot read it or an example would lie scattered."""
    with np.errstate(over="ignore"):
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:
            array = array.astype(np.float32)
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.ascontiguousarray(native))


def _bounds(name: str, array: Array, examples: genloss.Stored) -> Range:
    """The least and the greatest value.

    Raises:
        RequestError: one is not finite.
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
            f"`{name}` holds {wrong} values that are NaN, infinite or too great for float32, the first "
            f"in example {first}",
            hint="leave such examples out, or replace the values",
        )
    return low, high


def _values(
    bounds: Sequence[Range],
    dtype: np.dtype[Any],
    kind: Kind,
    value_range: Range | None,
    vocabulary: int | None,
) -> tuple[Range | None, int | None]:
    """The value range and the vocabulary of the `DataSpec`, checked against the examples."""
    if value_range is not None and not value_range[0] < value_range[1]:
        raise RequestError(
            f"`value_range` {list(value_range)} is no range", hint="give [least, greatest], such as [0, 1]"
        )
    low = min(least for least, _ in bounds)
    high = max(greatest for _, greatest in bounds)
    if kind == "tokens":
        vocabulary = vocabulary or int(high) + 1
        if low < 0 or high >= min(vocabulary, 2**63):
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
