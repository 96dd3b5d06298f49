"""Distances of a reconstruction from the data, in the data's own unit or a power of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss_builtin.losses._reduce import Reduce, reduce_event


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
    """Absolute error, whose best constant is the median; with `reduce: mean`, `torch.nn.L1Loss`.

    Formula:
        Σ |x − x̂|

    Quantities:
        x: `[batch, *event]`, the data.
        x_hat: `[batch, *event]`, x̂: its reconstruction.

    Options:
        reduce: default sum, over the event; or mean.

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
        Σ h(x − x̂), h(d) = ½ d² where |d| ≤ δ, else δ (|d| − ½ δ)

    Quantities:
        x: `[batch, *event]`, the data.
        x_hat: `[batch, *event]`, x̂: its reconstruction.

    Options:
        delta: δ, default 1, in the data's unit.
        reduce: default sum, over the event; or mean.

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
    """A smooth absolute error; ε a dimension where nothing is wrong.

    Formula:
        Σ √((x − x̂)² + ε²)

    Quantities:
        x: `[batch, *event]`, the data.
        x_hat: `[batch, *event]`, x̂: its reconstruction.

    Options:
        epsilon: ε, default 1e-3 (Lai et al.'s), in the data's unit.
        reduce: default sum, over the event; or mean.

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
    """Logarithm of the hyperbolic cosine of the error: ½ d² for small ones, |d| − ln 2 for large ones.

    Formula:
        Σ log cosh(d) = Σ [|d| + softplus(−2 |d|) − ln 2], d = x − x̂

    Quantities:
        x: `[batch, *event]`, the data.
        x_hat: `[batch, *event]`, x̂: its reconstruction.

    Options:
        reduce: default sum, over the event; or mean.

    Source:
        Chen et al. 2019, Log hyperbolic cosine loss improves variational auto-encoder.

    Example:
        cosh(ln 2) = 5/4, so ln 5/4.

        >>> import torch
        >>> from genloss_builtin.losses.reconstruction import log_cosh
        >>> log_cosh(x=torch.tensor([[2.0]]).log(), x_hat=torch.zeros(1, 1))
        tensor([0.2231])
    """
    distance = (x - x_hat).abs()
    return reduce_event(distance + F.softplus(-2 * distance) - math.log(2), reduce)


@genloss.loss(family="reconstruction", unit="1", source="cosine similarity")
def cosine_distance(
    x: Float[Tensor, "batch *event"], x_hat: Float[Tensor, "batch *event"]
) -> Float[Tensor, "batch"]:
    """One minus the cosine of the angle between the data and its reconstruction, each taken as one vector.

    A zero vector is at distance 1 from every other. There is no `reduce`: an angle is one number an example.

    Formula:
        1 − ⟨x, x̂⟩ / (‖x‖ ‖x̂‖)

    Quantities:
        x: `[batch, *event]`, the data.
        x_hat: `[batch, *event]`, x̂: its reconstruction.

    Source:
        Cosine similarity, `torch.nn.functional.cosine_similarity`.

    Example:
        An angle of 60°.

        >>> import torch
        >>> from genloss_builtin.losses.reconstruction import cosine_distance
        >>> cosine_distance(x=torch.tensor([[1.0, 0.0]]), x_hat=torch.tensor([[1.0, 3.0**0.5]]))
        tensor([0.5000])
    """
    return 1 - F.cosine_similarity(x.unsqueeze(-1).flatten(1), x_hat.unsqueeze(-1).flatten(1), dim=1)


def _images() -> Mapping[str, Tensor]:
    return {"x": torch.rand(2, 2, 8, 8), "x_hat": torch.rand(2, 2, 8, 8)}


@genloss.loss(family="reconstruction", unit="1", source="Wang et al. 2004", example=_images)
def ssim_distance(
    x: Float[Tensor, "batch channels height width"],
    x_hat: Float[Tensor, "batch channels height width"],
    *,
    data_range: Annotated[float, Gt(0)] = 1.0,
    kernel_size: Literal[3, 5, 7, 9, 11] = 11,
) -> Float[Tensor, "batch"]:
    """One minus the structural similarity of two images, averaged over channels and pixels.

    Calls torchmetrics, which mirrors the image at its borders and averages over all pixels; Wang et al.'s own
    code leaves out the windows that cross the border. So images of 6 × 6 pixels and more, 8 × 8 ones among
    them, can be compared at the default kernel; a smaller one sees more of their detail.

    Formula:
        1 − mean [(2 μ_x μ_x̂ + C₁)(2 σ_xx̂ + C₂)] / [(μ_x² + μ_x̂² + C₁)(σ_x² + σ_x̂² + C₂)],
        moments under a Gaussian window, C₁ = (0.01 L)², C₂ = (0.03 L)²

    Quantities:
        x: `[batch, channels, height, width]`, the data.
        x_hat: `[batch, channels, height, width]`, x̂: its reconstruction.

    Options:
        data_range: L, default 1, in the data's unit: greatest less least possible value.
        kernel_size: default 11, in pixels: the window's side. Its σ is 1.5 pixels at 11, as in the paper, and
            in proportion below.

    Raises:
        genloss.GenlossError: the image is too small to be mirrored; it needs more pixels a side than half of
            the kernel.

    Source:
        Wang et al. 2004, Image quality assessment: from error visibility to structural similarity.

    Example:
        Flat images a = 0, b = 1: 1 − C₁/(1 + C₁).

        >>> import torch
        >>> from genloss_builtin.losses.reconstruction import ssim_distance
        >>> ssim_distance(x=torch.zeros(1, 1, 16, 16), x_hat=torch.ones(1, 1, 16, 16))
        tensor([0.9999])
    """
    from torchmetrics.functional.image import structural_similarity_index_measure  # slow to import

    height, width = x.shape[-2:]
    side = min(height, width)
    if side <= kernel_size // 2:
        raise genloss.GenlossError(
            f"loss `ssim_distance` with `kernel_size` {kernel_size} got images of {height} × {width} pixels",
            hint=f"set `kernel_size: {2 * side - 1}`"
            if side > 1
            else "images need two pixels a side or more",
        )
    # torchmetrics derives a Gaussian window's side, 2⌊3.5σ + ½⌋ + 1, from its σ. Its own mean leaves out the
    # border in older versions, hence the mean taken here.
    _, similarity = structural_similarity_index_measure(
        x_hat,
        x,
        sigma=1.5 * kernel_size / 11,
        data_range=data_range,
        reduction="none",
        return_full_image=True,
    )
    return 1 - reduce_event(similarity, "mean")


@genloss.loss(family="reconstruction", unit="data", source="Rudin, Osher & Fatemi 1992")
def total_variation(x_hat: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch"]:
    """Anisotropic total variation of the reconstruction, a measure of its roughness.

    Formula:
        Σ |x̂_{i+1,j} − x̂_{i,j}| + |x̂_{i,j+1} − x̂_{i,j}|

    Quantities:
        x_hat: `[batch, channels, height, width]`, x̂: the reconstruction.

    Source:
        Rudin, Osher & Fatemi 1992, who have the isotropic form; the anisotropic one: Esedoḡlu & Osher 2004.

    Example:
        A step of height 1 along an edge of 3 pixels.

        >>> import torch
        >>> from genloss_builtin.losses.reconstruction import total_variation
        >>> total_variation(x_hat=torch.tensor([0.0, 1.0, 1.0]).expand(1, 1, 3, 3))
        tensor([3.])
    """
    return reduce_event(x_hat.diff(dim=-1).abs()) + reduce_event(x_hat.diff(dim=-2).abs())
