"""A metric of samples that are not finite is NaN, and it is said how many were not."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss.training.bound_metrics import BoundMetric
from genloss.training.finite import Watched

SAMPLES = torch.zeros(8, 2)
DIVERGED = SAMPLES.clone()
DIVERGED[2:5, 1] = math.nan
DIVERGED[6, 0] = math.inf


@genloss.metric(unit="1", higher_is_better={"finite": True, "share": True})
def forgiving(samples: Float[Tensor, "samples *event"]) -> dict[str, float]:
    """What leaves out what is not finite, as many a metric does, some unknowingly."""
    finite = samples.isfinite().all(1)
    return {"finite": float(finite.sum()), "share": 1.0}


@genloss.metric(unit="nats", higher_is_better=False)
def likelihood(log_likelihood: Any, held_out: Float[Tensor, "held_out *event"]) -> float:
    """The median, which does not see a few."""
    return float(-torch.cat([log_likelihood(part) for part in held_out.split(3)]).median())


@genloss.metric(unit="1", higher_is_better=False)
def of_the_data(held_out: Float[Tensor, "held_out *event"]) -> float:
    """What does not look at the model."""
    return float(held_out.sum())


def test_a_metric_of_samples_that_are_not_finite_is_nan() -> None:
    watched = Watched({"samples": DIVERGED, "held_out": SAMPLES})
    numbers = watched.numbers(BoundMetric(forgiving, forgiving))
    assert numbers.keys() == {"finite", "share"}
    assert all(map(math.isnan, numbers.values()))
    assert watched.numbers(BoundMetric(of_the_data, of_the_data)) == {"of_the_data": 0}
    assert watched.notes(30) == ["at step 30, 4 of 8 samples are not finite: `finite`, `share` are NaN"]


def test_finite_samples_and_tokens_are_measured_without_a_word() -> None:
    for samples in (SAMPLES, SAMPLES.long()):
        watched = Watched({"samples": samples})
        assert watched.numbers(BoundMetric(forgiving, forgiving)) == {"finite": 8, "share": 1}
        assert watched.notes(30) == []


def test_so_is_one_of_a_likelihood_that_is_not_a_number() -> None:
    def first_is_nan(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] == 0, math.nan, x[:, 0])

    held_out = torch.arange(16.0).view(8, 2)
    watched = Watched({"samples": SAMPLES, "held_out": held_out, "log_likelihood": first_is_nan})
    assert math.isnan(watched.numbers(BoundMetric(likelihood, likelihood))["likelihood"])
    said = "1 of 8 values of the model's `log_likelihood` are not finite: `likelihood` is NaN"
    assert watched.notes(5) == [f"at step 5, {said}"]


def test_what_is_impossible_has_a_likelihood() -> None:
    def impossible(x: Tensor) -> Tensor:
        return torch.full((len(x),), -math.inf)

    watched = Watched({"samples": SAMPLES, "held_out": SAMPLES, "log_likelihood": impossible})
    assert watched.numbers(BoundMetric(likelihood, likelihood)) == {"likelihood": math.inf}
    assert watched.notes(5) == []
