"""Distances between samples of the model and held-out data.

The reference is data that the model was not trained on, so that memorising the training set earns nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss.errors import RequestError
from genloss_builtin.metrics.features import Features, embed

BLOCK = 1024
"""Rows of a distance matrix that are held at a time."""


@genloss.metric(unit="1", higher_is_better=False, version="1")
def frechet_distance(
    samples: Float[Tensor, "samples *event"],
    held_out: Float[Tensor, "held_out *event"],
    train: Float[Tensor, "train *event"],
    cache: Path,
    train_labels: Tensor | None = None,
    *,
    features: Features = "auto",
) -> float:
    """Fréchet distance between two Gaussians fitted to the features of samples and of held-out data.

    Formula: ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½), covariances with n − 1.

    Unit: of a feature, squared: 1 for the classifier's standardised features, the data's own for `data`.
    Direction: lower is better; 0 where means and covariances agree.
    Floor: training data against held-out data. It is above 0, since a few hundred examples do not
    determine a covariance; more samples lower it.

    Options:
        features: `classifier` (32 features of a small classifier, trained once on the data), `data` (the
            flattened examples), or `auto`: `classifier` for labelled images, else `data`.

    Source: Heusel et al. 2017 (arXiv:1706.08500), there on Inception's features: values of different
    features cannot be compared.
    """
    ours, theirs = embed(samples, held_out, train, train_labels, cache, features)
    _need(2, ours, theirs, "a covariance")
    return _frechet(ours.cpu().double(), theirs.cpu().double())


def _frechet(a: Tensor, b: Tensor) -> float:
    if not (a.isfinite().all() and b.isfinite().all()):
        return math.nan
    roots = []
    for x in (a, b):
        centred = (x - x.mean(0)) / math.sqrt(len(x) - 1)
        # Σ = XᵀX = RᵀR, with fewer rows in R where there are more examples than features.
        roots.append(torch.linalg.qr(centred, mode="r").R if len(x) > x.shape[1] else centred)
    # tr (Σ₁Σ₂)^½ is the sum of the singular values of R₁R₂ᵀ: no square root of a singular matrix is taken.
    cross = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    variances = roots[0].square().sum() + roots[1].square().sum()
    distance = (a.mean(0) - b.mean(0)).square().sum() + variances - 2 * cross
    return float(distance.clamp_min(0))


@genloss.metric(unit="1", higher_is_better={"precision": True, "recall": True}, version="1")
def precision_recall(
    samples: Float[Tensor, "samples *event"],
    held_out: Float[Tensor, "held_out *event"],
    train: Float[Tensor, "train *event"],
    cache: Path,
    train_labels: Tensor | None = None,
    *,
    k: Annotated[int, Ge(1)] = 3,
    features: Features = "auto",
) -> dict[str, float]:
    """Improved precision (are samples realistic?) and recall (is all of the data's variety there?).

    Formula: a set's manifold is the union of balls around its points, each reaching to the point's k-th
    nearest neighbour in the set. Precision: share of the samples in the manifold of held-out data. Recall:
    share of held-out data in the manifold of the samples.

    Unit: share. Direction: higher is better.
    Floor: training data against held-out data; below 1, since fresh points of the same distribution are
    in k balls only on average. That average holds for any two set sizes, so they may differ here.

    Options:
        k: which neighbour a ball reaches to; 3 by default.
        features: as for `frechet_distance`; `auto` by default.

    Source: Kynkäänniemi et al. 2019 (arXiv:1904.06991), there on VGG-16's features.
    """
    ours, theirs = embed(samples, held_out, train, train_labels, cache, features)
    _need(k + 1, ours, theirs, f"each point's neighbour number {k}")
    return {"precision": _share_within(ours, theirs, k), "recall": _share_within(theirs, ours, k)}


def _share_within(points: Tensor, reference: Tensor, k: int) -> float:
    """Share of the points that lie in the manifold of the reference; one with NaN never does."""
    # A point is its own nearest neighbour, hence k + 1.
    radii = torch.cat(
        [block.topk(k + 1, largest=False).values[:, k] for block in _distances(reference, reference)]
    )
    within = torch.cat([(block <= radii).any(1) for block in _distances(points, reference)])
    return int(within.sum()) / len(points)


@genloss.metric(unit="1", higher_is_better=False, version="1")
def maximum_mean_discrepancy(
    samples: Float[Tensor, "samples *event"],
    held_out: Float[Tensor, "held_out *event"],
    train: Float[Tensor, "train *event"],
    cache: Path,
    train_labels: Tensor | None = None,
    *,
    bandwidth: Annotated[float, Gt(0)] | None = None,
    features: Features = "auto",
) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy (MMD²) under a Gaussian kernel.

    Formula: mean_{i≠j} k(xᵢ, xⱼ) + mean_{i≠j} k(yᵢ, yⱼ) − 2 mean_{i,j} k(xᵢ, yⱼ), with
    k(x, y) = exp(−‖x − y‖² / 2σ²).

    Unit: 1, between 0 and 2 in expectation. Direction: lower is better.
    Floor: training data against held-out data; around 0, and as often below it as above.

    Options:
        bandwidth: σ, in the unit of the features; by default the median distance between the first 1,000
            held-out examples, which does not depend on the model.
        features: as for `frechet_distance`; `auto` by default.

    Source: Gretton et al. 2012, A Kernel Two-Sample Test (JMLR 13), lemma 6; its median heuristic is over
    both sets.
    """
    ours, theirs = embed(samples, held_out, train, train_labels, cache, features)
    _need(2, ours, theirs, "a mean over pairs")
    sigma = bandwidth or _median_distance(theirs[:1000])

    def kernel_sum(x: Tensor, y: Tensor) -> Tensor:
        sums = [(block / sigma).square().div(-2).exp().sum() for block in _distances(x, y)]
        return torch.stack(sums).sum()

    sums = torch.stack([kernel_sum(ours, ours), kernel_sum(theirs, theirs), kernel_sum(ours, theirs)])
    within_ours, within_theirs, between = map(float, sums)
    n, m = len(ours), len(theirs)
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


def _need(least: int, ours: Tensor, theirs: Tensor, what: str) -> None:
    for count, name, hint in (
        (len(ours), "samples", "raise `evaluation.samples`"),
        (len(theirs), "held-out examples", "hold more data out"),
    ):
        if count < least:
            raise RequestError(f"{what} needs at least {least} {name}, got {count}", hint=hint)
