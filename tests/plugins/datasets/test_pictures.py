"""Pictures are read alike from a folder and from a column, and none is read wrongly without a word."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import PIL.Image
import pyarrow
import pyarrow.parquet
import pytest
import torch

from genloss.errors import RequestError
from genloss.training.batches import known_labels
from genloss_builtin.datasets import image_folder as module
from genloss_builtin.datasets._pictures import FORMATS, is_whole
from genloss_builtin.datasets.huggingface import huggingface
from genloss_builtin.datasets.image_folder import image_folder

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def encoded(image, form="PNG", **how):
    file = io.BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def sixteen_bits(levels, *, grey=False):
    """A PNG of 16 bits a channel, which Pillow does not write in colour."""

    def chunk(name, content):
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    height, width = levels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, 0 if grey else 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def upside_down():
    image = PIL.Image.new("RGB", (8, 8), BLUE)
    image.paste(RED, (0, 0, 8, 4))
    exif = PIL.Image.Exif()
    exif[0x0112] = 3
    return encoded(image, exif=exif)


def half_transparent():
    image = PIL.Image.new("RGBA", (8, 8), (*RED, 255))
    image.paste((0, 0, 0, 0), (0, 0, 4, 8))
    return encoded(image)


@pytest.fixture(params=["image_folder", "huggingface"])
def read(request, tmp_path):
    """Reads pictures of 8 × 8 pixels by either data set."""

    def read(*pictures):
        if request.param == "huggingface":
            pyarrow.parquet.write_table(pyarrow.table({"image": pictures}), tmp_path / "data.parquet")
            return huggingface(path=tmp_path / "data.parquet", column="image", kind="image", held_out=0.5)
        (tmp_path / "photos").mkdir()
        for number, picture in enumerate(pictures):
            (tmp_path / "photos" / f"{number}.png").write_bytes(picture)
        return image_folder(path=tmp_path / "photos", size=8, held_out=0.5)

    return read


def levels(data):
    return (torch.cat([data.train["x"], data.held_out["x"]]) * 255).round().int()


def test_orientation(read):
    x = levels(read(*[upside_down()] * 4))
    assert x[0, :, 0, 0].tolist() == list(BLUE)
    assert x[0, :, 7, 0].tolist() == list(RED)


def test_transparency(read):
    x = levels(read(*[half_transparent()] * 4))
    assert x[0, :, 0, 0].tolist() == list(WHITE)
    assert x[0, :, 0, 7].tolist() == list(RED)


def test_grey_of_sixteen_bits_is_refused(read):
    with pytest.raises(RequestError, match="more than eight bits: scale and convert it to eight"):
        read(*[sixteen_bits(np.full((8, 8), 40_000), grey=True)] * 4)


def test_colours_of_sixteen_bits_are_halved_and_told(read):
    picture = sixteen_bits(np.full((8, 8, 3), (65_535, 30_000, 256)))
    data = read(*[picture] * 4)
    assert levels(data)[0, :, 0, 0].tolist() == [255, 117, 1]
    assert any("images have 16 bits per channel" in note for note in data.notes)


def test_colours_that_would_be_nearly_black_are_refused(read):
    picture = sixteen_bits(np.full((8, 8, 3), (4_095, 2_000, 0)))
    with pytest.raises(RequestError, match="largest value is 15 of 255, so the images would be nearly black"):
        read(*[picture] * 4)


def test_bombs_are_refused(read):
    bomb = encoded(PIL.Image.new("1", (20_000, 5_000)))
    with pytest.raises(RequestError, match="exceeds limit of"):
        read(bomb, *[half_transparent()] * 4)


def test_programs_are_not_run(read):
    """Pillow reads PostScript by running Ghostscript."""
    with pytest.raises(RequestError, match="cannot identify"):
        read(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", *[half_transparent()] * 4)


def test_a_column_that_names_a_device_is_refused(tmp_path):
    rows = [{"bytes": None, "path": "/dev/zero"}] * 4
    pyarrow.parquet.write_table(pyarrow.table({"image": rows}), tmp_path / "data.parquet")
    with pytest.raises(RequestError, match="`/dev/zero` is not a regular file"):
        huggingface(path=tmp_path / "data.parquet", column="image", kind="image")


FORMS = [("BMP", {}), ("GIF", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {})]


@pytest.mark.parametrize(("form", "how"), FORMS)
def test_a_file_that_is_cut_has_no_end(tmp_path, form, how):
    """Of a JPEG with a thumbnail, too, whose end is not the picture's."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    content = encoded(PIL.Image.fromarray(noise), form, **how)
    path = tmp_path / "picture"
    path.write_bytes(content)
    assert is_whole(path)
    for length in (0, 1, 20, len(content) // 2, len(content) - 4, len(content) - 1):
        path.write_bytes(content[:length])
        assert not is_whole(path)


class TestLazily:
    """Those that are decoded when they are drawn."""

    @pytest.fixture
    def photos(self, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "IN_MEMORY", 0)
        (tmp_path / "photos").mkdir()
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        for number in range(80):
            (tmp_path / "photos" / f"{number:02d}.jpg").write_bytes(
                encoded(PIL.Image.fromarray(noise), "JPEG")
            )
        return tmp_path / "photos"

    def test_what_is_cut_is_named_at_once(self, photos):
        content = (photos / "33.jpg").read_bytes()
        (photos / "33.jpg").write_bytes(content[: len(content) // 2])
        with pytest.raises(RequestError, match=r"33\.jpg` cannot be read: .*truncated"):
            image_folder(path=photos, size=8)

    def test_what_ends_in_an_unusual_way_is_decoded(self, photos):
        with (photos / "33.jpg").open("ab") as opened:
            opened.write(b"a camera's own")
        assert image_folder(path=photos, size=8).spec.size == 60

    def test_labels_are_known_without_reading_an_image(self, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "IN_MEMORY", 0)
        data = image_folder(
            path=save(tmp_path, *(f"{name}/{n}.png" for name in "ab" for n in range(4))), size=8
        )
        monkeypatch.setattr(module, "decode", None)
        assert (
            torch.cat([known_labels(data.train), known_labels(data.held_out)]).sort().values.tolist()
            == [0] * 4 + [1] * 4
        )
        assert "2 classes (a, b)" in note(data, "labels")

    def test_the_notes_say_what_was_not_decoded(self, photos):
        assert any("decoded when drawn" in note for note in image_folder(path=photos, size=8).notes)

    def test_what_is_damaged_later_says_what_really_goes_on(self, photos):
        data = image_folder(path=photos, size=8)
        for file in photos.iterdir():
            file.write_bytes(b"no picture")
        with pytest.raises(RequestError, match="cannot identify") as raised:
            data.train[0]
        assert "start a new study, or continue with `genloss resume --allow-drift`" in raised.value.hint

    def test_sixteen_bits_are_seen(self, photos):
        for file in photos.iterdir():
            file.write_bytes(sixteen_bits(np.full((8, 8, 3), 4_095)))
        with pytest.raises(RequestError, match="nearly black"):
            image_folder(path=photos, size=8)


def save(folder, *paths, content=None):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content or half_transparent())
    return folder


def note(data, beginning):
    (found,) = [note for note in data.notes if note.startswith(beginning)]
    return found


def test_what_is_left_out_is_counted(tmp_path):
    save(tmp_path, *(f"{number}.png" for number in range(4)), "a.jfif", "b.JPE")
    save(tmp_path, "a.heic", "b.HEIC", "c.jxl", "readme.txt", "none", ".hidden.png", ".cache/a.png")
    os.mkfifo(tmp_path / "pipe.png")
    data = image_folder(path=tmp_path, size=8)
    assert data.spec.size + len(data.held_out["x"]) == 6
    said = note(data, "left out")
    for part in (
        "2 .heic",
        "1 .jxl",
        "1 .txt",
        "1 without a suffix",
        ".heic, .jxl are not read: convert them",
    ):
        assert part in said


def test_only_what_is_not_read(tmp_path):
    with pytest.raises(
        RequestError, match=r"no images found in the folder .* \(left out: 3 \.heic; .* convert them"
    ):
        image_folder(path=save(tmp_path, "a.heic", "b.heic", "c.heic"))


@pytest.mark.skipif("AVIF" not in FORMATS, reason="this Pillow reads no AVIF")
def test_avif(tmp_path):
    save(
        tmp_path, *(f"{n}.avif" for n in range(4)), content=encoded(PIL.Image.new("RGB", (8, 8), RED), "AVIF")
    )
    x = levels(image_folder(path=tmp_path, size=8, held_out=0.5))
    assert (x[0, :, 0, 0] - torch.tensor(RED)).abs().max() <= 3


@pytest.mark.parametrize("link", ["nowhere", "pipe.png"])
def test_links_that_lead_to_no_file(tmp_path, link):
    save(tmp_path, *(f"{number}.png" for number in range(4)))
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(link)
    if link == "nowhere":
        with pytest.raises(RequestError, match=r"link\.png` is a broken link"):
            image_folder(path=tmp_path, size=8)
    else:
        assert "2 not a regular file" in note(image_folder(path=tmp_path, size=8, held_out=0.5), "left out")


class TestParts:
    """Folders that name the parts of the data."""

    @pytest.mark.parametrize("name", ["test", "val", "Valid", "validation"])
    def test_are_no_classes(self, tmp_path, name):
        save(tmp_path, "train/cat/a.png", "train/cat/b.png", "train/dog/a.png")
        save(tmp_path, f"{name}/dog/a.png", f"{name}/dog/b.png")
        data = image_folder(path=tmp_path, size=8)
        assert data.train["label"].tolist() == [0, 0, 1]
        assert data.held_out["label"].tolist() == [1, 1]
        assert data.spec.classes == 2
        assert note(data, "held out") == f"held out: 2 examples, those in `{name}`"
        assert "2 classes (cat, dog), 1 to 2 training examples each" in note(data, "labels")

    def test_without_labels(self, tmp_path):
        save(tmp_path, *(f"{part}/{n}.png" for part in ("train", "test") for n in range(3)))
        data = image_folder(path=tmp_path, size=8)
        assert set(data.train) == {"x"}
        assert data.spec.classes is None
        assert (data.spec.size, len(data.held_out["x"])) == (3, 3)

    def test_a_training_part_alone(self, tmp_path):
        save(tmp_path, *(f"train/{name}/{n}.png" for name in "ab" for n in range(4)))
        data = image_folder(path=tmp_path, size=8)
        assert (data.spec.size, data.spec.classes) == (6, 2)

    def test_what_is_not_clear_is_refused(self, tmp_path):
        save(tmp_path, *(f"{part}/{n}.png" for part in ("train", "test", "val") for n in range(3)))
        with pytest.raises(RequestError, match="the parts `test`, `train`, `val`; cannot tell") as raised:
            image_folder(path=tmp_path, size=8)
        assert "`held_out`" in raised.value.hint
        data = image_folder(path=tmp_path / "train", held_out=tmp_path / "val", size=8)
        assert (data.spec.size, len(data.held_out["x"])) == (3, 3)

    def test_asking_for_others_is_refused(self, tmp_path):
        save(tmp_path, *(f"{part}/{n}.png" for part in ("train", "test") for n in range(3)))
        with pytest.raises(RequestError, match="has the held-out part `test`, but `held_out` is set as well"):
            image_folder(path=tmp_path, held_out=0.5, size=8)

    def test_a_class_may_have_such_a_name(self, tmp_path):
        save(tmp_path, *(f"{name}/{n}.png" for name in ("bus", "train") for n in range(4)))
        assert image_folder(path=tmp_path, size=8).spec.classes == 2
