"""Patches of photographs: what they are, and that no held-out pixel is trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from genloss.errors import RequestError
from genloss_builtin.datasets.photo_patches import photo_patches


@pytest.fixture(scope="module")
def data():
    return photo_patches()


def test_spec_says_what_the_tensors_are(data):
    assert data.spec.event_shape == (3, 16, 16)
    assert (data.spec.kind, data.spec.value_range, data.spec.vocabulary) == ("image", (0, 1), 256)
    assert (data.spec.size, len(data.held_out["x"])) == (5720, 1560)
    for part in (data.train, data.held_out):
        assert part["x"].dtype == torch.float32
        assert part["x"].min() >= 0
        assert part["x"].max() <= 1
        assert part["label"].bincount().tolist() == [len(part["x"]) // 2] * 2
    assert photo_patches().digest == data.digest


def test_patches_are_those_of_the_photographs(data):
    first = data.train["x"][data.train["label"] == 0][0]
    temple = load_sample_images().images[0]
    assert torch.equal(first, torch.from_numpy(temple[:16, :16] / np.float32(255)).movedim(-1, 0))


@pytest.mark.parametrize(
    "options",
    [{}, {"size": 8, "stride": 5}, {"size": 32, "held_out": 0.4}, {"size": 64, "stride": 64}],
    ids=str,
)
def test_no_held_out_pixel_is_trained_on(options, monkeypatch):
    """Photographs whose pixels are numbered, so that each says where it comes from."""
    height, width = 427, 640
    place = np.arange(height * width, dtype=np.int64).reshape(height, width)

    class Numbered:
        images = tuple(np.stack([place, place, place], -1) + which * place.size for which in range(2))

    monkeypatch.setattr("sklearn.datasets.load_sample_images", Numbered)
    monkeypatch.setattr("genloss_builtin.datasets.photo_patches.scaled", lambda levels: levels.astype("f8"))
    data = photo_patches(**options)
    trained, unseen = (part["x"].unique() for part in (data.train, data.held_out))
    assert not np.intersect1d(trained.numpy(), unseen.numpy()).size
    size = options.get("size", 16)
    for part in (data.train, data.held_out):
        x = part["x"]
        assert x.shape[1:] == (3, size, size)
        assert ((x[..., 1:] - x[..., :-1]) == 1).all()
        assert ((x[..., 1:, :] - x[..., :-1, :]) == width).all()
        assert torch.equal(part["label"], (x[:, 0, 0, 0] >= place.size).long())


def test_both_parts_see_all_of_the_pictures(data):
    for label in (0, 1):
        means = [part["x"][part["label"] == label].mean((0, 2, 3)) for part in (data.train, data.held_out)]
        torch.testing.assert_close(*means, rtol=0, atol=0.04)


def test_stride(data):
    apart = photo_patches(stride=16)
    assert {tuple(patch) for patch in apart.train["x"].flatten(1).tolist()} <= {
        tuple(patch) for patch in data.train["x"].flatten(1).tolist()
    }
    assert apart.spec.size == 2 * 5 * 26 * 6


@pytest.mark.parametrize("options", [{"size": 161}, {"size": 50, "held_out": 0.05}, {"size": 428}])
def test_patches_that_are_too_large_are_refused(options):
    with pytest.raises(RequestError, match="do not fit into a part of") as raised:
        photo_patches(**options)
    assert "smaller `size`" in raised.value.hint
