"""Reconstruction losses for images, which compare neighbouring pixels."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss_builtin.losses._reduce import reduce_event


@genloss.loss(
    family="reconstruction",
    unit="1",
    source="Wang et al. 2004",
    exempt={
        "options": "`data_range` is for data of unknown range; it has no effect if the range is known",
        "magnitudes": "torchmetrics returns the similarity, and float32 cannot resolve 1e-7 next to 1",
    },
)
def ssim_distance(
    x: Float[Tensor, "batch channels height width"],
    x_hat: Float[Tensor, "batch channels height width"],
    x_range: Annotated[float, Gt(0)] | None = None,
    *,
    data_range: Annotated[float, Gt(0)] | None = None,
    kernel_size: Literal[3, 5, 7, 9, 11] = 11,
) -> Float[Tensor, "batch"]:
    """One minus the structural similarity of two images, averaged over channels and pixels.

    Calls torchmetrics, which reflects the image at its borders and averages over all pixels; Wang et al.'s
    own code leaves out windows that cross the border. So images of at least 6 × 6 pixels can be compared with
    the default kernel; a smaller kernel resolves more detail.

    Formula:
        1 − mean [(2 μ_x μ_x̂ + C₁)(2 σ_xx̂ + C₂)] / [(μ_x² + μ_x̂² + C₁)(σ_x² + σ_x̂² + C₂)],
        moments under a Gaussian window, C₁ = (0.01 L)², C₂ = (0.03 L)²

    Quantities:
        x: `[batch, channels, height, width]`, the data.
        x_hat: `[batch, channels, height, width]`, x̂: its reconstruction.
        x_range: a number, L as declared by the data: the largest minus the smallest possible pixel value.

    Options:
        data_range: default none, in the data's unit: L, if the data does not declare it.
        kernel_size: default 11, in pixels: the window's side. Its σ is 1.5 pixels at 11, as in the paper, and
            proportionally smaller below.

    Raises:
        genloss.GenlossError: L is not known, or `data_range` differs from the data's; or the image is too
            small to be reflected: each side must be longer than half the kernel.

    Source:
        Wang et al. 2004, Image quality assessment: from error visibility to structural similarity.

    Example:
        Flat images a = 0, b = 1: 1 − C₁/(1 + C₁).

        >>> import torch
        >>> from genloss_builtin.losses.images import ssim_distance
        >>> ssim_distance(
        ...     x=torch.zeros(1, 1, 16, 16), x_hat=torch.ones(1, 1, 16, 16), data_range=1.0
        ... )
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
            else "use images of at least two pixels per side",
        )
    # torchmetrics derives a Gaussian window's side, 2⌊3.5σ + ½⌋ + 1, from its σ. The mean is taken here since
    # that of older versions leaves out the border.
    _, similarity = structural_similarity_index_measure(
        x_hat,
        x,
        sigma=1.5 * kernel_size / 11,
        data_range=_dynamic_range(x_range, data_range),
        reduction="none",
        return_full_image=True,
    )
    return 1 - reduce_event(similarity, "mean")


def _dynamic_range(of_data: float | None, given: float | None) -> float:
    """Return L, from the data and the option."""
    known = of_data is not None and math.isfinite(of_data)
    if given is None and not known:
        raise genloss.GenlossError(
            "loss `ssim_distance` does not know the range of the data",
            hint="set `data_range` to the largest minus the smallest possible value: 1 for pixels in [0, 1]",
        )
    if given is not None and known and not math.isclose(given, of_data or 0.0, rel_tol=1e-6):
        raise genloss.GenlossError(
            f"loss `ssim_distance` got `data_range` {given:g}, but the data has a range of {of_data:g}",
            hint="leave `data_range` out",
        )
    return of_data if given is None and of_data is not None else given or 1.0


@genloss.loss(family="reconstruction", unit="data", source="Rudin, Osher & Fatemi 1992")
def total_variation(x_hat: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch"]:
    """Anisotropic total variation of the reconstruction, a measure of its roughness.

    Formula:
        Σ |x̂_{i+1,j} − x̂_{i,j}| + |x̂_{i,j+1} − x̂_{i,j}|

    Quantities:
        x_hat: `[batch, channels, height, width]`, x̂: the reconstruction.

    Source:
        Rudin, Osher & Fatemi 1992 for the isotropic form; Esedoḡlu & Osher 2004 for the anisotropic one.

    Example:
        A step of height 1 along an edge of 3 pixels.

        >>> import torch
        >>> from genloss_builtin.losses.images import total_variation
        >>> total_variation(x_hat=torch.tensor([0.0, 1.0, 1.0]).expand(1, 1, 3, 3))
        tensor([3.])
    """
    return reduce_event(x_hat.diff(dim=-1).abs()) + reduce_event(x_hat.diff(dim=-2).abs())
