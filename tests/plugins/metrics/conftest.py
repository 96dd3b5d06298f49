from __future__ import annotations

import pytest

from genloss_builtin.datasets.digits import digits


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A folder for the classifier, which is trained once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def digits_data():
    return digits()


@pytest.fixture(scope="session")
def digits_parts(digits_data, cache):
    """What the evaluation of a model on digits hands to a metric, but for the samples."""
    return {
        "held_out": digits_data.held_out["x"],
        "train": digits_data.train["x"],
        "train_labels": digits_data.train["label"],
        "cache": cache,
    }
