"""Solvers shared by losses and metrics, for samples `[n, d]` with equal weights."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def sinkhorn(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], blur: float, scaling: float, diameter: float
) -> Float[Tensor, ""]:
    """Compute the Sinkhorn divergence for the cost ½‖x − y‖², with GeomLoss."""
    from geomloss import SamplesLoss

    solve = SamplesLoss(
        "sinkhorn",
        p=2,
        blur=blur,
        scaling=scaling,
        diameter=max(diameter, blur),
        cost=half_squared_distances,
        backend="tensorized",
    )
    # GeomLoss disables gradients and then enables them, whatever their state before.
    with torch.set_grad_enabled(torch.is_grad_enabled()):
        value: Tensor = solve(_full(x), _full(y))
    return value.to(x.dtype)


def half_squared_distances(x: Float[Tensor, "*b n d"], y: Float[Tensor, "*b m d"]) -> Float[Tensor, "*b n m"]:
    """Compute ½‖x − y‖² of all pairs; exactly 0 for equal points, unlike GeomLoss's own computation."""
    distances: Tensor = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.square() / 2


def sliced(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n d"],
    projections: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """Compute the mean squared 2-Wasserstein distance along random directions."""
    directions = torch.randn(x.shape[1], projections, generator=generator, device=x.device, dtype=x.dtype)
    directions = directions / directions.norm(dim=0)
    along_x, along_y = ((points @ directions).sort(dim=0).values for points in (x, y))
    value: Tensor = (along_x - along_y).square().mean()
    return value


def pairing(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]) -> Int[Tensor, "n"]:
    """Return the index in y of the partner of each x, minimising the sum of squared distances."""
    import ot

    costs = half_squared_distances(x.detach().double(), y.detach().double())
    # Between equally many points of equal weight, an optimal plan pairs each point with a single other.
    plan = ot.emd([], [], costs.cpu().numpy(), numItermax=1_000_000)
    return torch.from_numpy(plan.argmax(1)).to(x.device)


def _full(x: Tensor) -> Tensor:
    """Convert to float32 at least: torch.cdist has no half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
