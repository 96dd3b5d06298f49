"""Distances between the data and its reconstruction, element-wise or as a whole; see `images` for images."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss_builtin.losses import _digits
from genloss_builtin.losses._reduce import Reduce, reduce_event, rows


@genloss.loss(family="reconstruction", unit="data", source="least squares")
def squared_error(
    x: Float[Tensor, "batch *event"], x_hat: Float[Tensor, "batch *event"], *, reduce: Reduce = "sum"
) -> Float[Tensor, "batch"]:
    """Squared error; with `reduce: mean`, the mean squared error of `torch.nn.MSELoss`.

    Formula:
        Σ (x − x̂)²

    Quantities:
        x: `[batch, *event]`, the data.
        x_hat: `[batch, *event]`, x̂: its reconstruction.

    Options:
        reduce: default sum, over the event; or mean.

    Source:
        The method of least squares.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.reconstruction import squared_error
        >>> squared_error(x=torch.tensor([[3.0, 4.0]]), x_hat=torch.zeros(1, 2))
        tensor([25.])
    """
    return reduce_event(F.mse_loss(x_hat, x, reduction="none"), reduce)


@genloss.loss(family="reconstruction", unit="data", source="least absolute deviations")
def absolute_error(
    x: Float[Tensor, "batch *event"], x_hat: Float[Tensor, "batch *event"], *, reduce: Reduce = "sum"
) -> Float[Tensor, "batch"]:
    """Absolute error, minimised by the median; with `reduce: mean`, the loss of `torch.nn.L1Loss`.

    Formula:
        Σ |x − x̂|

    Quantities:
        x: `[batch, *event]`, the data.
        x_hat: `[batch, *event]`, x̂: its reconstruction.

    Options:
        reduce: default sum, or mean, as in `squared_error`.

    Source:
        The method of least absolute deviations.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.reconstruction import absolute_error
        >>> absolute_error(x=torch.tensor([[3.0, -4.0]]), x_hat=torch.zeros(1, 2))
        tensor([7.])
    """
    return reduce_event(F.l1_loss(x_hat, x, reduction="none"), reduce)


@genloss.loss(family="reconstruction", unit="data", source="Huber 1964")
def huber(
    x: Float[Tensor, "batch *event"],
    x_hat: Float[Tensor, "batch *event"],
    *,
    delta: Annotated[float, Gt(0)] = 1.0,
    reduce: Reduce = "sum",
) -> Float[Tensor, "batch"]:
    """Quadratic for small errors, linear for large ones.

    Formula:
        Σ h(x − x̂), h(d) = ½ d² if |d| ≤ δ, else δ (|d| − ½ δ)

    Quantities:
        x: `[batch, *event]`, the data.
        x_hat: `[batch, *event]`, x̂: its reconstruction.

    Options:
        delta: δ, default 1, in the data's unit.
        reduce: default sum, or mean, as in `squared_error`.

    Source:
        Huber 1964, Robust estimation of a location parameter.

    Example:
        One error on each side of δ = 1: ½ · ½² + (3 − ½).

        >>> import torch
        >>> from genloss_builtin.losses.reconstruction import huber
        >>> huber(x=torch.tensor([[0.5, 3.0]]), x_hat=torch.zeros(1, 2))
        tensor([2.6250])
    """
    return reduce_event(F.huber_loss(x_hat, x, reduction="none", delta=delta), reduce)


@genloss.loss(family="reconstruction", unit="data", source="Charbonnier et al. 1994")
def charbonnier(
    x: Float[Tensor, "batch *event"],
    x_hat: Float[Tensor, "batch *event"],
    *,
    epsilon: Annotated[float, Gt(0)] = 1e-3,
    reduce: Reduce = "sum",
) -> Float[Tensor, "batch"]:
    """A smooth absolute error, which is ε per dimension for a perfect reconstruction.

    Formula:
        Σ √((x − x̂)² + ε²)

    Quantities:
        x: `[batch, *event]`, the data.
        x_hat: `[batch, *event]`, x̂: its reconstruction.

    Options:
        epsilon: ε, default 1e-3 (Lai et al.'s), in the data's unit.
        reduce: default sum, or mean, as in `squared_error`.

    Source:
        Charbonnier et al. 1994, in the form of Lai et al. 2017, arXiv:1704.03915.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.reconstruction import charbonnier
        >>> charbonnier(x=torch.tensor([[3.0]]), x_hat=torch.zeros(1, 1), epsilon=4.0)
        tensor([5.])
    """
    difference = x - x_hat
    return reduce_event(torch.hypot(difference, torch.full_like(difference, epsilon)), reduce)


@genloss.loss(family="reconstruction", unit="data", source="Chen et al. 2019")
def log_cosh(
    x: Float[Tensor, "batch *event"], x_hat: Float[Tensor, "batch *event"], *, reduce: Reduce = "sum"
) -> Float[Tensor, "batch"]:
    """Logarithm of the hyperbolic cosine of the error: ½ d² for small errors, |d| − ln 2 for large ones.

    Formula:
        Σ log cosh(d), d = x − x̂

    Quantities:
        x: `[batch, *event]`, the data.
        x_hat: `[batch, *event]`, x̂: its reconstruction.

    Options:
        reduce: default sum, or mean, as in `squared_error`.

    Source:
        Chen et al. 2019, Log hyperbolic cosine loss improves variational auto-encoder.

    Example:
        cosh(ln 2) = 5/4, so ln 5/4.

        >>> import torch
        >>> from genloss_builtin.losses.reconstruction import log_cosh
        >>> log_cosh(x=torch.tensor([[2.0]]).log(), x_hat=torch.zeros(1, 1))
        tensor([0.2231])
    """
    return reduce_event(_digits.log_cosh(x - x_hat), reduce)


@genloss.loss(family="reconstruction", unit="1", source="cosine similarity")
def cosine_distance(
    x: Float[Tensor, "batch *event"], x_hat: Float[Tensor, "batch *event"]
) -> Float[Tensor, "batch"]:
    """One minus the cosine of the angle between the data and its reconstruction, each flattened to a vector.

    A zero vector has distance 1 from every other. There is no `reduce`, since there is one angle per example.

    Formula:
        1 − ⟨x, x̂⟩ / (‖x‖ ‖x̂‖) = ½ ‖x/‖x‖ − x̂/‖x̂‖‖²

    Quantities:
        x: `[batch, *event]`, the data.
        x_hat: `[batch, *event]`, x̂: its reconstruction.

    Source:
        Cosine similarity, `torch.nn.functional.cosine_similarity`, which treats norms below 1e-8 as 1e-8.

    Example:
        An angle of 60°.

        >>> import torch
        >>> from genloss_builtin.losses.reconstruction import cosine_distance
        >>> cosine_distance(x=torch.tensor([[1.0, 0.0]]), x_hat=torch.tensor([[1.0, 3.0**0.5]]))
        tensor([0.5000])
    """
    directions, zeros = [], []
    for vector in (rows(x), rows(x_hat)):
        # The length does not matter; with the largest element at 1, squares neither over- nor underflow.
        greatest = vector.abs().amax(1, keepdim=True).detach()
        zero = greatest == 0
        scaled = vector / greatest.masked_fill(zero, 1.0)
        norm = torch.linalg.vector_norm(scaled, dim=1, keepdim=True)
        directions.append(scaled / norm.masked_fill(zero, 1.0))
        zeros.append(zero.squeeze(1).to(vector.dtype))
    # 1 − cos would lose the digits of small angles. For a zero vector, the distance so far is half of what it
    # should be.
    distance: Tensor = (directions[0] - directions[1]).square().sum(1) + zeros[0] + zeros[1]
    return 0.5 * distance
