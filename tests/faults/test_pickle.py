"""A pickle in the place of a file that genloss reads: it is refused in words, and never opened.

Each would make a file if it were.
"""

from __future__ import annotations

import gzip
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import genloss as package
from genloss.api.load import CodeWarning
from genloss.errors import RecordError
from tests.commands.conftest import Said
from tests.faults import support
from tests.faults.damages import OPENED, Bomb
from tests.faults.support import experiment, objective


@pytest.fixture(autouse=True)
def _unopened(here: Path) -> Any:
    yield
    assert not Path(OPENED).exists()


def test_the_pickle_does_make_a_file_when_it_is_opened(here: Path) -> None:
    pickle.loads(pickle.dumps(Bomb())).close()
    assert Path(OPENED).exists()
    Path(OPENED).unlink()


def a_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb()))


def an_array_of_objects(path: Path) -> None:
    array = np.array([Bomb(), Bomb()], dtype=object)
    (np.save if path.suffix == ".npy" else np.savez)(path, array)


def an_archive_of_a_pickle(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", pickle.dumps(Bomb()))


def a_compressed_pickle(path: Path) -> None:
    path.write_bytes(gzip.compress(pickle.dumps(Bomb())))


def a_file_of_torch(path: Path) -> None:
    torch.save(Bomb(), path)


FILES = [
    ("arrays", "data.npy", a_pickle),
    ("arrays", "data.npy", an_array_of_objects),
    ("arrays", "data.npz", a_pickle),
    ("arrays", "data.npz", an_array_of_objects),
    ("arrays", "data.npz", an_archive_of_a_pickle),
    ("arrays", "data.npz", a_file_of_torch),
    ("idx", "data-ubyte", a_pickle),
    ("idx", "data-ubyte.gz", a_compressed_pickle),
    ("huggingface", "data.parquet", a_pickle),
    ("huggingface", "data.json", a_pickle),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("dataset", "name", "make"),
    FILES,
    ids=[f"{make.__name__} as {name} of {dataset}" for dataset, name, make in FILES],
)
def test_in_the_place_of_a_dataset_s_file(
    genloss: Callable[..., Said], here: Path, dataset: str, name: str, make: Callable[[Path], None]
) -> None:
    make(Path(name))
    data = {"name": dataset, "path": name}
    said = genloss("run", support.write(experiment({"mine": objective()}, data=data)))
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
    assert not Path(".genloss").exists()


def test_in_the_place_of_an_image(genloss: Callable[..., Said], here: Path) -> None:
    Path("images").mkdir()
    for number in range(8):
        Image.new("L", (8, 8), number).save(f"images/{number}.png")
    a_pickle(Path("images/4.png"))
    data = {"name": "image_folder", "path": "images"}
    said = genloss("run", support.write(experiment({"mine": objective()}, data=data)))
    assert said.code == 2
    assert "images/4.png" in said.err or "4.png" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("make", [a_pickle, a_file_of_torch])
def test_in_the_place_of_a_run_s_weights(here: Path, make: Callable[[Path], None]) -> None:
    folder = Path("model")
    folder.mkdir()
    data = {"event_shape": [2], "kind": "points", "size": 9, "value_range": None, "vocabulary": None}
    model = {"name": "autoencoder", "options": {"latent_dim": 1, "hidden": [4]}}
    saved = {"model": model, "data": data, "precision": "float32", "code": "genloss"}
    (folder / "model.json").write_text(json.dumps(saved))
    make(folder / "weights.safetensors")
    with pytest.warns(CodeWarning), pytest.raises(RecordError, match="weights"):
        package.load(folder)


@pytest.mark.parametrize("content", [b"{}", b"[1]", b"\x80\x04", b"", b'{"model": 3}'])
def test_a_model_s_description_that_is_none_is_refused(here: Path, content: bytes) -> None:
    folder = Path("model")
    folder.mkdir()
    (folder / "model.json").write_bytes(content)
    save_file({"x": torch.zeros(1)}, folder / "weights.safetensors")
    with pytest.raises(RecordError, match="model"):
        package.load(folder)
