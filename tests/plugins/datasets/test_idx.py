"""IDX files: what becomes of them, and what is said of those that cannot be used."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import torch

from genloss.errors import RequestError
from genloss_builtin.datasets.idx import TYPES, idx

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (40, 5, 4), dtype=np.uint8)
LABELS = np.arange(40, dtype=np.uint8) % 10


def encoded(array, shape=None):
    """The bytes of an IDX file."""
    (kind,) = (code for code, dtype in TYPES.items() if np.dtype(dtype) == array.dtype.newbyteorder(">"))
    shape = array.shape if shape is None else shape
    header = bytes(2) + kind + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def store(tmp_path):
    def store(content, name="images.idx"):
        content = encoded(content) if isinstance(content, np.ndarray) else content
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return store


def test_bytes_are_scaled_to_one_and_divided_with_their_labels(store):
    data = idx(path=store(IMAGES), labels=store(LABELS, "labels"))
    assert data.spec.event_shape == (1, 5, 4)
    assert (data.spec.kind, data.spec.value_range, data.spec.vocabulary) == ("image", (0, 1), 256)
    assert (data.spec.size, len(data.held_out["x"])) == (30, 10)
    assert data.train["x"].dtype == torch.float32
    expected = {(int(label), *image.flatten().tolist()) for label, image in zip(LABELS, IMAGES, strict=True)}
    found = {
        (int(label), *(255 * image).round().int().flatten().tolist())
        for part in (data.train, data.held_out)
        for label, image in zip(part["label"], part["x"], strict=True)
    }
    assert found == expected
    assert idx(path=store(IMAGES), seed=1).digest != idx(path=store(IMAGES)).digest


@pytest.mark.parametrize("name", ["images.gz", "without-suffix"])
def test_gzip_is_recognised_by_its_content(store, name):
    path = store(gzip.compress(encoded(IMAGES)), name)
    assert idx(path=path).digest == idx(path=store(IMAGES)).digest


def test_files_of_held_out_images(store):
    data = idx(
        path=store(IMAGES[:30], "a"),
        labels=store(LABELS[:30], "b"),
        held_out=store(IMAGES[30:], "c"),
        held_out_labels=store(LABELS[30:], "d"),
    )
    assert torch.equal(data.train["x"][:, 0], torch.from_numpy(IMAGES[:30] / np.float32(255)))
    assert data.held_out["label"].tolist() == LABELS[30:].tolist()
    for value in (0.5, "test-images"):
        assert idx.options["held_out"].validate(value) is not None
    with pytest.raises(ValueError, match="expected"):
        idx.options["held_out"].validate(1.0)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4"])
def test_labels_of_any_integer_type(store, dtype):
    data = idx(path=store(IMAGES), labels=store(LABELS.astype(dtype), "labels"))
    assert sorted(torch.cat([data.train["label"], data.held_out["label"]]).tolist()) == sorted(LABELS)


WHOLE = encoded(IMAGES)


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"", "does not begin like an IDX file", "gzip-compressed"),
        (b"some text", "does not begin like an IDX file", "gzip-compressed"),
        (bytes(2) + b"\x07\x03" + WHOLE[4:], "does not begin", "IDX"),
        (bytes(2) + b"\x08\x00", "does not begin", "IDX"),
        (bytes(2) + b"\x08\xff", "does not begin", "IDX"),
        (WHOLE[:-1], r"\[40, 5, 4\] requires 800 bytes, but it has 799", "again"),
        (WHOLE + b"\0", r"requires 800 bytes, but it has more", "again"),
        (encoded(IMAGES, (2**32 - 1,) * 4), "it has at most 820", "again"),
        (gzip.compress(WHOLE, mtime=0)[:-20], "cannot be read: ", "IDX"),
        (gzip.compress(WHOLE, mtime=0)[:40] + bytes(40), "cannot be read: ", "IDX"),
        (b"\x1f\x8bgarbage", "cannot be read: ", "IDX"),
        (encoded(LABELS), r"\[40\] of uint8 does not hold images", "name a file of labels with `labels`"),
        (encoded(IMAGES.astype(np.float32)), "of float32 does not hold images", "bytes of shape"),
        (encoded(IMAGES[:0]), r"\[0, 5, 4\] of uint8 does not hold images", "bytes"),
        (encoded(IMAGES[:2]), "has 0 held-out examples; at least 2", "held_out"),
    ],
)
def test_files_that_cannot_be_used(store, content, message, hint):
    with pytest.raises(RequestError, match=message) as raised:
        idx(path=store(content))
    assert hint in raised.value.hint
    assert "images.idx" in raised.value.message


def test_what_unpacks_to_more_than_it_announces_is_not_unpacked_whole(store, monkeypatch):
    import genloss_builtin.datasets.idx as module

    monkeypatch.setattr(module, "PIECE", 1000)
    bomb = gzip.compress(WHOLE + bytes(50_000_000))
    unpacked = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(
        gzip.GzipFile, "read", lambda self, size=-1: unpacked.append(size) or read(self, size)
    )
    with pytest.raises(RequestError, match="it has more"):
        idx(path=store(bomb))
    assert 800 <= sum(unpacked) < 5000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": IMAGES}, r"`labels` \[40, 5, 4\] of uint8 does not hold labels"),
        ({"labels": LABELS[:39]}, r"`labels` \[39\] of uint8 does not hold labels"),
        ({"labels": LABELS.astype(np.float32)}, "of float32 does not hold labels"),
        ({"held_out": IMAGES[:, :4]}, r"are \[5, 4\] pixels, those of `held_out` \[4, 4\]"),
        ({"held_out_labels": LABELS}, "without a file of held-out images"),
    ],
)
def test_files_that_do_not_go_together(store, options, message):
    paths = {name: store(array, name) for name, array in options.items()}
    with pytest.raises(RequestError, match=message):
        idx(path=store(IMAGES), **paths)


def test_held_out_images_are_not_trained_on(store):
    with pytest.raises(RequestError, match=r"both name `images\.idx`") as raised:
        idx(path=store(IMAGES), held_out=store(IMAGES))
    assert "share" in raised.value.hint


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(RequestError, match=r"no file .* found"):
        idx(path=tmp_path / "nothing")
    with pytest.raises(RequestError, match="is a folder"):
        idx(path=tmp_path)
