"""A user's own NumPy files: what becomes of them, and what is said of those that cannot be used."""

from __future__ import annotations

import os
import pickle
import stat

import numpy as np
import pytest
import torch

from genloss.errors import RequestError
from genloss_builtin.datasets.arrays import arrays

rng = np.random.default_rng(0)


@pytest.fixture
def store(tmp_path):
    """Writes one array as .npy, or named ones as .npz, and gives the path."""

    def store(array=None, **named):
        if array is not None:
            np.save(tmp_path / "data.npy", array)
            return tmp_path / "data.npy"
        np.savez(tmp_path / "data.npz", **named)
        return tmp_path / "data.npz"

    return store


def both_parts(data):
    return torch.cat([data.train["x"], data.held_out["x"]])


def test_uint8_images_are_scaled_to_one(store):
    array = rng.integers(0, 256, (40, 6, 5), dtype=np.uint8)
    array[0, 0, :2] = 0, 255
    data = arrays(path=store(array))
    assert data.spec.event_shape == (1, 6, 5)
    assert (data.spec.kind, data.spec.value_range, data.spec.vocabulary) == ("image", (0, 1), 256)
    assert data.spec.size == len(data.train["x"]) == 30
    levels = both_parts(data) * 255
    assert (levels.min().item(), levels.max().item()) == (0, 255)
    assert sorted(levels.round().flatten().tolist()) == sorted(array.flatten().tolist())


def test_channels(store):
    colour = rng.random((8, 3, 5, 5), dtype=np.float32)
    first = arrays(path=store(colour))
    last = arrays(path=store(np.moveaxis(colour, 1, -1)), channels_last=True)
    assert first.spec.event_shape == last.spec.event_shape == (3, 5, 5)
    assert torch.equal(first.train["x"], last.train["x"])
    with pytest.raises(RequestError, match="channels last") as raised:
        arrays(path=store(np.moveaxis(colour, 1, -1)))
    assert "channels_last: true" in raised.value.hint


@pytest.mark.parametrize(
    ("array", "event_shape", "kind", "value_range", "vocabulary"),
    [
        (np.linspace(-3, 3, 8), (1,), "points", None, None),
        (np.ones((8, 3), dtype=np.float16), (3,), "points", None, None),
        (np.eye(8).reshape(8, 4, 2), (1, 4, 2), "image", (0, 1), None),
        (np.eye(8).reshape(8, 4, 2) - 0.5, (1, 4, 2), "image", (-1, 1), None),
        (np.eye(8).reshape(8, 4, 2) > 0, (1, 4, 2), "image", (0, 1), 2),
    ],
    ids=["numbers", "half", "unit", "symmetric", "bool"],
)
def test_kind_and_range_are_recognised(store, array, event_shape, kind, value_range, vocabulary):
    data = arrays(path=store(array))
    assert data.spec.event_shape == event_shape
    assert (data.spec.kind, data.spec.value_range, data.spec.vocabulary) == (kind, value_range, vocabulary)
    assert data.train["x"].dtype == torch.float32
    assert sorted(both_parts(data).flatten().tolist()) == sorted(array.astype(np.float32).flatten().tolist())


def test_foreign_byte_order(store):
    array = np.arange(8, dtype=">f8")
    assert sorted(both_parts(arrays(path=store(array))).flatten().tolist()) == list(range(8))


def test_tokens(store):
    array = rng.integers(0, 7, (10, 12))
    array[0, 0] = 6
    data = arrays(path=store(array), kind="tokens")
    assert (data.spec.kind, data.spec.event_shape, data.spec.vocabulary) == ("tokens", (12,), 7)
    assert data.train["x"].dtype == torch.int64
    assert arrays(path=store(array), kind="tokens", vocabulary=50).spec.vocabulary == 50


def test_share_is_drawn_by_the_seed_with_its_labels(store):
    path = store(x=np.arange(100.0), y=np.arange(100, dtype=np.uint8))
    data = arrays(path=path, train="x", labels="y", held_out=0.3)
    assert len(data.held_out["x"]) == 30
    assert sorted(both_parts(data).flatten().tolist()) == list(range(100))
    for part in (data.train, data.held_out):
        assert torch.equal(part["x"].flatten().long(), part["label"])
        assert part["label"].dtype == torch.int64
    assert arrays(path=path, train="x", labels="y", held_out=0.3).digest == data.digest
    assert arrays(path=path, train="x", labels="y", held_out=0.3, seed=1).digest != data.digest


def test_named_arrays(store):
    path = store(
        x_train=np.arange(6.0), y_train=np.zeros(6, int), x_test=np.arange(3.0) + 10, y_test=np.ones(3, int)
    )
    data = arrays(path=path, train="x_train", labels="y_train", held_out="x_test", held_out_labels="y_test")
    assert data.train["x"].flatten().tolist() == list(range(6))
    assert data.train["label"].tolist() == [0] * 6
    assert data.held_out["x"].flatten().tolist() == [10, 11, 12]
    assert data.held_out["label"].tolist() == [1] * 3


def test_a_source_is_divided_with_the_examples(store):
    images, source = rng.integers(0, 256, (2, 40, 6, 5), dtype=np.uint8)
    data = arrays(path=store(images=images, source=source), train="images", source="source")
    assert data.spec.source
    assert data.held_out["source"].shape == (10, 1, 6, 5)
    rows = {image.tobytes(): other for image, other in zip(images, source, strict=True)}
    for part in (data.train, data.held_out):
        for x, other in zip(part["x"], part["source"], strict=True):
            at = (x * 255).round().byte().numpy().tobytes()
            assert (other * 255).round().byte().numpy().tobytes() == rows[at].tobytes()
    assert not arrays(path=store(images=images)).spec.source


def test_a_held_out_source_is_named(store):
    path = store(x=np.arange(6.0), y=np.arange(3.0), from_x=-np.arange(6.0), from_y=-np.arange(3.0))
    data = arrays(path=path, train="x", held_out="y", source="from_x", held_out_source="from_y")
    assert torch.equal(data.train["source"], -data.train["x"])
    assert torch.equal(data.held_out["source"], -data.held_out["x"])


def test_the_only_array_needs_no_name(store):
    assert arrays(path=store(anything=np.arange(8.0))).spec.size == 6


def test_file_is_only_read(store):
    path = store(np.arange(8.0))
    path.chmod(stat.S_IRUSR)
    before = path.read_bytes(), path.stat().st_mtime_ns
    arrays(path=path).train["x"].add_(1)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert list(path.parent.iterdir()) == [path]


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_objects_are_never_unpickled(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    array = np.array([Hostile(), Hostile()], dtype=object)
    path = tmp_path / f"data.{suffix}"
    np.save(path, array) if suffix == "npy" else np.savez(path, x=array)
    with pytest.raises(RequestError, match="Python objects"):
        arrays(path=path)
    path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(RequestError, match="cannot be read"):
        arrays(path=path)
    assert not (tmp_path / "unpickled").exists()


IMAGES = np.zeros((8, 4, 4), dtype=np.float32)
NAN = np.where(np.arange(8) == 5, np.nan, 0.0)


@pytest.mark.parametrize(
    ("array", "options", "message", "hint"),
    [
        (
            NAN,
            {},
            "1 values that are NaN, infinite or too large for float32, the first in example 5",
            "leave",
        ),
        (np.full(8, 1e300), {}, "8 values that are NaN, infinite or too large", "replace"),
        (np.zeros((0, 3)), {}, r"\[0, 3\] of float64 does not hold examples", "real numbers"),
        (np.array(1.0), {}, "cannot tell what the examples in", "reshape"),
        (np.zeros(8, dtype=complex), {}, "of complex128 does not hold examples", "real numbers"),
        (np.array(["a", "b"]), {}, "of <U1 does not hold examples", "real numbers"),
        (
            np.zeros((8, 4), dtype=int),
            {},
            "cannot tell what the examples in",
            "`kind: tokens` or `kind: points`",
        ),
        (np.zeros((8, 2, 2, 2, 2)), {}, "cannot tell what the examples in", "reshape"),
        (np.zeros((8, 4)), {"kind": "image"}, "does not hold images", r"\[N, H, W\]"),
        (np.zeros((8, 4, 4), dtype=np.int16), {}, "does not hold images", "uint8"),
        (IMAGES, {"kind": "points"}, "does not hold points", r"\[N, D\]"),
        (np.zeros((8, 4)), {"kind": "tokens"}, "does not hold tokens", "integers"),
        (IMAGES + 255, {}, r"must be in \[0, 1\] or \[−1, 1\]; these are in \[255, 255\]", "divide"),
        (IMAGES + 2, {"value_range": (0, 1)}, r"outside `value_range` \[0, 1\]", None),
        (IMAGES, {"value_range": (1, 0)}, r"`value_range` \[1, 0\] is not a range", "smallest"),
        (IMAGES.astype(np.uint8), {"value_range": (-1, 1)}, r"scaled to \[0, 1\]", "float"),
        (IMAGES, {"channels_last": True}, "no channel dimension that could come last", r"[N, H, W, C]"),
        (NAN, {"channels_last": True}, "no channel dimension", "out"),
        (IMAGES, {"vocabulary": 2}, "`vocabulary` is an option for tokens", "uint8"),
        (np.zeros((8, 4), int) - 1, {"kind": "tokens"}, "these are in -1 … -1", None),
        (np.zeros((8, 4), int) + 9, {"kind": "tokens", "vocabulary": 9}, "must be in 0 … 8", None),
        (np.zeros((8, 4), int), {"kind": "tokens", "value_range": (0, 1)}, "no `value_range`", "vocabulary"),
        (np.arange(4.0), {}, "has 1 held-out example; at least 2", "held_out"),
        (np.arange(4.0), {"held_out": 0.9}, "has 0 training examples; at least 2", "held_out"),
        (np.arange(8.0), {"train": "x"}, "one unnamed array, so it has no array `x`", "savez"),
        (np.arange(8.0), {"held_out_labels": "y"}, "unnamed array, so it has no array `y`", "savez"),
    ],
)
def test_arrays_that_cannot_be_used(store, array, options, message, hint):
    with pytest.raises(RequestError, match=message) as raised:
        arrays(path=store(array), **options)
    if hint is None:
        assert raised.value.hint is None
    else:
        assert hint.replace("\\", "") in raised.value.hint


X = np.arange(8.0)


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({}, "holds 5 arrays: x, labels, other, words, few", "with `train`"),
        ({"train": "labls"}, "has no array `labls`", "did you mean `labels`"),
        ({"train": "x", "held_out": "x"}, "both name `x`", "share"),
        (
            {"train": "x", "held_out": "other"},
            r"`x` \[8\] of float64, `other` \[8, 2\] of float32",
            "same shape and dtype",
        ),
        (
            {"train": "x", "labels": "words"},
            "`words` .* does not hold labels",
            "integers, one for each of the 8",
        ),
        ({"train": "x", "labels": "other"}, "`other` .* does not hold labels", "integers"),
        (
            {"train": "x", "held_out_labels": "labels"},
            "without an array of held-out examples",
            "`labels` are split",
        ),
        (
            {"train": "x", "source": "other"},
            "arrays of examples differ: `x` .*, `other`",
            "same shape and dtype",
        ),
        ({"train": "x", "source": "few"}, "`few` has 3 examples, but `x` has 8", "as many sources"),
        (
            {"train": "x", "source": "x", "held_out": "few"},
            "not for the held-out examples `few`",
            "`held_out_source`",
        ),
        (
            {"train": "x", "source": "x", "held_out_source": "few"},
            "without `source` and an array of held-out examples",
            "`source` is split",
        ),
    ],
)
def test_named_arrays_that_cannot_be_used(store, options, message, hint):
    path = store(
        x=X,
        labels=np.arange(8),
        other=np.zeros((8, 2), np.float32),
        words=np.array(list("abcdefgh")),
        few=np.arange(3.0),
    )
    with pytest.raises(RequestError, match=message) as raised:
        arrays(path=path, **options)
    assert hint in raised.value.hint


def test_missing_foreign_and_damaged_files(tmp_path):
    with pytest.raises(RequestError, match=r"no file .* found"):
        arrays(path=tmp_path / "data.npy")
    (tmp_path / "data.csv").write_text("1,2")
    with pytest.raises(RequestError, match=r"is not a \.npy or \.npz file") as raised:
        arrays(path=tmp_path / "data.csv")
    assert "numpy.save" in raised.value.hint
    for content in (b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"something else"):
        (tmp_path / "data.npz").write_bytes(content)
        with pytest.raises(RequestError, match=r"`data\.npz` cannot be read"):
            arrays(path=tmp_path / "data.npz")
    np.savez_compressed(tmp_path / "data.npz", x=rng.random(1000))
    content = bytearray((tmp_path / "data.npz").read_bytes())
    content[1000:1100] = bytes(100)
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(RequestError, match=r"`data\.npz` cannot be read"):
        arrays(path=tmp_path / "data.npz")


@pytest.mark.parametrize("name", ["data.npy", "data.npz"])
@pytest.mark.parametrize("content", [b"1.0, 2.0\n3.0, 4.0\n", b"N", pickle.dumps([1.0, 2.0])])
def test_what_is_no_numpy_file_is_not_taken_for_a_pickled_one(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError, match=rf"`{name}` cannot be read: it is not a NumPy file") as raised:
        arrays(path=tmp_path / name)
    assert "numpy.save" in raised.value.hint
    assert "pickle" not in raised.value.message


@pytest.mark.parametrize("value", [0, 1, 1.5, -0.1, None])
def test_held_out_is_a_share_or_a_name(value):
    assert arrays.options["held_out"].validate(0.5) == 0.5
    assert arrays.options["held_out"].validate("x_test") == "x_test"
    with pytest.raises(ValueError, match="expected"):
        arrays.options["held_out"].validate(value)
