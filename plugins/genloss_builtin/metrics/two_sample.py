"""Distances between samples of the model and held-out data.

The reference is data that the model was not trained on, so that memorising the training set earns nothing.
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
"""Rows of a distance matrix that are held at a time."""

PIECE = 12 * 2**20
"""Features, of all examples together, that are held in double precision at a time; they take 96 MiB."""

ROOT = 25_000_000
"""Entries of a covariance's root, which has as many rows as examples or features; they take 200 MB."""


def check_covariances(
    spec: genloss.DataSpec,
    sample_count: int,
    held_out_count: int,
    train_labels: Tensor | None = None,
    *,
    features: Features = "auto",
) -> str | None:
    """`check_features`, and a remark where a covariance would be singular."""
    check_features(spec, train_labels, features=features)
    size = Classifier.feature_size
    if space(spec, train_labels, features) == "data":
        size = math.prod(spec.event_shape)
    if min(sample_count, held_out_count) > size:
        return None
    return (
        f"{size} features need more than {size} samples and held-out examples for a covariance that is not "
        f"singular, and there are {sample_count} and {held_out_count}: samples that are all alike may come "
        "out nearer than the data's own"
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

    Formula: ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½), covariances with n − 1. Held-out data is read a part at a
    time. Where a root of its covariance has more than 25 million entries, as with more than 5,000 examples of
    more than 5,000 features, as many examples are drawn by lot as there are samples.

    Unit: of a feature, squared: 1 for the classifier's standardised features, the data's own for `data`.
    Direction: lower is better; 0 where means and covariances agree.
    Reference: training data against held-out data. It is above 0, since a few hundred examples do not
    determine a covariance; more samples lower it. With no more samples, or held-out examples, than features
    a covariance is singular, and samples that are all alike may come out nearer than the data's own.

    Options:
        features: `classifier` (32 features of a small classifier, trained once on the data), `data` (the
            flattened examples), or `auto`: `classifier` for labelled images, else `data`.

    Source: Heusel et al. 2017 (arXiv:1706.08500), there on Inception's features: values of different
    features cannot be compared.
    """
    ours, theirs = embed(samples, held_out, train, train_labels, cache, features)
    _need(2, ours, theirs, "a covariance")
    if min(len(theirs), theirs.size) * theirs.size > ROOT:
        reference = theirs.drawn(max(2, len(ours)))
        return _frechet(_gaussian([ours], len(ours)), _gaussian([reference], len(reference)))
    return _frechet(_gaussian([ours], len(ours)), _gaussian(theirs.batches(), len(theirs)))


def _gaussian(parts: Iterable[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """The mean μ of examples `[batch, features]`, and an R with RᵀR = Σ; of no more rows than features.

    Args:
        parts: all examples, in one part or several.
        count: how many there are.
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
            # What the part's own mean adds to the scatter around the mean of all (Chan et al. 1983).
            apart = centre - mean
            between = apart * math.sqrt(seen * len(x) / (seen + len(x)) / (count - 1))
            rows = _shortened(torch.cat([root, rows, between[None]]))
            centre = mean + apart * (len(x) / (seen + len(x)))
        seen, mean, root = seen + len(x), centre, rows
    return mean, root


def _shortened(rows: Tensor) -> Tensor:
    """An R with RᵀR = XᵀX, with fewer rows than X where that has more of them than columns."""
    return torch.linalg.qr(rows, mode="r").R if len(rows) > rows.shape[1] else rows


def _frechet(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
    means, roots = zip(one, other, strict=True)
    if not all(mean.isfinite().all() for mean in means):
        return math.nan
    # tr (Σ₁Σ₂)^½ is the sum of the singular values of R₁R₂ᵀ: no square root of a singular matrix is taken.
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
    """Improved precision (are samples realistic?) and recall (is all of the data's variety there?).

    Formula: a set's manifold is the union of balls around its points, each reaching to the point's k-th
    nearest neighbour in the set. Precision: share of the samples in the manifold of held-out data. Recall:
    share of held-out data in the manifold of the samples. Where the features of all held-out data take more
    than 192 MiB, as many are drawn by lot as there are samples.

    Unit: share. Direction: higher is better.
    Reference: training data against held-out data; below 1, since fresh points of the same distribution are
    in k balls only on average. That average holds for any two set sizes, so they may differ here.

    Options:
        k: which neighbour a ball reaches to; 3 by default.
        features: as for `frechet_distance`; `auto` by default.

    Source: Kynkäänniemi et al. 2019 (arXiv:1904.06991), there on VGG-16's features.
    """
    ours, theirs = embed(samples, held_out, train, train_labels, cache, features)
    _need(k + 1, ours, theirs, f"each point's neighbour number {k}")
    real = theirs.some(max(k + 1, len(ours)))
    return {"precision": _share_within(ours, real, k), "recall": _share_within(real, ours, k)}


def _share_within(points: Tensor, reference: Tensor, k: int) -> float:
    """Share of the points that lie in the manifold of the reference; one with NaN never does."""
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
    k(x, y) = exp(−‖x − y‖² / 2σ²). Held-out data is drawn by lot as for `precision_recall`.

    Unit: 1, between 0 and 2 in expectation. Direction: lower is better.
    Reference: training data against held-out data; around 0, and as often below it as above.

    Options:
        bandwidth: σ, in the unit of the features; by default the median distance between the first 1,000
            held-out examples, which does not depend on the model.
        features: as for `frechet_distance`; `auto` by default.

    Source: Gretton et al. 2012, A Kernel Two-Sample Test (JMLR 13), lemma 6; its median heuristic is over
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
            "more than half of the held-out examples are equal, so their median distance is no bandwidth",
            hint="give `bandwidth`",
        )
    return median


def _distances(x: Tensor, y: Tensor) -> Iterator[Tensor]:
    """Euclidean distances of all rows of x, block by block, to those of y."""
    for block in torch.split(x, BLOCK):
        # Without the shortcut by a matrix product, equal rows have the distance 0.
        yield torch.cdist(block, y, compute_mode="donot_use_mm_for_euclid_dist")


def _need(least: int, ours: Tensor, theirs: Reference, what: str) -> None:
    for count, name, hint in (
        (len(ours), "samples", "raise `evaluation.samples`"),
        (len(theirs), "held-out examples", "hold more data out"),
    ):
        if count < least:
            raise RequestError(f"{what} needs at least {least} {name}, got {count}", hint=hint)
