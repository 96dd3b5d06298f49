"""Handwritten digits of 8 × 8 pixels, small enough to compare losses in minutes on a CPU."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Le

import genloss


@genloss.dataset
def digits(*, held_out: Annotated[float, Ge(0.01), Le(0.99)] = 0.25) -> genloss.Data:
    """1,797 handwritten digits, 8 × 8 pixels of 17 grey levels, with their labels.

    Fields: `x` `[batch, 1, 8, 8]` in [0, 1] (grey level / 16); `label` `[batch]`, 0 … 9.

    The split is stratified by label and always the same for a given share.

    Options:
        held_out: share of the examples to hold out; 0.25 by default, which is 450 examples.

    Source: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository
    (doi:10.24432/C50P49), as distributed with scikit-learn.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    train, unseen = train_test_split(
        np.arange(len(images)), test_size=held_out, stratify=labels, random_state=0
    )
    x = torch.from_numpy((images / 16).astype(np.float32)).reshape(-1, 1, 8, 8)
    label = torch.from_numpy(labels.astype(np.int64))
    return genloss.Data(
        genloss.DataSpec(
            (1, 8, 8), "image", size=len(train), value_range=(0.0, 1.0), vocabulary=17, classes=10
        ),
        train={"x": x[train], "label": label[train]},
        held_out={"x": x[unseen], "label": label[unseen]},
    )
