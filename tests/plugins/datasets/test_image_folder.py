"""Folders of images: what becomes of them, and what is said of those that cannot be used."""

from __future__ import annotations

import io
import os

import numpy as np
import PIL.Image
import pytest
import torch
from torch.utils.data import Dataset

from genloss.errors import RequestError
from genloss.training.batches import Batches
from genloss_builtin.datasets import image_folder as module
from genloss_builtin.datasets.image_folder import ImageFiles, image_folder

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def plain(colour, size=(8, 8), mode="RGB"):
    return PIL.Image.new(mode, size, colour)


def numbered(number):
    return plain((number, 2 * number, 255 - number))


@pytest.fixture
def folder(tmp_path):
    """Writes images by their paths, and gives the folder."""

    def folder(images, name="photos"):
        for path, image in images.items():
            target = tmp_path / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            image.save(target) if isinstance(image, PIL.Image.Image) else target.write_bytes(image)
        return tmp_path / name

    return folder


def everything(data):
    return torch.cat([data.train["x"], data.held_out["x"]])


def only(folder, image, name="a.png", **options):
    """What becomes of one image."""
    path = folder({name: image, **{f"other-{index}.png": plain(WHITE) for index in range(7)}})
    data = image_folder(path=path, **{"size": 8, **options})
    (levels,) = [x for x in (everything(data) * 255).round().int() if not (x == 255).all()]
    return levels


def test_images_are_scaled_to_one_in_the_order_of_their_names(folder):
    path = folder({f"{number:02d}.png": numbered(number) for number in range(20)})
    data = image_folder(path=path, size=8)
    assert data.spec.event_shape == (3, 8, 8)
    assert (data.spec.kind, data.spec.value_range, data.spec.vocabulary) == ("image", (0, 1), 256)
    assert (data.spec.size, len(data.held_out["x"])) == (15, 5)
    assert set(data.train) == {"x"}
    levels = (everything(data)[:, :, 0, 0] * 255).round().int()
    assert sorted(levels.tolist()) == [[number, 2 * number, 255 - number] for number in range(20)]
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    assert levels[:, 0].tolist() == [*order[5:].tolist(), *order[:5].tolist()]
    assert image_folder(path=path, size=8).digest == data.digest
    assert image_folder(path=path, size=8, seed=1).digest != data.digest


def test_sub_folders_are_labels(folder):
    images = {f"{name}/deep/{i}.png": plain(colour) for i in range(6) for name, colour in
              (("cat", RED), ("ant", GREEN), ("bee", BLUE))}  # fmt: skip
    data = image_folder(path=folder(images), size=8)
    for part in (data.train, data.held_out):
        # ant, bee, cat are green, blue, red.
        assert torch.equal(part["x"][:, [1, 2, 0], 0, 0].argmax(1), part["label"])
        assert part["label"].dtype == torch.int64
    assert (
        sorted(torch.cat([data.train["label"], data.held_out["label"]]).tolist())
        == [0] * 6 + [1] * 6 + [2] * 6
    )


def test_one_sub_folder_is_no_label(folder):
    data = image_folder(path=folder({f"all/{i}.png": plain(RED) for i in range(8)}), size=8)
    assert set(data.train) == {"x"}


def test_other_files_and_hidden_ones_are_left_out(folder):
    path = folder(
        {f"{i}.PNG": plain(RED) for i in range(8)}
        | {"notes.txt": b"text", ".hidden.png": b"nothing", ".cache/thumb.png": b"nothing"}
        | {"label.png.json": b"{}"}
    )
    assert len(everything(image_folder(path=path, size=8))) == 8


def test_a_folder_of_held_out_images(folder):
    names = ("ant", "bee")
    train = folder({f"{name}/{i}.png": numbered(i) for i in range(4) for name in names}, "train")
    test = folder({f"bee/{i}.png": numbered(100 + i) for i in range(3)}, "test")
    data = image_folder(path=train, held_out=test, size=8)
    assert (data.spec.size, len(data.held_out["x"])) == (8, 3)
    assert data.train["label"].tolist() == [0] * 4 + [1] * 4
    assert data.held_out["label"].tolist() == [1] * 3
    assert (data.held_out["x"][:, 0, 0, 0] * 255).round().tolist() == [100, 101, 102]


def test_the_centre_is_cut_out_at_the_shorter_side_s_scale(folder):
    wide = plain(RED, (40, 10))
    wide.paste(plain(BLUE, (20, 10)), (10, 0))
    assert (only(folder, wide)[:, :, 2:6].float().mean((1, 2)) - torch.tensor(BLUE)).abs().max() < 1
    levels = only(folder, wide, size=10)
    assert torch.equal(levels, torch.tensor(BLUE).view(3, 1, 1).expand(3, 10, 10).int())


def test_small_images_are_enlarged(folder):
    assert only(folder, plain(GREEN, (2, 3)), size=16).shape == (3, 16, 16)


def test_grey(folder):
    levels = only(folder, plain(RED), colour="grey")
    assert levels.shape == (1, 8, 8)
    assert levels.unique().tolist() == [76]  # 0.299 · 255


def test_photographs_are_turned_as_the_camera_says(folder):
    upper_red = plain(BLUE)
    upper_red.paste(plain(RED, (8, 4)), (0, 0))
    exif = PIL.Image.Exif()
    exif[0x0112] = 3  # upside down
    buffer = io.BytesIO()
    upper_red.save(buffer, "PNG", exif=exif)
    levels = only(folder, buffer.getvalue())
    assert levels[:, 0, 0].tolist() == list(BLUE)
    assert levels[:, 7, 0].tolist() == list(RED)


def palette_with_transparency():
    image = PIL.Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, *RED])
    image.paste(0, (0, 0, 4, 8))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=bytes([0, 255]))
    return buffer.getvalue()


def half_transparent():
    image = plain((*RED, 255), mode="RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 4, 8))
    return image


@pytest.mark.parametrize("image", [half_transparent(), palette_with_transparency()], ids=["RGBA", "palette"])
def test_transparent_parts_become_white(folder, image):
    levels = only(folder, image)
    assert levels[:, 0, 0].tolist() == list(WHITE)
    assert levels[:, 0, 7].tolist() == list(RED)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_colour_modes(folder, mode):
    levels = only(folder, plain(GREEN).convert(mode), "a.tiff")
    expected = {"1": (0, 0, 0), "L": (150,) * 3}.get(mode, GREEN)
    if mode == "1":
        assert set(levels.flatten().tolist()) <= {0, 255}
    else:
        assert (levels - torch.tensor(expected).view(3, 1, 1)).abs().max() <= 2


@pytest.mark.parametrize("suffix", ["bmp", "gif", "jpeg", "jpg", "png", "ppm", "tif", "tiff", "webp"])
def test_formats(folder, suffix):
    levels = only(folder, plain(BLUE), f"a.{suffix}")
    assert (levels - torch.tensor(BLUE).view(3, 1, 1)).abs().max() <= 3


def test_a_wrong_suffix_does_no_harm(folder):
    buffer = io.BytesIO()
    plain(BLUE).save(buffer, "PNG")
    assert only(folder, buffer.getvalue(), "a.jpg")[:, 0, 0].tolist() == list(BLUE)


def test_large_jpegs_keep_their_look(folder):
    """A JPEG is decoded at a fraction of its size, which must not show."""
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    image = PIL.Image.fromarray(np.broadcast_to(ramp[:, None, None], (512, 512, 3)).copy())
    levels = only(folder, image, "a.jpg").float()
    expected = torch.from_numpy(ramp.reshape(8, 64).mean(1)).view(1, 8, 1)
    assert (levels - expected).abs().max() < 6


def lazy(monkeypatch):
    monkeypatch.setattr(module, "IN_MEMORY", 0)


def test_many_images_are_decoded_when_they_are_drawn(folder, monkeypatch):
    path = folder({f"{name}/{i}.png": numbered(20 * (name == "b") + i) for i in range(8) for name in "ab"})
    kept = image_folder(path=path, size=8)
    lazy(monkeypatch)
    data = image_folder(path=path, size=8)
    assert isinstance(data.train, Dataset)
    assert data.spec == kept.spec
    for part, expected in ((data.train, kept.train), (data.held_out, kept.held_out)):
        items = [part[index] for index in range(len(part))]
        for name in ("x", "label"):
            assert torch.equal(torch.stack([item[name] for item in items]), expected[name])
    cpu = torch.device("cpu")
    batch = next(Batches(data.train, batch_size=4, seed=0, device=cpu, dtype=torch.float64))
    assert batch["x"].shape == (4, 3, 8, 8)
    assert batch["x"].dtype == torch.float64


def test_the_digest_of_undecoded_images_is_of_names_and_contents(folder, monkeypatch):
    lazy(monkeypatch)
    path = folder({f"{i}.png": numbered(i) for i in range(8)})
    first = image_folder(path=path, size=8).digest
    os.utime(path / "3.png", (0, 0))
    assert image_folder(path=path, size=8).digest == first
    assert image_folder(path=path, size=9).digest != first
    assert image_folder(path=path, size=8, colour="grey").digest != first
    assert image_folder(path=path, size=8, seed=1).digest != first
    numbered(99).save(path / "3.png")
    assert image_folder(path=path, size=8).digest != first


def truncated():
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()[:-1500]


def bomb():
    buffer = io.BytesIO()
    PIL.Image.new("1", (20_000, 5_000)).save(buffer, "PNG")
    return buffer.getvalue()


BROKEN = {
    "empty": (b"", "cannot identify"),
    "text": (b"no image at all", "cannot identify"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "cannot identify"),
    "truncated": (truncated(), "truncated|broken"),
    "bomb": (bomb(), "exceeds limit of"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=list(BROKEN))
def test_broken_files_are_named(folder, content, message):
    path = folder({**{f"{i}.png": plain(RED) for i in range(8)}, "x/bad.png": content})
    (path / "x" / "bad.png").rename(path / "bad.png")
    with pytest.raises(
        RequestError, match=rf"the image `.*bad\.png` cannot be read: .*({message})"
    ) as raised:
        image_folder(path=path, size=8)
    assert "remove it" in raised.value.hint


def test_undecoded_files_are_named_at_once_or_when_they_are_drawn(folder, monkeypatch):
    lazy(monkeypatch)
    path = folder({f"{i}.png": plain(RED) for i in range(8)})
    (path / "bad.png").write_bytes(b"no image")
    with pytest.raises(RequestError, match=r"bad\.png` cannot be read"):
        image_folder(path=path, size=8)
    (path / "bad.png").write_bytes(truncated())
    files = ImageFiles(path, [path / "bad.png"], None, 8, "rgb")
    with pytest.raises(RequestError, match=r"bad\.png` cannot be read"):
        files[0]


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_more_than_eight_bits_are_refused(folder, mode):
    with pytest.raises(RequestError, match=r"a\.tiff` cannot be read: its values have more than eight bits"):
        only(folder, PIL.Image.new(mode, (8, 8)), "a.tiff")


def test_folders_that_cannot_be_used(folder, tmp_path):
    with pytest.raises(RequestError, match=r"no folder .* found"):
        image_folder(path=tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="is a file; expected a folder"):
        image_folder(path=tmp_path / "file")
    with pytest.raises(RequestError, match="no images found in the folder") as raised:
        image_folder(path=folder({"notes.txt": b""}, "none"))
    assert ".png" in raised.value.hint
    with pytest.raises(
        RequestError, match=r"has images of its own, such as `a\.png`, next to the sub-folder `b`"
    ):
        image_folder(path=folder({"a.png": plain(RED), "b/c.png": plain(RED)}, "mixed"))
    with pytest.raises(RequestError, match="has 0 held-out examples"):
        image_folder(path=folder({"a.png": plain(RED), "b.png": plain(RED)}, "few"))


def test_held_out_folders_that_cannot_be_used(folder):
    train = folder({f"{name}/{i}.png": plain(RED) for i in range(4) for name in "ab"}, "train")
    other = folder({f"c/{i}.png": plain(RED) for i in range(4)}, "other")
    with pytest.raises(
        RequestError, match=r"`.*0\.png` is not in one of the sub-folders of the training"
    ) as raised:
        image_folder(path=train, held_out=other)
    assert raised.value.hint == "these are a, b"
    for inner in (train, train / "a"):
        with pytest.raises(RequestError, match="overlap"):
            image_folder(path=train, held_out=inner)
        with pytest.raises(RequestError, match="overlap"):
            image_folder(path=inner, held_out=train)


def test_links_to_folders_are_followed_and_loops_are_named(folder):
    path = folder({f"a/{i}.png": plain(RED) for i in range(8)})
    (path / "a" / "again").symlink_to(path)
    with pytest.raises(RequestError, match=r"`.*again` is a link to a folder that is already read"):
        image_folder(path=path, size=8)
    (path / "a" / "again").unlink()
    (path / "b").symlink_to(folder({f"{i}.png": plain(BLUE) for i in range(8)}, "elsewhere"))
    assert everything(image_folder(path=path, size=8)).shape == (16, 3, 8, 8)
