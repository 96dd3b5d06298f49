"""Whatever the bytes of a file are, each reader gives data, or an error that names the file."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import struct
import zipfile

import numpy as np
import PIL.Image
import pyarrow
import pyarrow.parquet
import pytest

import genloss
from genloss.errors import RequestError
from genloss_builtin.datasets.arrays import arrays
from genloss_builtin.datasets.huggingface import huggingface
from genloss_builtin.datasets.idx import idx
from genloss_builtin.datasets.image_folder import image_folder
from genloss_builtin.datasets.text import text


def bytes_of(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def npy(shape, body=bytes(64), header=None):
    """A .npy file that says of itself what it likes."""
    said = header or repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(said) + 1) + said + b"\n" + body


def npz(content):
    return bytes_of(lambda file: zipfile.ZipFile(file, "w").writestr("x.npy", content))


def idx_of(sizes, body):
    return bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + body


NOISE = np.random.default_rng(0).integers(0, 256, (30, 6, 6), np.uint8)
JSONL = b"".join(json.dumps({"text": f"row {number}", "n": number}).encode() + b"\n" for number in range(40))
PICTURE = bytes_of(lambda file: PIL.Image.fromarray(NOISE[0]).resize((32, 32)).save(file, "PNG"))
PHOTOGRAPH = bytes_of(lambda file: PIL.Image.fromarray(NOISE[0]).resize((32, 32)).save(file, "JPEG"))
TABLE = pyarrow.table({"text": [f"row {number}" for number in range(40)]})

WHOLE = {
    "data.npy": bytes_of(lambda file: np.save(file, NOISE)),
    "data.npz": bytes_of(lambda file: np.savez_compressed(file, x=NOISE)),
    "data.idx": idx_of(NOISE.shape, NOISE.tobytes()),
    "data.idx.gz": gzip.compress(idx_of(NOISE.shape, NOISE.tobytes())),
    "data.jsonl": JSONL,
    "data.csv": b"text,n\n" + b"".join(b"row %d,1\n" % number for number in range(40)),
    "data.txt": "grün und blau\n".encode() * 30,
    "a.png": PICTURE,
    "a.jpg": PHOTOGRAPH,
}
HOSTILE = {
    "elements.npy": npy((10**13, 4)),
    "number.npy": npy((10**30,)),
    "negative.npy": npy((-1, 4)),
    "expression.npy": npy((), header=b"{'descr': os.sys}("),
    "elements.npz": npz(npy((10**13, 4))),
    "no-array.npz": npz(b"no array"),
    "elements.idx": idx_of((2**32 - 1, 2**20, 2**20), bytes(99)),
    "nothing.idx": idx_of((0, 2**32 - 1, 2**32 - 1, 2**32 - 1), b""),
    "bomb.idx": gzip.compress(idx_of((2**32 - 1, 2**10, 2**10), bytes(2**20))),
    "empty.jsonl": b"",
    "blank.jsonl": b"\n \n",
    "null.json": b"null",  # which kills the process in the library's own reader
    "deep.jsonl": b'{"text":' + b"[" * 200_000 + b"]" * 200_000 + b"}\n",
    "numbers.jsonl": b"1\n2\n",
    "mixed.jsonl": b'{"text": 1}\n{"text": "a"}\n',
    "surrogates.jsonl": b'{"text": "\\ud800 alone"}\n' * 9,
    "utf-16.jsonl": JSONL.decode().encode("utf-16"),
    "empty.csv": b"",
    "latin.csv": "text\ngrün\n".encode("latin-1"),
    "empty.parquet": b"",
    "cut.parquet": bytes_of(lambda file: pyarrow.parquet.write_table(TABLE, file))[:-30],
    "empty.txt": b"",
    "utf-16.txt": "grün\n".encode("utf-16") * 30,
    "shift-jis.txt": "緑\n".encode("shift-jis") * 30,
}


def read(path):
    """By the data set that such a file is for."""
    suffix = path.suffix
    if suffix in (".npy", ".npz"):
        return arrays(path=path)
    if suffix in (".idx", ".gz"):
        return idx(path=path)
    if suffix == ".txt":
        return text(path=path, length=8)
    if suffix in (".png", ".jpg"):
        for number in range(4):
            (path.parent / f"{number}.png").write_bytes(PICTURE)
        return image_folder(path=path.parent, size=8, held_out=0.5)
    return huggingface(path=path, column="text", length=4)


@pytest.mark.parametrize("name", list(HOSTILE))
def test_files_that_say_what_is_not_so(tmp_path, name):
    (tmp_path / name).write_bytes(HOSTILE[name])
    with pytest.raises(RequestError, match=name.replace(".", r"\.")) as raised:
        read(tmp_path / name)
    assert raised.value.hint
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("name", list(WHOLE))
def test_damaged_files(tmp_path, name):
    lot = random.Random(0)
    for attempt in range(24):
        content = bytearray(WHOLE[name])
        for _ in range(attempt % 4):
            content[lot.randrange(len(content))] = lot.randrange(256)
        if attempt % 3 == 1:
            del content[lot.randrange(len(content)) :]
        elif attempt % 3 == 2:
            position = lot.randrange(len(content))
            content[position:position] = lot.randbytes(lot.choice((1, 8, 100)))
        (tmp_path / name).write_bytes(content)
        try:
            data = read(tmp_path / name)
        except RequestError as error:
            assert name in error.message  # noqa: PT017 - or it is data
        else:
            assert isinstance(data, genloss.Data)


@pytest.mark.parametrize(
    "name", ["data.npy", "data.idx", "data.jsonl", "data.csv", "data.parquet", "data.txt"]
)
def test_what_is_no_regular_file_is_not_opened(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(RequestError, match="is not a regular file, but a pipe, a socket or a device"):
        read(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to(tmp_path / name)
    with pytest.raises(RequestError, match=f"`.*{name}` cannot be read: Too many levels of symbolic links"):
        read(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(RequestError, match=f"`.*{name}` is a broken link"):
        read(tmp_path / name)


def test_paths_that_the_system_refuses(tmp_path):
    with pytest.raises(RequestError, match="File name too long"):
        text(path=tmp_path / ("a" * 300))
    with pytest.raises(RequestError, match=r"no file .* found"):
        text(path=tmp_path / "a\0b")
    with pytest.raises(RequestError, match="File name too long"):
        image_folder(path=tmp_path / ("a" * 300))


@pytest.mark.parametrize("name", ["DATA.NPY", "DATA.NPZ", "DATA.JSONL", "DATA.CSV", "PHOTO.PNG"])
def test_suffixes_in_upper_case(tmp_path, name):
    known = {"PHOTO.PNG": "a.png"}.get(name, name.lower())
    (tmp_path / name).write_bytes(WHOLE[known])
    if name == "PHOTO.PNG":
        for number in range(3):
            (tmp_path / f"{number}.PNG").write_bytes(PICTURE)
        assert image_folder(path=tmp_path, size=8, held_out=0.5).spec.size == 2
    elif name.startswith("DATA.NP"):
        assert arrays(path=tmp_path / name).spec.size == 22
    else:
        assert huggingface(path=tmp_path / name, column="text", length=4).spec.kind == "tokens"
