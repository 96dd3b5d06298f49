"""Data that is large: it stays as it is stored, and gives the same bits as small data does."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

import genloss
from genloss.contracts import dataset
from genloss.training.batches import Batches, gather, labels
from genloss_builtin.datasets import _files, _tokens, arrays, idx, image_folder, text

CPU = torch.device("cpu")
MAPS = Path("/proc/self/maps")
GENERATOR = np.random.default_rng(0)
LEVELS = GENERATOR.integers(256, size=(40, 3, 6, 5), dtype=np.uint8)


def numpy_file(array, **options):
    def load(folder):
        np.save(folder / "data.npy", array)
        return arrays.arrays(path=folder / "data.npy", **options)

    return load


def named_arrays(folder):
    np.savez(folder / "data.npz", x=LEVELS, y=np.arange(40), source=LEVELS[::-1], unseen=LEVELS[:7])
    return arrays.arrays(path=folder / "data.npz", train="x", labels="y", source="source", held_out=0.3)


def idx_file(folder):
    header = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in (120, 6, 5))
    (folder / "images").write_bytes(header + LEVELS.tobytes())
    return idx.idx(path=folder / "images")


def images(folder):
    for number, levels in enumerate(LEVELS):
        file = folder / "images" / str(number % 2) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(levels.transpose(1, 2, 0)).save(file)
    return image_folder.image_folder(path=folder / "images", size=5)


def text_file(content, **options):
    def load(folder):
        (folder / "some.txt").write_bytes(content)
        return text.text(path=folder / "some.txt", length=16, **options)

    return load


ASCII = b"The quick brown fox jumps over the lazy dog.\n" * 30
MARKED = b"\xef\xbb\xbf" + ASCII
WIDE = "".join(map(chr, range(0x3B1, 0x3B1 + 400))).encode() * 3

KINDS = {
    "uint8 images": (numpy_file(LEVELS), torch.uint8, True),
    "channels last": (numpy_file(LEVELS.transpose(0, 2, 3, 1), channels_last=True), torch.uint8, True),
    "grey": (numpy_file(LEVELS[:, 0]), torch.uint8, True),
    "bool images": (numpy_file(LEVELS > 99), torch.bool, True),
    "float64 images": (numpy_file(LEVELS / 256), torch.float64, True),
    "float16 points": (numpy_file(GENERATOR.normal(size=(50, 3)).astype("f2")), torch.float16, True),
    "integer points": (numpy_file(LEVELS[:, 0, 0].astype("i2"), kind="points"), torch.int16, True),
    "tokens": (numpy_file(LEVELS[:, 0, 0].astype("u2"), kind="tokens"), torch.uint16, True),
    "big-endian points": (numpy_file(GENERATOR.normal(size=(50, 3)).astype(">f4")), torch.float32, False),
    "columns first": (numpy_file(np.asfortranarray(LEVELS)), torch.uint8, False),
    "named arrays": (named_arrays, torch.uint8, False),
    "idx": (idx_file, torch.uint8, True),
    "image folder": (images, torch.uint8, False),
    "ASCII": (text_file(ASCII), torch.uint8, True),
    "ASCII with a mark": (text_file(MARKED, stride=3), torch.uint8, True),
    "bytes": (text_file(WIDE, level="byte"), torch.uint8, True),
    "Greek and Hebrew": (text_file(WIDE, stride=5), torch.uint16, False),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def kind(request, tmp_path, monkeypatch):
    """The data as it is held where it is small, and where it is large, with what is known of it."""
    load, dtype, mapped = request.param
    small = load(tmp_path)
    for module in (dataset, _tokens):
        monkeypatch.setattr(module, "SMALL", 0)
    for module in (_files, arrays):
        monkeypatch.setattr(module, "MAPPED", 0)
    monkeypatch.setattr(_tokens, "PIECE", 7)
    return small, load(tmp_path), dtype, mapped


def test_it_gives_the_same_bits_in_its_own_dtype(kind):
    small, large, dtype, mapped = kind
    assert large.spec == small.spec
    assert large.digest == small.digest
    for part, expected in ((large.train, small.train), (large.held_out, small.held_out)):
        assert isinstance(part, genloss.Stored)
        assert part.fields["x"].dtype == dtype
        if MAPS.exists():  # on Linux
            assert is_mapped(part.fields["x"]) == mapped
        found = gather(part, device=CPU, dtype=torch.float32)
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            assert found[name].dtype == tensor.dtype
            assert torch.equal(found[name], tensor)
        assert part.nbytes == sum(tensor.nbytes for tensor in expected.values())
        if "label" in expected:
            assert torch.equal(labels(part), expected["label"])


def test_batches_have_the_same_bits(kind):
    small, large, *_ = kind
    streams = [
        Batches(data.train, batch_size=8, seed=3, device=CPU, dtype=torch.float32) for data in (small, large)
    ]
    for _, ours, theirs in zip(range(12), *streams, strict=False):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert ours["x"].stride() == theirs["x"].stride()


def test_the_parts_share_what_is_stored(kind):
    _, large, _, mapped = kind
    if mapped:
        ours, theirs = (part.fields["x"].untyped_storage() for part in (large.train, large.held_out))
        assert ours.data_ptr() == theirs.data_ptr()


def is_mapped(tensor):
    """Whether it lies in a file that is mapped."""
    address = tensor.untyped_storage().data_ptr()
    for line in MAPS.read_text().splitlines():
        bounds, *_, name = line.split(maxsplit=5)  # of memory without a file it is a number
        first, last = (int(bound, 16) for bound in bounds.split("-"))
        if first <= address < last:
            return name.strip().endswith(("data.npy", "images", "some.txt"))
    return False


@pytest.mark.parametrize("dtype", ["<f4", "|u1", "<i8", ">f2", "|b1"])
def test_the_digest_is_that_of_all_bytes_at_once(dtype, monkeypatch):
    from genloss.contracts import stored

    monkeypatch.setattr(stored, "CHUNK", 64)
    x = (GENERATOR.random((31, 2, 7)) * 100).astype(dtype)
    x = torch.from_numpy(x.astype(x.dtype.newbyteorder("=")))
    for tensor in (x, x.movedim(2, 1), x[::2], x.flatten()[:500].unfold(0, 9, 2), x[0, 0, 0]):
        expected = hashlib.sha256(f"x {tuple(tensor.shape)} {tensor.dtype}".encode())
        expected.update(tensor.contiguous().numpy().tobytes())
        assert dataset.digest({"x": tensor}) == expected.hexdigest()


def test_a_digest_is_computed_when_it_is_asked_for():
    asked = []
    spec = genloss.DataSpec((2,), "points", size=3)
    data = genloss.Data(
        spec, {"x": torch.zeros(3, 2)}, {"x": torch.ones(3, 2)}, digest=lambda: asked.append(1) or "abc"
    )
    assert asked == []
    assert (data.digest, data.digest) == ("abc", "abc")
    assert asked == [1]


def test_a_file_that_is_mapped_is_not_changed(tmp_path, monkeypatch):
    np.save(tmp_path / "data.npy", LEVELS)
    before = (tmp_path / "data.npy").read_bytes()
    monkeypatch.setattr(arrays, "MAPPED", 0)
    monkeypatch.setattr(dataset, "SMALL", 0)
    arrays.arrays(path=tmp_path / "data.npy").train.fields["x"].zero_()
    assert (tmp_path / "data.npy").read_bytes() == before
