"""Losses of diffusion, score and flow-matching models: regressions on targets from noise and data."""

from __future__ import annotations

from typing import Annotated, Literal

import torch.nn.functional as F
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss_builtin.losses._reduce import Reduce, reduce_event

Parameterization = Literal["epsilon", "x0", "v"]
Weighting = Literal["uniform", "min_snr", "edm", "debiased"]


@genloss.loss(family="diffusion", unit="1", source="Ho et al. 2020, arXiv:2006.11239")
def denoising(
    prediction: Float[Tensor, "batch *event"],
    target: Float[Tensor, "batch *event"],
    snr: Annotated[Float[Tensor, "batch"], Gt(0)],
    parameterization: Parameterization,
    *,
    weighting: Weighting = "uniform",
    gamma: Annotated[float, Gt(0)] = 5.0,
    sigma_data: Annotated[float, Gt(0)] = 0.5,
    reduce: Reduce = "sum",
) -> Float[Tensor, "batch"]:
    """Squared error of a diffusion model's prediction, weighted by the signal-to-noise ratio.

    Weightings other than uniform apply to the error of x₀, whatever the model predicts: the weight is
    divided by f, since ‖Δε‖² = SNR ‖Δx₀‖² and ‖Δv‖² = (SNR + 1) ‖Δx₀‖². The distribution of the SNR, which
    is also part of the papers' weightings, is determined by the model.

    Formula:
        w ‖prediction − target‖²;
        uniform: w = 1; else w = w₀ / f with f = SNR (epsilon), 1 (x0), SNR + 1 (v), and
        min_snr: w₀ = min(SNR, γ); edm: w₀ = SNR + 1/σ_data²; debiased: w₀ = √SNR

    Quantities:
        prediction: `[batch, *event]`, the network's output.
        target: `[batch, *event]`, its target.
        snr: `[batch]`, SNR = α²/σ², greater than 0.
        parameterization: what both are: "epsilon" (the noise), "x0" (the data) or "v" (α ε − σ x₀).

    Options:
        weighting: default uniform (DDPM's, in the model's own parameterization); min_snr, edm or debiased.
        gamma: γ for min_snr, default 5.0, an SNR.
        sigma_data: σ_data for edm, default 0.5, the data's standard deviation, in the data's unit.
        reduce: default sum, over the event; or mean.

    Source:
        Ho et al. 2020, arXiv:2006.11239, equation 14; v: Salimans & Ho 2022, arXiv:2202.00512; min_snr: Hang
        et al. 2023, arXiv:2303.09556; edm: Karras et al. 2022, arXiv:2206.00364, whose weight of the error in
        x₀ is (σ² + σ_data²) / (σ σ_data)² at the noise level σ = SNR^−½; debiased: Yu et al. 2024,
        arXiv:2310.08442, who weight the error of ε by SNR^−½.

    Example:
        An error of 2 in ε at an SNR of 10: 5/10 · 2².

        >>> import torch
        >>> from genloss_builtin.losses.diffusion import denoising
        >>> denoising(
        ...     prediction=torch.full((1, 1), 2.0),
        ...     target=torch.zeros(1, 1),
        ...     snr=torch.tensor([10.0]),
        ...     parameterization="epsilon",
        ...     weighting="min_snr",
        ... )
        tensor([2.])
    """
    error = reduce_event(F.mse_loss(prediction, target, reduction="none"), reduce)
    if weighting == "uniform":
        return error
    if parameterization == "epsilon":
        # Dividing analytically makes the weight exactly 1, with slope 0, where it would be SNR / SNR.
        if weighting == "min_snr":
            return (gamma / snr).clamp_max(1) * error
        return (1 + sigma_data**-2 / snr if weighting == "edm" else snr.rsqrt()) * error
    if weighting == "min_snr":
        of_x0 = snr.clamp_max(gamma)
    elif weighting == "edm":
        of_x0 = snr + sigma_data**-2
    else:
        of_x0 = snr.sqrt()
    return of_x0 / (snr + 1) * error if parameterization == "v" else of_x0 * error


@genloss.loss(family="diffusion", unit="1", source="Song & Ermon 2019, arXiv:1907.05600")
def denoising_score_matching(
    score: Float[Tensor, "batch *event"],
    noise: Float[Tensor, "batch *event"],
    sigma: Annotated[Float[Tensor, "batch"], Gt(0)],
    *,
    reduce: Reduce = "sum",
) -> Float[Tensor, "batch"]:
    """Squared error of the estimated score of noisy data, weighted so that all noise levels count equally.

    Song & Ermon also have a factor ½, and Vincent has no weight σ². The minimum is not 0: for Gaussian data
    of variance s² it is s²/(s² + σ²) per dimension.

    Formula:
        σ² ‖s + ε/σ‖² = ‖σ s + ε‖²

    Quantities:
        score: `[batch, *event]`, s: the estimated ∇ log p of the noisy data.
        noise: `[batch, *event]`, ε: the standard normal noise in the noisy data.
        sigma: `[batch]`, σ: the standard deviation of the noise, greater than 0, in the data's unit.

    Options:
        reduce: default sum, over the event; or mean.

    Source:
        Vincent 2011, A connection between score matching and denoising autoencoders; weighted: Song & Ermon
        2019, arXiv:1907.05600, section 4.2.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.diffusion import denoising_score_matching
        >>> denoising_score_matching(
        ...     score=torch.ones(1, 1), noise=torch.ones(1, 1), sigma=torch.tensor([2.0])
        ... )
        tensor([9.])
    """
    sigma = sigma.reshape(-1, *(1 for _ in score.shape[1:]))
    return reduce_event((sigma * score + noise).square(), reduce)


@genloss.loss(family="flow", unit="data", source="Lipman et al. 2023, arXiv:2210.02747")
def flow_matching(
    velocity: Float[Tensor, "batch *event"],
    velocity_target: Float[Tensor, "batch *event"],
    *,
    reduce: Reduce = "sum",
) -> Float[Tensor, "batch"]:
    """Squared error of the velocity that transports noise to data.

    The minimum is not 0: between independent N(0, 1) and N(m, s²) it is s π/2 per dimension. A coupling of
    noise and data, which is an option of the model, lowers it.

    Formula:
        ‖v − u‖²

    Quantities:
        velocity: `[batch, *event]`, v: the network's output at a point of the path.
        velocity_target: `[batch, *event]`, u: the velocity of the path.

    Options:
        reduce: default sum, over the event; or mean.

    Source:
        Lipman et al. 2023, arXiv:2210.02747; couplings: Tong et al. 2024, arXiv:2302.00482.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.diffusion import flow_matching
        >>> flow_matching(velocity=torch.tensor([[3.0, 4.0]]), velocity_target=torch.zeros(1, 2))
        tensor([25.])
    """
    return reduce_event(F.mse_loss(velocity, velocity_target, reduction="none"), reduce)
