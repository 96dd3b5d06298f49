"""Examples as metrics read them: all at once where they are few, and a part at a time where they are many."""

from __future__ import annotations

import torch

import genloss
from genloss.contracts import examples
from genloss.contracts.dataset import digest
from genloss.contracts.examples import Examples

X = torch.arange(46.0).reshape(23, 2)


@genloss.metric(unit="1", higher_is_better=False)
def gap(samples: torch.Tensor, held_out: Examples, train: Examples | None = None) -> float:
    """Of the means."""
    assert isinstance(held_out, Examples)
    return float(samples.mean() - torch.stack([x.sum() for x in held_out.batches(5)]).sum() / 46)


def test_they_are_read_as_they_are_asked_for():
    found = Examples.of(X)
    assert (len(found), found.shape, found.dtype) == (23, (23, 2), torch.float32)
    assert torch.equal(found[torch.tensor([4, 2])], X[[4, 2]])
    assert torch.equal(found[3:5], X[3:5])
    assert [len(batch) for batch in found.batches(10)] == [10, 10, 3]
    assert torch.equal(torch.cat(list(found.batches(10))), X)
    assert found.whole.data_ptr() == X.data_ptr()
    assert found.digest == digest({"x": X})


def test_few_of_them_come_at_once_and_many_in_parts(monkeypatch):
    assert len(list(Examples.of(X).batches())) == 1
    monkeypatch.setattr(examples, "SMALL", 64)
    monkeypatch.setattr(examples, "CHUNK", 64)
    assert [len(batch) for batch in Examples.of(X).batches()] == [8, 8, 7]


def test_a_metric_that_asks_for_them_may_be_called_with_a_tensor():
    assert gap.streamed == {"held_out", "train"}
    assert gap(X, X) == gap(X, Examples.of(X)) == gap(held_out=X, samples=X) == 0
