"""Kernel distances between two samples: maximum mean discrepancy."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Gt, MinLen
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss_builtin.losses._reduce import rows

Kernel = Literal["rbf", "imq", "energy"]


@genloss.loss(
    family="divergence",
    unit="1",
    source="Gretton et al. 2012",
    exempt={"gradgradcheck": "torch cannot differentiate the gradient of torch.cdist"},
)
def mmd(
    x: Float[Tensor, "batch *event"],
    y: Float[Tensor, "other *event"],
    *,
    kernel: Kernel = "rbf",
    scales: Annotated[tuple[Annotated[float, Gt(0)], ...], MinLen(1)] = (1.0,),
    unbiased: bool = False,
) -> Float[Tensor, ""]:
    """Squared maximum mean discrepancy (MMD²) of two samples.

    Between codes and the prior, with `bind: {x: z, y: z_prior}`, it is the penalty of WAE-MMD and InfoVAE;
    between data and generated examples, the loss of a moment-matching network. Batch-coupled: all pairs are
    compared.

    Formula:
        mean k(x_i, x_j) + mean k(y_i, y_j) − 2 mean k(x_i, y_j), with d = ‖a − b‖, D elements per example:
        rbf: k(a, b) = Σ_s exp(−d²/2s²);
        imq: k(a, b) = Σ_s C_s / (C_s + d²), C_s = 2 D s²;
        energy: k(a, b) = −d, which makes it the energy distance;
        unbiased: the first two means are over i ≠ j

    Quantities:
        x: `[batch, *event]`, a sample.
        y: `[other, *event]`, a sample of the other distribution, possibly of another size.

    Options:
        kernel: default rbf; imq (WAE) or energy.
        scales: s, default [1.0], in the unit of x: the sum over one kernel per scale; not used by energy.
        unbiased: default false, which is never negative and 0 for equal samples; true may be negative.

    Raises:
        genloss.GenlossError: `unbiased` with a sample of size one.

    Source:
        Gretton et al. 2012, A Kernel Two-Sample Test, JMLR 13, equation 5, unbiased: lemma 6; imq as in
        Tolstikhin et al. 2018, arXiv:1711.01558; energy: Székely & Rizzo 2013, Sejdinovic et al. 2013,
        arXiv:1207.6076.

    Example:
        Two points at distance 1: 2 (1 − e^−½).

        >>> import torch
        >>> from genloss_builtin.losses.discrepancy import mmd
        >>> mmd(x=torch.zeros(1, 1), y=torch.ones(1, 1))
        tensor(0.7869)
    """
    dtype = x.dtype
    # torch.cdist has no half precision on the CPU.
    x, y = (rows(v).to(torch.promote_types(dtype, torch.float32)) for v in (x, y))
    within_x, within_y = (_mean_kernel(v, kernel, scales, unbiased) for v in (x, y))
    return (within_x + within_y - 2 * _kernel(x, y, kernel, scales).mean()).to(dtype)


def _mean_kernel(x: Tensor, kernel: Kernel, scales: tuple[float, ...], unbiased: bool) -> Tensor:
    """Return the mean over all pairs of one sample."""
    pairs = _kernel(x, x, kernel, scales)
    if not unbiased:
        return pairs.mean()
    n = len(x)
    if n < 2:
        raise genloss.GenlossError(
            "loss `mmd` with `unbiased: true` got a sample of size one",
            hint="use batches of at least two examples",
        )
    return (pairs.sum() - pairs.diagonal().sum()) / (n * (n - 1))


def _kernel(a: Tensor, b: Tensor, kernel: Kernel, scales: tuple[float, ...]) -> Tensor:
    """Return the kernel between the rows of a and b, minus its value for equal rows.

    The constant cancels in the sum of the three means; keeping it would add rounding errors of 1 to the
    difference between samples that are close together.
    """
    # Without the matrix-product shortcut, equal rows have distance exactly 0, with gradient 0.
    distance = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    if kernel == "energy":
        return -distance
    square = distance.square()
    if kernel == "rbf":
        return torch.stack([(square / (-2 * s**2)).expm1() for s in scales]).sum(0)
    widths = [2 * a.shape[1] * s**2 for s in scales]
    return -torch.stack([square / (c + square) for c in widths]).sum(0)
