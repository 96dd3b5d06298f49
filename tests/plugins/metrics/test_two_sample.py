"""Fréchet distance, precision and recall, and MMD, against closed forms and direct computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import qmc
from torch import nn

import genloss
from genloss.errors import RequestError
from genloss_builtin.metrics import two_sample
from genloss_builtin.metrics.two_sample import frechet_distance, maximum_mean_discrepancy, precision_recall

METRICS = [frechet_distance, precision_recall, maximum_mean_discrepancy]
every_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)


def measure(metric, samples, held_out, **options):
    """The metric in the space of the data itself."""
    return metric(samples=samples, held_out=held_out, train=held_out, cache=None, features="data", **options)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_exact_moments(count, mean, deviation, seed):
    """Points whose mean and covariance, with n − 1, are exactly these."""
    x = normal(count, len(mean), seed=seed)
    x -= x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov() if len(mean) > 1 else x.var(0)[None])).T
    return x * torch.tensor(deviation) + torch.tensor(mean)


def test_frechet_distance_of_two_gaussians():
    a = with_exact_moments(50, mean=[0.0, 1.0, 2.0], deviation=[1.0, 2.0, 3.0], seed=0)
    b = with_exact_moments(70, mean=[1.0, 1.0, 4.0], deviation=[2.0, 2.0, 0.5], seed=1)
    # Covariances that commute: Σ (m₁ − m₂)² + Σ (s₁ − s₂)².
    expected = (1 + 0 + 4) + (1 + 0 + 6.25)
    assert measure(frechet_distance, a, b) == pytest.approx(expected, rel=1e-12)
    assert measure(frechet_distance, b, a) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "m", "d"), [(40, 30, 5), (12, 30, 20), (6, 7, 20), (2, 2, 1)])
def test_frechet_distance_against_its_formula(n, m, d):
    mix = normal(d, d, seed=2)
    a, b = normal(n, d) @ mix + 0.3, normal(m, d, seed=1) * 2
    covariance_a, covariance_b = (np.atleast_2d(np.cov(x.numpy(), rowvar=False)) for x in (a, b))
    eigenvalues = np.linalg.eigvals(covariance_a @ covariance_b).real
    cross = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    if n > d and m > d:
        assert cross == pytest.approx(np.trace(sqrtm(covariance_a @ covariance_b)).real, rel=1e-9)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum().item() + np.trace(covariance_a + covariance_b) - 2 * cross
    # Eigenvalues that should be 0 come out as about 1e-15 and enter by their square root.
    assert measure(frechet_distance, a, b) == pytest.approx(expected, rel=1e-5)


def test_frechet_distance_against_torchmetrics(digits_data):
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Flatten(nn.Module):
        num_features = 64

        def forward(self, x):
            return x.flatten(1)

    train, held_out = digits_data.train["x"], digits_data.held_out["x"]
    reference = FrechetInceptionDistance(feature=Flatten())
    reference.set_dtype(torch.float64)
    reference.update(held_out.double(), real=True)
    reference.update(train.double(), real=False)
    assert measure(frechet_distance, train, held_out) == pytest.approx(reference.compute().item(), rel=1e-6)


def test_frechet_distance_of_a_set_to_itself_is_zero():
    x = normal(500, 10)
    assert measure(frechet_distance, x, x.flip(0)) == pytest.approx(0, abs=1e-12)


def brute_force_share(points, reference, k):
    count = 0
    radii = [sorted(math.dist(r, s) for s in reference)[k] for r in reference]
    for point in points:
        count += any(math.dist(point, r) <= radius for r, radius in zip(reference, radii, strict=True))
    return count / len(points)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_against_their_definition(k, monkeypatch):
    monkeypatch.setattr(two_sample, "BLOCK", 16)
    ours, theirs = normal(70, 2) * 0.6, normal(50, 2, seed=1)
    expected = {
        "precision": brute_force_share(ours.tolist(), theirs.tolist(), k),
        "recall": brute_force_share(theirs.tolist(), ours.tolist(), k),
    }
    assert 0 < expected["recall"] < expected["precision"] < 1
    assert measure(precision_recall, ours, theirs, k=k) == expected


def test_precision_and_recall_of_planted_sets():
    data = torch.cat([normal(40, 2), normal(60, 2, seed=1) + 100])
    dropped = measure(precision_recall, data[:40], data)
    assert dropped == {"precision": 1.0, "recall": 0.4}
    invented = measure(precision_recall, torch.cat([data, normal(100, 2, seed=2) - 100]), data)
    assert invented == {"precision": 0.5, "recall": 1.0}
    collapsed = measure(precision_recall, data[:1].repeat(50, 1), data)
    assert collapsed == {"precision": 1.0, "recall": 0.01}


@pytest.mark.parametrize("sizes", [(500, 500), (2000, 500), (500, 2000)])
def test_balls_reached_by_a_fresh_point_do_not_depend_on_the_sizes(sizes):
    n, m = sizes
    numbers = measure(precision_recall, normal(n, 2), normal(m, 2, seed=1))
    assert numbers["precision"] == pytest.approx(0.97, abs=0.02)
    assert numbers["recall"] == pytest.approx(0.97, abs=0.02)


def test_mmd_of_two_gaussians():
    # Quasi-random points: the closed form is met to 1e-3 by 2,048 of them, not by a hundred times as many.
    a, b = (
        torch.from_numpy(qmc.MultivariateNormalQMC(np.zeros(2), rng=seed).random(2048)) for seed in (0, 1)
    )
    shift = torch.tensor([1.0, 0.0])
    assert measure(maximum_mean_discrepancy, a, b + shift, bandwidth=1.0) == pytest.approx(
        0.1023455, abs=1e-3
    )
    assert measure(maximum_mean_discrepancy, a, b, bandwidth=1.0) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mmd_against_its_definition(dtype, monkeypatch):
    monkeypatch.setattr(two_sample, "BLOCK", 16)
    x, y = normal(30, 3), normal(40, 3, seed=1) + 0.5

    def kernel(a, b):
        return math.exp(-(math.dist(a, b) ** 2) / (2 * 0.7**2))

    def within(points):
        pairs = [kernel(a, b) for i, a in enumerate(points) for j, b in enumerate(points) if i != j]
        return sum(pairs) / len(pairs)

    between = sum(kernel(a, b) for a in x.tolist() for b in y.tolist()) / (30 * 40)
    expected = within(x.tolist()) + within(y.tolist()) - 2 * between
    found = measure(maximum_mean_discrepancy, x.to(dtype), y.to(dtype), bandwidth=0.7)
    assert found == pytest.approx(expected, abs=1e-6 if dtype == torch.float32 else 1e-12)


def test_mmd_bandwidth_is_the_median_distance_of_held_out_data():
    x, y = normal(30, 2), normal(41, 2, seed=1)
    distances = [math.dist(a, b) for i, a in enumerate(y.tolist()) for b in y.tolist()[:i]]
    expected = measure(
        maximum_mean_discrepancy, x, y, bandwidth=float(np.quantile(distances, 0.5, method="lower"))
    )
    assert measure(maximum_mean_discrepancy, x, y) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(RequestError, match="more than half of the held-out examples are equal") as raised:
        measure(maximum_mean_discrepancy, x, torch.zeros(10, 2).double())
    assert raised.value.hint == "set `bandwidth`"


@every_metric
def test_digits_reference_and_what_lies_above_it(metric, digits_data, digits_parts):
    train, labels = digits_data.train["x"], digits_data.train["label"]
    noise = torch.rand(train.shape, generator=torch.Generator().manual_seed(0))
    reference, five_digits, nothing = (
        metric.numbers(metric(samples=samples, **digits_parts))
        for samples in (train, train[labels < 5], noise)
    )
    if metric is frechet_distance:
        assert 0 < reference[metric.name] < 0.5 < 10 * reference[metric.name] < five_digits[metric.name]
    elif metric is maximum_mean_discrepancy:
        assert -0.005 < reference[metric.name] < 0.005 < five_digits[metric.name]
    else:
        assert reference["precision"] > 0.9
        assert reference["recall"] > 0.85
        assert five_digits["precision"] == pytest.approx(reference["precision"], abs=0.05)
        assert five_digits["recall"] < 0.55
        assert nothing["precision"] < 0.1
        assert nothing["recall"] < 0.1
    for name, higher in metric.higher_is_better.items():
        assert (nothing[name] < reference[name]) is higher


@every_metric
def test_memorising_earns_nothing(metric, digits_data, digits_parts):
    """What the classifier was trained on, copied, is measured as fresh examples are."""
    x, labels = digits_data.train["x"], digits_data.train["label"]
    seen, fresh = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:1200].split(600)
    parts = digits_parts | {"train": x[seen], "train_labels": labels[seen]}
    copied, honest = (metric.numbers(metric(samples=x[part], **parts)) for part in (seen, fresh))
    for name in copied:
        assert copied[name] == pytest.approx(honest[name], rel=0.1, abs=0.001)


@every_metric
def test_same_samples_give_the_same_numbers(metric, digits_data, digits_parts):
    state = torch.get_rng_state()
    samples = digits_data.train["x"][:200]
    assert metric(samples=samples, **digits_parts) == metric(samples=samples, **digits_parts)
    assert torch.equal(torch.get_rng_state(), state)


@every_metric
@pytest.mark.parametrize("features", ["classifier", "data"])
def test_samples_of_a_diverged_model_are_measured_too(metric, features, digits_data, digits_parts):
    samples = digits_data.train["x"][:200].clone()
    samples[100:] = math.nan
    numbers = metric.numbers(metric(samples=samples, features=features, **digits_parts))
    if metric is precision_recall:
        assert 0.4 < numbers["precision"] <= 0.5
    else:
        assert math.isnan(numbers[metric.name])


@every_metric
def test_points_need_no_labels(metric):
    x = normal(50, 2).float()
    numbers = metric.numbers(metric(samples=x, held_out=x, train=x, cache=None))
    assert all(math.isfinite(number) for number in numbers.values())


def test_it_is_remarked_that_a_covariance_would_be_singular():
    """Of 8 samples in 64 dimensions, some that are all alike are nearer than the data's own."""
    data = normal(2000, 64)
    alike = data.mean(0) + 1e-3 * normal(65, 64, seed=1)
    for count, better in ((8, True), (65, False)):
        reference = measure(frechet_distance, data[:count], data[1000:])
        assert (measure(frechet_distance, alike[:count], data[1000:]) < reference) is better
    points = genloss.DataSpec((64,), "points", size=1000)
    said = frechet_distance.check(points, 8, 1000)
    assert said.startswith("64 features need more than 64 samples and held-out examples")
    assert frechet_distance.check(points, 1000, 64) is not None
    assert frechet_distance.check(points, 65, 65) is None
    images = genloss.DataSpec((1, 8, 8), "image", size=1000)
    labels = torch.arange(1000) % 10
    assert frechet_distance.check(images, 33, 33, labels) is None
    assert frechet_distance.check(images, 33, 33, labels, features="data") is not None


@pytest.mark.parametrize(
    ("metric", "samples", "held_out", "message", "hint"),
    [
        (frechet_distance, 1, 9, "at least 2 samples, got 1", "increase `evaluation.samples`"),
        (frechet_distance, 9, 1, "at least 2 held-out examples, got 1", "hold more data out"),
        (precision_recall, 3, 9, "at least 4 samples, got 3", "increase `evaluation.samples`"),
        (maximum_mean_discrepancy, 0, 9, "at least 2 samples, got 0", "increase `evaluation.samples`"),
    ],
)
def test_too_few_examples(metric, samples, held_out, message, hint):
    with pytest.raises(RequestError, match=message) as raised:
        measure(metric, normal(samples, 2), normal(held_out, 2))
    assert raised.value.hint == hint
