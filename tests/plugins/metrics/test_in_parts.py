"""Metrics of many held-out examples, which are read a part at a time, give what they give at once."""

from __future__ import annotations

import pytest
import torch

from genloss.contracts import examples
from genloss.contracts.examples import Examples
from genloss_builtin.metrics import features, two_sample
from genloss_builtin.metrics.features import Classifier
from genloss_builtin.metrics.reconstruction import reconstruction_error
from genloss_builtin.metrics.two_sample import frechet_distance, maximum_mean_discrepancy


@pytest.fixture
def in_parts(monkeypatch):
    """Reads in several parts what is read at once otherwise; gives data of correlated features."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 6, generator=generator) @ torch.randn(6, 6, generator=generator)
    others = torch.randn(290, 6, generator=generator) + 0.3

    def begin():
        monkeypatch.setattr(examples, "SMALL", 0)
        monkeypatch.setattr(examples, "CHUNK", 24 * 37)

    return x, others, begin


def test_a_frechet_distance_is_the_same_in_parts(in_parts, tmp_path):
    x, others, begin = in_parts
    at_once = frechet_distance(others, x, x, tmp_path)
    begin()
    assert len(list(Examples.of(x).batches())) == 9
    assert frechet_distance(others, x, x, tmp_path) == pytest.approx(at_once, rel=1e-9)
    x[250, 3] = torch.nan
    assert frechet_distance(others, x, x, tmp_path) != frechet_distance(others, x, x, tmp_path)


def test_a_reconstruction_error_is_the_same_in_parts(in_parts):
    x, _, begin = in_parts
    at_once = reconstruction_error(torch.tanh, x)
    begin()
    assert reconstruction_error(torch.tanh, x) == pytest.approx(at_once, rel=1e-5)


def test_the_classifier_is_the_same_in_parts(in_parts):
    x, _, begin = in_parts
    classes = (x[:, 0] > 0).long()
    found = []
    for _ in range(2):
        classifier = Classifier(6, 2)
        classifier.fit(Examples.of(x), classes, steps=3)
        found.append(classifier.state_dict())
        begin()
    for name, tensor in found[0].items():
        torch.testing.assert_close(found[1][name], tensor, rtol=1e-4, atol=1e-5)


def test_with_many_features_a_part_of_held_out_data_stands_for_all(in_parts, tmp_path, monkeypatch):
    """As many as there are samples, drawn by lot."""
    x, others, _ = in_parts
    of_all = frechet_distance(others[:100], x, x, tmp_path)
    monkeypatch.setattr(two_sample, "ROOT", 35)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))[:100]
    drawn = frechet_distance(others[:100], x, x, tmp_path)
    monkeypatch.undo()
    assert drawn == pytest.approx(frechet_distance(others[:100], x[order], x, tmp_path), rel=1e-9)
    assert drawn != pytest.approx(of_all, rel=1e-3)


def test_of_many_held_out_examples_some_are_compared_in_pairs(in_parts, tmp_path, monkeypatch):
    x, others, _ = in_parts
    of_all = maximum_mean_discrepancy(others[:100], x, x, tmp_path)
    monkeypatch.setattr(features, "SMALL", 0)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))[:100]
    drawn = maximum_mean_discrepancy(others[:100], x, x, tmp_path)
    monkeypatch.undo()
    assert drawn == maximum_mean_discrepancy(others[:100], x[order], x, tmp_path) != of_all
