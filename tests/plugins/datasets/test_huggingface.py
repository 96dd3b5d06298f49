"""Columns of local files by the `datasets` library; without network, and with nothing left behind."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow
import pyarrow.parquet
import pytest
import torch

from genloss.errors import RequestError
from genloss_builtin.datasets.huggingface import huggingface

ROWS = ["Es ist der Vater. ", None, "mit seinem Kind\n" * 20, "", "Ende"]
TEXT = "".join(f"{row}\n\n" for row in ROWS if row)


def encoded(grey: int, *, mode: str = "RGB", size: tuple[int, int] = (5, 6)) -> bytes:
    """A PNG of one grey."""
    file = io.BytesIO()
    PIL.Image.new("L", size, grey).convert(mode).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def parquet(tmp_path: Path):
    """Writes named columns as a Parquet file and gives its path."""

    def store(**columns: Any) -> Path:
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "data.parquet")
        return tmp_path / "data.parquet"

    return store


def whole(data: Any) -> str:
    """The text of all windows."""
    tokens = torch.cat([data.train["x"].flatten(), data.held_out["x"].flatten()])
    return "".join(data.spec.alphabet[token] for token in tokens.tolist())


def test_a_column_of_text_becomes_windows(parquet):
    data = huggingface(path=parquet(text=ROWS, n=range(5)), column="text", length=8, held_out=0.25)
    assert data.spec.kind == "tokens"
    assert data.spec.alphabet == tuple(sorted(set(TEXT)))
    count = len(TEXT) - round(0.25 * len(TEXT))
    assert whole(data).startswith(TEXT[: count // 8 * 8])
    assert TEXT[count:].startswith(whole(data)[count // 8 * 8 :])
    assert data.train["x"].dtype == torch.int64


def test_the_first_rows_alone(parquet):
    rows = ["a" * 30, "b" * 30, "c" * 30]
    data = huggingface(path=parquet(text=rows), column="text", rows=2, length=4)
    assert data.spec.alphabet == ("\n", "a", "b")
    assert huggingface(path=parquet(text=rows), column="text", rows=9, length=4).spec.vocabulary == 4


def test_bytes(parquet):
    data = huggingface(path=parquet(text=["ß" * 40]), column="text", length=2, level="byte")
    assert data.spec.vocabulary == 256
    assert data.train["x"][0].tolist() == list("ß".encode())


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl"])
def test_other_formats(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    rows = ["first row, with a comma", "second row"] * 5
    if suffix == ".csv":
        path.write_text("text,n\n" + "".join(f'"{row}",1\n' for row in rows))
    else:
        path.write_text("".join(json.dumps({"text": row, "n": 1}) + "\n" for row in rows))
    data = huggingface(path=path, column="text", length=2)
    assert whole(data).startswith("first row, with a comma\n\nsecond row\n\n")


@pytest.mark.parametrize("nested", [False, True], ids=["bytes", "records"])
@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("RGBA", 3), ("P", 3)])
def test_a_column_of_images_with_labels(parquet, nested, mode, channels):
    """As plain bytes, and as the library itself writes images."""
    images: list[Any] = [encoded(grey, mode=mode) for grey in range(40)]
    if nested:
        images = [{"bytes": image, "path": None} for image in images]
    path = parquet(image=images, digit=range(40))
    data = huggingface(path=path, column="image", kind="image", labels="digit", held_out=0.25)
    assert data.spec.event_shape == (channels, 6, 5)
    assert (data.spec.kind, data.spec.value_range, data.spec.vocabulary) == ("image", (0, 1), 256)
    assert (data.spec.size, len(data.held_out["x"])) == (30, 10)
    for part in (data.train, data.held_out):
        expected = part["label"].view(-1, 1, 1, 1).expand(-1, channels, 6, 5)
        assert torch.equal((part["x"] * 255).round().long(), expected)
    both = torch.cat([data.train["label"], data.held_out["label"]])
    assert both.tolist() != list(range(40))  # drawn, since rows may be sorted
    assert sorted(both.tolist()) == list(range(40))
    again = huggingface(path=path, column="image", kind="image", labels="digit", held_out=0.25)
    assert again.digest == data.digest
    assert huggingface(path=path, column="image", kind="image", seed=1).digest != data.digest


def test_what_the_library_itself_wrote(tmp_path):
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    images = [PIL.Image.fromarray(np.full((6, 5), grey, np.uint8)) for grey in range(8)]
    written = datasets.Dataset.from_dict({"image": images, "label": [0, 1] * 4}, features=features)
    written.to_parquet(tmp_path / "data.parquet")
    data = huggingface(
        path=tmp_path / "data.parquet", column="image", kind="image", labels="label", held_out=0.3
    )
    assert data.spec.event_shape == (1, 6, 5)
    assert torch.equal((data.train["x"][:, 0, 0, 0] * 255).round().long() % 2, data.train["label"])


def test_it_neither_calls_anybody_nor_leaves_anything_behind(parquet, tmp_path):
    """In a process of its own, where each look at a socket would be heard."""
    path = parquet(text=["some text"] * 40)
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    script = f"""
import sys
heard = []
sys.addaudithook(lambda event, _: heard.append(event) if event.startswith("socket.") else None)
from pathlib import Path
from genloss_builtin.datasets.huggingface import huggingface
print(huggingface(path=Path({str(path)!r}), column="text", length=8).spec.size)
import socket
listed = list(heard)
socket.socket().close()
assert heard != listed, "the hook hears nothing"
print(listed)
"""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_", "TMP"))
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**environment, "HOME": str(home), "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["49", "[]"]
    assert done.stderr == ""
    assert [str(file) for file in (*home.rglob("*"), *temporary.rglob("*"))] == []


def test_without_the_library_it_says_how_to_get_it(parquet, monkeypatch):
    path = parquet(text=["text"])
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(RequestError, match="needs the library `datasets`") as raised:
        huggingface(path=path, column="text")
    assert raised.value.hint == "pip install 'genloss[huggingface]'"


IMAGES = [encoded(grey) for grey in range(4)]
OF_TWO_SIZES = [encoded(0), encoded(0, size=(7, 7))]


@pytest.mark.parametrize(
    ("columns", "options", "message", "hint"),
    [
        ({"text": ROWS}, {"column": "txt"}, r"`data\.parquet` has no column `txt`", "did you mean `text`?"),
        (
            {"n": [1, 2]},
            {"column": "n"},
            "column `n` .* does not hold text, but .*int64",
            "a column of strings",
        ),
        ({"image": IMAGES}, {"column": "image"}, "does not hold text, but .*binary", "`kind: image`"),
        ({"text": ["a"]}, {"column": "text"}, "training part .* has 3 tokens", "a smaller `length`"),
        ({"text": ROWS}, {"column": "text", "labels": "text"}, "`labels` is only for images", "leave"),
        (
            {"text": ROWS},
            {"column": "text", "kind": "image"},
            "does not hold images, but .*string",
            "PNG or JPEG",
        ),
        ({"n": [1]}, {"column": "n", "kind": "image"}, "does not hold images, but .*int64", "PNG or JPEG"),
        ({"image": [b"PNG?"]}, {"column": "image", "kind": "image"}, "in row 0 .* cannot be read", "repair"),
        (
            {"image": [*IMAGES, None]},
            {"column": "image", "kind": "image"},
            "in row 4 .* it is missing",
            "repair",
        ),
        ({"image": OF_TWO_SIZES}, {"column": "image", "kind": "image"}, "differ in shape", "one size"),
        (
            {"image": IMAGES},
            {"column": "image", "kind": "image", "held_out": 0.1},
            "has 0 held-out examples",
            "more",
        ),
        (
            {"image": IMAGES, "name": list("abcd")},
            {"column": "image", "kind": "image", "labels": "name"},
            "`name` .* does not hold labels",
            "labels are integers",
        ),
        ({"text": ROWS}, {"column": "text", "split": "train"}, "`split` is only for", "no splits"),
        ({"text": ROWS}, {"column": "text", "held_out": "test"}, "names the split `test`", "share"),
        ({"text": ROWS}, {"column": "text", "repository": "a/b"}, "either `path` or `repository`", "Hub"),
    ],
)
def test_what_cannot_be_used(parquet, columns, options, message, hint):
    with pytest.raises(RequestError, match=message) as raised:
        huggingface(path=parquet(**columns), **options)
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("name", "content"),
    [("bad.parquet", b"PAR1 and no more"), ("bad.json", b'{"a": [1,'), ("bad.csv", b""), ("no.parquet", b"")],
)
def test_damaged_files(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError, match=f"`{name}` cannot be read: .+") as raised:
        huggingface(path=tmp_path / name, column="text")
    assert "\n" not in raised.value.message


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(RequestError, match=r"no file .* found"):
        huggingface(path=tmp_path / "data.parquet", column="text")
    (tmp_path / "data.txt").write_text("text")
    with pytest.raises(RequestError, match=r"`data\.txt` is not one of \.parquet, \.csv") as raised:
        huggingface(path=tmp_path / "data.txt", column="text")
    assert "Parquet" in raised.value.hint
    with pytest.raises(RequestError, match="either `path` or `repository`"):
        huggingface(column="text")


class TestRepository:
    """A folder laid out as a repository is read by the same call as one on the Hub."""

    @pytest.fixture
    def repository(self, tmp_path, monkeypatch):
        import datasets

        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
        folder = tmp_path / "repository"
        folder.mkdir()
        for split, rows in (("train", ["abc " * 20]), ("test", ["xyz " * 20, "ß" * 20])):
            pyarrow.parquet.write_table(pyarrow.table({"text": rows}), folder / f"{split}.parquet")
        return str(folder)

    def test_train_is_the_split_unless_another_is_named(self, repository):
        assert "abc abc" in whole(huggingface(repository=repository, column="text", length=4))
        data = huggingface(repository=repository, split="test", column="text", length=4)
        assert "xyz xyz" in whole(data)
        assert data.spec.alphabet == ("\n", " ", "x", "y", "z", "ß")

    @pytest.mark.parametrize("level", ["character", "byte"])
    def test_another_split_held_out(self, repository, level):
        data = huggingface(repository=repository, column="text", held_out="test", length=4, level=level)
        train, held_out = (
            "".join(data.spec.alphabet[t] for t in part["x"].flatten())
            for part in (data.train, data.held_out)
        )
        assert train == "abc " * 20
        assert held_out.startswith("xyz " * 20)
        assert data.spec.size == 20

    def test_a_split_that_is_not_there(self, repository):
        with pytest.raises(RequestError, match='cannot be read: Unknown split "valid"') as raised:
            huggingface(repository=repository, column="text", held_out="valid")
        assert "split" in raised.value.hint
