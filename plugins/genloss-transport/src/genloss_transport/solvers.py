"""What losses and metrics have in common, for samples `[n, d]` of equal weights."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def sinkhorn(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], blur: float, scaling: float, diameter: float
) -> Float[Tensor, ""]:
    """The Sinkhorn divergence for the cost ½‖x − y‖², by GeomLoss."""
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
    # GeomLoss switches gradients off and, whatever they were before, on.
    with torch.set_grad_enabled(torch.is_grad_enabled()):
        value: Tensor = solve(_full(x), _full(y))
    return value.to(x.dtype)


def half_squared_distances(x: Float[Tensor, "*b n d"], y: Float[Tensor, "*b m d"]) -> Float[Tensor, "*b n m"]:
    """½‖x − y‖² of all pairs; exactly 0 for equal ones, which GeomLoss's own shortcut does not keep."""
    distances: Tensor = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.square() / 2


def sliced(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n d"],
    projections: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """The mean squared 2-Wasserstein distance along random directions."""
    directions = torch.randn(x.shape[1], projections, generator=generator, device=x.device, dtype=x.dtype)
    directions = directions / directions.norm(dim=0)
    along_x, along_y = ((points @ directions).sort(dim=0).values for points in (x, y))
    value: Tensor = (along_x - along_y).square().mean()
    return value


def pairing(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]) -> Int[Tensor, "n"]:
    """For each of x the index of its partner in y, so that the sum of the squared distances is least."""
    import ot

    costs = half_squared_distances(x.detach().double(), y.detach().double())
    # Between equally many points of equal weight, an optimal plan moves each as a whole.
    plan = ot.emd([], [], costs.cpu().numpy(), numItermax=1_000_000)
    return torch.from_numpy(plan.argmax(1)).to(x.device)


def _full(x: Tensor) -> Tensor:
    """In float32 at least: the distances have no half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
