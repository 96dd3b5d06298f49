"""Losses of diffusion, score and flow-matching models: regressions on what noise and data prescribe."""

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
    """Squared error of what a diffusion model predicts, weighted by the signal-to-noise ratio.

    A weighting other than uniform is one of the error of x₀, whatever the model predicts: its weight is
    divided by f, since ‖Δε‖² = SNR ‖Δx₀‖² and ‖Δv‖² = (SNR + 1) ‖Δx₀‖². How often each SNR is drawn is the
    model's, and part of the papers' weightings too.

    Formula:
        w ‖prediction − target‖²;
        uniform: w = 1; else w = w₀ / f with f = SNR (epsilon), 1 (x0), SNR + 1 (v), and
        min_snr: w₀ = min(SNR, γ); edm: w₀ = SNR + 1/σ_data²; debiased: w₀ = √SNR

    Quantities:
        prediction: `[batch, *event]`, what the network gives.
        target: `[batch, *event]`, what it should give.
        snr: `[batch]`, SNR = α²/σ², greater than 0.
        parameterization: what both are: "epsilon" (the noise), "x0" (the data) or "v" (α ε − σ x₀).

    Options:
        weighting: default uniform (DDPM's, in the model's own parameterization); min_snr, edm or debiased.
        gamma: γ of min_snr, default 5.0, an SNR.
        sigma_data: of edm, default 0.5, the data's standard deviation, in its unit.
        reduce: default sum, over the event; or mean.

    Source:
        Ho et al. 2020, arXiv:2006.11239, equation 14; v: Salimans & Ho 2022, arXiv:2202.00512; min_snr: Hang
        et al. 2023, arXiv:2303.09556; edm: Karras et al. 2022, arXiv:2206.00364, whose weight of the error of
        x₀ is (σ² + σ_data²) / (σ σ_data)² at the noise level σ = SNR^−½; debiased: Yu et al. 2024,
        arXiv:2310.08442, who weigh the error of ε by SNR^−½.

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
        # Divided beforehand: the weight is then 1 to the last bit where it is SNR / SNR, and its slope 0.
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
    """Squared error of the estimated score of noisy data, weighted so that all noise levels count alike.

    Song & Ermon have a factor ½ as well, and Vincent has it without the weight σ². The least value is not 0:
    for Gaussian data of variance s² it is s²/(s² + σ²) a dimension.

    Formula:
        σ² ‖s + ε/σ‖² = ‖σ s + ε‖²

    Quantities:
        score: `[batch, *event]`, s: estimated ∇ log p of the noisy data.
        noise: `[batch, *event]`, ε: the standard normal noise in it.
        sigma: `[batch]`, σ: the noise's standard deviation, greater than 0, in the data's unit.

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
    """Squared error of the velocity that carries noise to data.

    The least value is not 0: between independent N(0, 1) and N(m, s²) it is s π/2 a dimension. A coupling of
    noise and data lowers it; that is the model's.

    Formula:
        ‖v − u‖²

    Quantities:
        velocity: `[batch, *event]`, v: what the network gives at a point of the path.
        velocity_target: `[batch, *event]`, u: the path's own.

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
