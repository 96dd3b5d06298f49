"""The handwritten digits: values, split, and what is said about them."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits

from genloss_builtin.datasets.digits import digits


@pytest.fixture(scope="module")
def data():
    return digits()


def test_spec_says_what_the_tensors_are(data):
    x = torch.cat([data.train["x"], data.held_out["x"]])
    assert x.shape == (1797, *data.spec.event_shape) == (1797, 1, 8, 8)
    assert x.dtype == torch.float32
    assert data.spec.kind == "image"
    assert data.spec.size == len(data.train["x"]) == 1347
    assert (x.min().item(), x.max().item()) == data.spec.value_range == (0, 1)
    assert x.unique().numel() == data.spec.vocabulary == 17


def test_every_image_is_in_one_part_with_its_label(data):
    images, labels = load_digits(return_X_y=True)
    expected = sorted((tuple(image), label) for image, label in zip(images / 16, labels, strict=True))
    found = sorted(
        (tuple(image.flatten().tolist()), label.item())
        for part in (data.train, data.held_out)
        for image, label in zip(part["x"], part["label"], strict=True)
    )
    assert found == expected


def test_split_is_stratified(data):
    unseen = data.held_out["label"].bincount()
    total = data.train["label"].bincount() + unseen
    assert ((unseen - 0.25 * total).abs() < 1).all()


def test_same_share_gives_the_same_split(data):
    assert digits().digest == data.digest
    assert digits(held_out=0.5).digest != data.digest
    assert len(digits(held_out=0.5).held_out["x"]) == 899


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_every_allowed_share_leaves_every_digit_in_both_parts(share):
    data = digits(held_out=digits.options["held_out"].validate(share))
    assert data.train["label"].unique().numel() == data.held_out["label"].unique().numel() == 10


@pytest.mark.parametrize("share", [0, 1, "0.25", None])
def test_other_shares_are_refused(share):
    with pytest.raises(ValueError, match=r"expected float ≥ 0\.01 and ≤ 0\.99"):
        digits.options["held_out"].validate(share)
