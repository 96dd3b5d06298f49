"""Distances between the model's samples and held-out data.

Samples are compared with data that the model was not trained on, so that memorising the training set does not
help.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss.errors import RequestError
from genloss_builtin.metrics.features import Classifier, Features, Reference, check_features, embed, space

BLOCK = 1024
"""Number of rows of a distance matrix held at a time."""

PIECE = 12 * 2**20
"""Number of feature values held in double precision at a time, over all examples; they take 96 MiB."""

ROOT = 25_000_000
"""Maximum number of entries of a covariance's root, with one row per example or feature; they take 200 MB."""


def check_covariances(
    spec: genloss.DataSpec,
    sample_count: int,
    held_out_count: int,
    train_labels: Tensor | None = None,
    *,
    features: Features = "auto",
) -> str | None:
    """Run `check_features`, and return a remark if a covariance would be singular."""
    check_features(spec, train_labels, features=features)
    size = Classifier.feature_size
    if space(spec, train_labels, features) == "data":
        size = math.prod(spec.event_shape)
    if min(sample_count, held_out_count) > size:
        return None
    return (
        f"{size} features need more than {size} samples and held-out examples for a non-singular covariance, "
        f"but there are {sample_count} and {held_out_count}: identical samples may get a lower distance than "
        "the data itself"
    )


@genloss.metric(unit="1", higher_is_better=False, version="1", check=check_covariances)
def frechet_distance(
    samples: Float[Tensor, "samples *event"],
    held_out: genloss.Examples,
    train: genloss.Examples,
    cache: Path,
    train_labels: Tensor | None = None,
    *,
    features: Features = "auto",
) -> float:
    """Fréchet distance between two Gaussians fitted to the features of samples and of held-out data.

    Formula: ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½), with n − 1 in the covariances. Held-out data is read in
    parts. If a root of its covariance has more than 25 million entries, as with more than 5,000 examples of
    more than 5,000 features, as many examples as there are samples are drawn at random.

    Unit: of a feature, squared: 1 for the classifier's standardised features, the data's own for `data`.
    Direction: lower is better; 0 if means and covariances agree.
    Reference: training data against held-out data. It is above 0, since a few hundred examples do not
    determine a covariance; it decreases with more samples. Unless there are more samples and held-out
    examples than features, a covariance is singular, and identical samples may get a lower distance than
    the data itself.

    Options:
        features: `classifier` (32 features of a small classifier, trained once on the data), `data` (the
            flattened examples), or `auto`: `classifier` for labelled images, else `data`.

    Source: Heusel et al. 2017 (arXiv:1706.08500), with Inception features; values for different features are
    not comparable.
    """
    ours, theirs = embed(samples, held_out, train, train_labels, cache, features)
    _need(2, ours, theirs, "a covariance")
    if min(len(theirs), theirs.size) * theirs.size > ROOT:
        reference = theirs.drawn(max(2, len(ours)))
        return _frechet(_gaussian([ours], len(ours)), _gaussian([reference], len(reference)))
    return _frechet(_gaussian([ours], len(ours)), _gaussian(theirs.batches(), len(theirs)))


def _gaussian(parts: Iterable[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Return the mean μ of examples `[batch, features]`, and an R with RᵀR = Σ and at most `features` rows.

    Args:
        parts: all examples, in one or more parts.
        count: the number of examples.
    """
    seen, mean, root = 0, torch.zeros(()), torch.zeros(())
    pieces = (piece for part in parts for piece in torch.split(part, max(1, PIECE // part.shape[1])))
    for piece in pieces:
        x = piece.to("cpu", torch.float64, copy=True)
        centre = x.mean(0)
        if not centre.isfinite().all():
            return torch.full_like(centre, math.nan), torch.zeros(1, len(centre))
        rows = _shortened(x.sub_(centre).div_(math.sqrt(count - 1)))
        if seen:
            # The scatter between the part's mean and the running mean (Chan et al. 1983).
            apart = centre - mean
            between = apart * math.sqrt(seen * len(x) / (seen + len(x)) / (count - 1))
            rows = _shortened(torch.cat([root, rows, between[None]]))
            centre = mean + apart * (len(x) / (seen + len(x)))
        seen, mean, root = seen + len(x), centre, rows
    return mean, root


def _shortened(rows: Tensor) -> Tensor:
    """Return an R with RᵀR = XᵀX and no more rows than columns or than X."""
    return torch.linalg.qr(rows, mode="r").R if len(rows) > rows.shape[1] else rows


def _frechet(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
    means, roots = zip(one, other, strict=True)
    if not all(mean.isfinite().all() for mean in means):
        return math.nan
    # tr (Σ₁Σ₂)^½ is the sum of the singular values of R₁R₂ᵀ, which avoids the root of a singular matrix.
    cross = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    variances = roots[0].square().sum() + roots[1].square().sum()
    distance = (means[0] - means[1]).square().sum() + variances - 2 * cross
    return float(distance.clamp_min(0))


@genloss.metric(
    unit="1", higher_is_better={"precision": True, "recall": True}, version="1", check=check_features
)
def precision_recall(
    samples: Float[Tensor, "samples *event"],
    held_out: genloss.Examples,
    train: genloss.Examples,
    cache: Path,
    train_labels: Tensor | None = None,
    *,
    k: Annotated[int, Ge(1)] = 3,
    features: Features = "auto",
) -> dict[str, float]:
    """Improved precision (are samples realistic?) and recall (do they cover the variety of the data?).

    Formula: the manifold of a set is the union of balls around its points, each with the distance to the k-th
    nearest neighbour in the set as radius. Precision: share of the samples in the manifold of held-out data.
    Recall: share of held-out data in the manifold of the samples. If the features of all held-out data take
    more than 192 MiB, as many examples as there are samples are drawn at random.

    Unit: share. Direction: higher is better.
    Reference: training data against held-out data; below 1, since a new point from the same distribution is
    in k balls only on average. That average does not depend on the set sizes, so they may differ.

    Options:
        k: the neighbour that defines a ball's radius; 3 by default.
        features: as for `frechet_distance`; `auto` by default.

    Source: Kynkäänniemi et al. 2019 (arXiv:1904.06991), with VGG-16 features.
    """
    ours, theirs = embed(samples, held_out, train, train_labels, cache, features)
    _need(k + 1, ours, theirs, f"each point's neighbour number {k}")
    real = theirs.some(max(k + 1, len(ours)))
    return {"precision": _share_within(ours, real, k), "recall": _share_within(real, ours, k)}


def _share_within(points: Tensor, reference: Tensor, k: int) -> float:
    """Return the share of the points in the manifold of the reference; points with NaN are never in it."""
    # A point is its own nearest neighbour, hence k + 1.
    radii = torch.cat(
        [block.topk(k + 1, largest=False).values[:, k] for block in _distances(reference, reference)]
    )
    within = torch.cat([(block <= radii).any(1) for block in _distances(points, reference)])
    return int(within.sum()) / len(points)


@genloss.metric(unit="1", higher_is_better=False, version="1", check=check_features)
def maximum_mean_discrepancy(
    samples: Float[Tensor, "samples *event"],
    held_out: genloss.Examples,
    train: genloss.Examples,
    cache: Path,
    train_labels: Tensor | None = None,
    *,
    bandwidth: Annotated[float, Gt(0)] | None = None,
    features: Features = "auto",
) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy (MMD²) under a Gaussian kernel.

    Formula: mean_{i≠j} k(xᵢ, xⱼ) + mean_{i≠j} k(yᵢ, yⱼ) − 2 mean_{i,j} k(xᵢ, yⱼ), with
    k(x, y) = exp(−‖x − y‖² / 2σ²). Held-out data is subsampled as for `precision_recall`.

    Unit: 1, between 0 and 2 in expectation. Direction: lower is better.
    Reference: training data against held-out data; around 0, as often below as above.

    Options:
        bandwidth: σ, in the unit of the features; by default the median distance between the first 1,000
            held-out examples, which does not depend on the model.
        features: as for `frechet_distance`; `auto` by default.

    Source: Gretton et al. 2012, A Kernel Two-Sample Test (JMLR 13), lemma 6, where the median heuristic uses
    both sets.
    """
    ours, theirs = embed(samples, held_out, train, train_labels, cache, features)
    _need(2, ours, theirs, "a mean over pairs")
    real = theirs.some(max(2, len(ours)))
    sigma = bandwidth or _median_distance(real[:1000])

    def kernel_sum(x: Tensor, y: Tensor) -> Tensor:
        sums = [(block / sigma).square().div(-2).exp().sum() for block in _distances(x, y)]
        return torch.stack(sums).sum()

    sums = torch.stack([kernel_sum(ours, ours), kernel_sum(real, real), kernel_sum(ours, real)])
    within_ours, within_theirs, between = map(float, sums)
    n, m = len(ours), len(real)
    # The kernel of a point with itself is 1, and the distance to itself exactly 0.
    return (within_ours - n) / (n * (n - 1)) + (within_theirs - m) / (m * (m - 1)) - 2 * between / (n * m)


def _median_distance(x: Tensor) -> float:
    distances = torch.cat(list(_distances(x, x)))
    first, second = torch.triu_indices(len(x), len(x), 1, device=x.device)
    median = float(distances[first, second].median())
    if median == 0:
        raise RequestError(
            "more than half of the held-out examples are equal: their median distance is 0, not a bandwidth",
            hint="set `bandwidth`",
        )
    return median


def _distances(x: Tensor, y: Tensor) -> Iterator[Tensor]:
    """Yield the Euclidean distances between the rows of x and of y, one block of x at a time."""
    for block in torch.split(x, BLOCK):
        # Without the matrix-product shortcut, equal rows have distance exactly 0.
        yield torch.cdist(block, y, compute_mode="donot_use_mm_for_euclid_dist")


def _need(least: int, ours: Tensor, theirs: Reference, what: str) -> None:
    for count, name, hint in (
        (len(ours), "samples", "increase `evaluation.samples`"),
        (len(theirs), "held-out examples", "hold more data out"),
    ):
        if count < least:
            raise RequestError(f"{what} needs at least {least} {name}, got {count}", hint=hint)
