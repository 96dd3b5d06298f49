"""Points in the plane with a known density: mixtures of Gaussians, and curves with Gaussian noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor

import genloss

Count = Annotated[int, Ge(2)]
Modes = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]
# The number of quadrature nodes grows with 1 / noise; below this bound the density would cost too much.
Noise = Annotated[float, Ge(0.01)]


@dataclass(frozen=True)
class IsotropicMixture:
    """The density Σ_k w_k N(x; c_k, s²I).

    Attributes:
        centres: `[components, dimensions]`, c_k.
        log_weights: `[components]`, log w_k.
        scale: s, in the data's unit.
    """

    centres: Float[Tensor, "components dimensions"]
    log_weights: Float[Tensor, "components"]
    scale: float

    def log_density(self, x: Float[Tensor, "batch dimensions"]) -> Float[Tensor, "batch"]:
        """Return log p(x) in nats, on the device and in the precision of `x`."""
        centres, log_weights = self.centres.to(x), self.log_weights.to(x)
        # The faster way with a matrix product loses precision if s is small compared with x.
        distances = torch.cdist(x, centres, compute_mode="donot_use_mm_for_euclid_dist")
        exponents = log_weights - (distances / self.scale).square() / 2
        return exponents.logsumexp(1) - x.shape[1] / 2 * math.log(2 * math.pi * self.scale**2)


@genloss.dataset
def gaussian_ring(
    *,
    modes: Modes = 8,
    radius: Positive = 1.0,
    scale: Positive = 0.01,
    size: Count = 10_000,
    held_out: Count = 2_500,
    seed: int = 0,
) -> genloss.Data:
    """Equally likely Gaussians, evenly spaced on a circle; generators easily drop some of them.

    Fields: `x` `[batch, 2]`. Truth: `modes`, `mode_scale`, `log_density`.

    Options:
        modes: number of Gaussians; 8 by default.
        radius: radius of the circle; 1 by default.
        scale: standard deviation of each Gaussian; 0.01 by default.
        size, held_out: number of training and held-out examples; 10,000 and 2,500 by default.
        seed: random seed; 0 by default.

    Source: Lin et al. 2017, PacGAN (arXiv:1712.04086): the "2D-ring", with the radius of its code.
    """
    return _mixture(_ring(modes, radius), scale, size, held_out, seed)


@genloss.dataset
def gaussian_grid(
    *,
    side: Modes = 5,
    spacing: Positive = 2.0,
    scale: Positive = 0.05,
    size: Count = 10_000,
    held_out: Count = 2_500,
    seed: int = 0,
) -> genloss.Data:
    """Equally likely Gaussians on a square grid around the origin: 25 by default.

    Fields: `x` `[batch, 2]`. Truth: `modes`, `mode_scale`, `log_density`.

    Options:
        side: number of Gaussians along one side; 5 by default.
        spacing: distance between neighbours; 2 by default.
        scale: standard deviation of each Gaussian; 0.05 by default.
        size, held_out: number of training and held-out examples; 10,000 and 2,500 by default.
        seed: random seed; 0 by default.

    Source: Lin et al. 2017, PacGAN (arXiv:1712.04086): the "2D-grid".
    """
    line = spacing * (torch.arange(side, dtype=torch.float64) - (side - 1) / 2)
    return _mixture(torch.cartesian_prod(line, line), scale, size, held_out, seed)


@genloss.dataset
def two_moons(
    *,
    noise: Noise = 0.1,
    scale: Positive = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    size: Count = 10_000,
    held_out: Count = 2_500,
    seed: int = 0,
) -> genloss.Data:
    """Two interleaving half circles of radius 1 with Gaussian noise.

    Formula: scale · m + shift, where m is (cos t, sin t) or (1 − cos t, ½ − sin t), equally likely, t uniform
    on [0, π]; plus noise · N(0, I).

    Fields: `x` `[batch, 2]`. Truth: `log_density` (the integral over t by Gauss–Legendre quadrature).

    Options:
        noise: standard deviation of the noise before scaling; 0.1 by default.
        scale, shift: applied to all points; 1 and [0, 0] by default.
        size, held_out: number of training and held-out examples; 10,000 and 2,500 by default.
        seed: random seed; 0 by default.

    Source: scikit-learn's make_moons, but with random instead of equally spaced t.
    """
    generator = torch.Generator().manual_seed(seed)
    offset = torch.tensor(shift, dtype=torch.float64)

    def draw(count: int) -> Tensor:
        return scale * _draw_moons(count, noise, generator) + offset

    nodes, log_weights = _quadrature(0, math.pi, length=math.pi, scale=noise)
    lower = torch.arange(2).bool().repeat_interleave(len(nodes))
    centres = scale * _moons(nodes.repeat(2), lower) + offset
    density = IsotropicMixture(centres, log_weights.repeat(2) - math.log(2), scale * noise)
    return _data(held_out=draw(held_out), train=draw(size), truth={"log_density": density.log_density})


@genloss.dataset
def s_curve(
    *,
    noise: Noise = 0.1,
    scale: Positive = 1.0,
    size: Count = 10_000,
    held_out: Count = 2_500,
    seed: int = 0,
) -> genloss.Data:
    """Two three-quarter circles of radius 1 that form an S, with Gaussian noise.

    Formula: scale · (sin t, sign(t) (cos t − 1)), t uniform on [−3π/2, 3π/2]; plus noise · N(0, I).

    Fields: `x` `[batch, 2]`. Truth: `log_density` (the integral over t by Gauss–Legendre quadrature).

    Options:
        noise: standard deviation of the noise before scaling; 0.1 by default.
        scale: applied to all points; 1 by default.
        size, held_out: number of training and held-out examples; 10,000 and 2,500 by default.
        seed: random seed; 0 by default.

    Source: scikit-learn's make_s_curve without its second axis.
    """

    def curve(t: Tensor) -> Tensor:
        return torch.stack([t.sin(), t.sign() * (t.cos() - 1)], 1)

    high = 1.5 * math.pi
    generator = torch.Generator().manual_seed(seed)

    def draw(count: int) -> Tensor:
        t = high * (2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1)
        return scale * _blurred(curve(t), noise, generator)

    # The curvature changes sign at t = 0, which no quadrature panel may cross.
    halves = [_quadrature(low, low + high, length=high, scale=noise) for low in (-high, 0.0)]
    nodes = torch.cat([half[0] for half in halves])
    log_weights = torch.cat([half[1] for half in halves]) - math.log(2)
    density = IsotropicMixture(scale * curve(nodes), log_weights, scale * noise)
    return _data(held_out=draw(held_out), train=draw(size), truth={"log_density": density.log_density})


@genloss.dataset
def swiss_roll(
    *, noise: Noise = 0.2, size: Count = 10_000, held_out: Count = 2_500, seed: int = 0
) -> genloss.Data:
    """A spiral of one and a half turns in the plane, with Gaussian noise.

    Formula: t (cos t, sin t) / 5, t uniform on [3π/2, 9π/2]; plus noise · N(0, I).

    Fields: `x` `[batch, 2]`. Truth: `log_density` (the integral over t by Gauss–Legendre quadrature).

    Options:
        noise: standard deviation of the noise; 0.2 by default.
        size, held_out: number of training and held-out examples; 10,000 and 2,500 by default.
        seed: random seed; 0 by default.

    Source: scikit-learn's make_swiss_roll without its second axis, with the scale and noise of Grathwohl et
    al. 2018, FFJORD (arXiv:1810.01367).
    """

    def roll(t: Tensor) -> Tensor:
        return t[:, None] * torch.stack([t.cos(), t.sin()], 1) / 5

    low, high = 1.5 * math.pi, 4.5 * math.pi
    generator = torch.Generator().manual_seed(seed)

    def draw(count: int) -> Tensor:
        t = low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)
        return _blurred(roll(t), noise, generator)

    fastest = math.hypot(1, high) / 5
    nodes, log_weights = _quadrature(low, high, length=fastest * (high - low), scale=noise)
    density = IsotropicMixture(roll(nodes), log_weights, noise)
    return _data(held_out=draw(held_out), train=draw(size), truth={"log_density": density.log_density})


@genloss.dataset
def moons_to_gaussians(
    *,
    noise: Noise = 0.1,
    spread: Positive = 7.0,
    modes: Modes = 8,
    radius: Positive = 12.0,
    scale: Positive = 1.5,
    size: Count = 10_000,
    held_out: Count = 2_500,
    seed: int = 0,
) -> genloss.Data:
    """A ring of Gaussians, with two moons as the source that a flow transports to it.

    Formula: the ring as in `gaussian_ring`; the source is spread · (m − 3/8) / s, where m is a point of
    `two_moons` with the given noise, and 3/8 and s are the mean and the standard deviation of m's
    coordinates, pooled.

    Fields: `x` `[batch, 2]`, from the ring; `source` `[batch, 2]`, from the moons, independent of `x`. Truth,
    for the ring: `modes`, `mode_scale`, `log_density`.

    Options:
        noise: standard deviation of the noise around the moons before scaling; 0.1 by default.
        spread: standard deviation of the source's coordinates; 7 by default.
        modes: number of Gaussians on the ring; 8 by default.
        radius: radius of the ring; 12 by default.
        scale: standard deviation of each Gaussian; 1.5 by default.
        size, held_out: number of training and held-out examples; 10,000 and 2,500 by default.
        seed: random seed; 0 by default.

    Source: Tong et al. 2024, conditional flow matching (arXiv:2302.00482), with the scales of its code, which
    are those of De Bortoli et al. 2021, Diffusion Schrödinger Bridge (arXiv:2106.01357).
    """
    generator = torch.Generator().manual_seed(seed)
    centres = _ring(modes, radius)
    # The coordinates' second moments are 1 and 5/8 − 1/π, their means 1/2 and 1/4.
    deviation = math.sqrt(43 / 64 - 1 / (2 * math.pi) + noise**2)

    def draw(count: int) -> dict[str, Tensor]:
        x = _draw_mixture(count, centres, scale, generator)
        source = spread * (_draw_moons(count, noise, generator) - 3 / 8) / deviation
        return {"x": x.float(), "source": source.float()}

    unseen, trained = draw(held_out), draw(size)
    return genloss.Data(
        genloss.DataSpec((2,), "points", size=size, source=True),
        train=trained,
        held_out=unseen,
        truth=_mixture_truth(centres, scale),
    )


def _draw_moons(count: int, noise: float, generator: torch.Generator) -> Tensor:
    """Draw points of the two moons of radius 1 `[count, 2]`, in float64."""
    t = math.pi * torch.rand(count, generator=generator, dtype=torch.float64)
    lower = torch.randint(2, (count,), generator=generator).bool()
    return _blurred(_moons(t, lower), noise, generator)


def _moons(t: Tensor, lower: Tensor) -> Tensor:
    upper_moon = torch.stack([t.cos(), t.sin()], 1)
    lower_moon = torch.stack([1 - t.cos(), 0.5 - t.sin()], 1)
    return torch.where(lower[:, None], lower_moon, upper_moon)


def _ring(modes: int, radius: float) -> Tensor:
    angle = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes
    return radius * torch.stack([angle.cos(), angle.sin()], 1)


def _mixture(centres: Tensor, scale: float, size: int, held_out: int, seed: int) -> genloss.Data:
    generator = torch.Generator().manual_seed(seed)
    unseen = _draw_mixture(held_out, centres, scale, generator)
    trained = _draw_mixture(size, centres, scale, generator)
    return _data(held_out=unseen, train=trained, truth=_mixture_truth(centres, scale))


def _draw_mixture(count: int, centres: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    chosen = torch.randint(len(centres), (count,), generator=generator)
    return _blurred(centres[chosen], scale, generator)


def _mixture_truth(centres: Tensor, scale: float) -> dict[str, object]:
    log_weights = torch.full((len(centres),), -math.log(len(centres)), dtype=torch.float64)
    density = IsotropicMixture(centres, log_weights, scale)
    return {"modes": centres.float(), "mode_scale": scale, "log_density": density.log_density}


def _blurred(points: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    return points + scale * torch.randn(points.shape, generator=generator, dtype=torch.float64)


def _data(*, held_out: Tensor, train: Tensor, truth: dict[str, object]) -> genloss.Data:
    # The held-out points are always drawn first, so that they do not depend on the training set's size.
    return genloss.Data(
        genloss.DataSpec((2,), "points", size=len(train)),
        train={"x": train.float()},
        held_out={"x": held_out.float()},
        truth=truth,
    )


def _quadrature(low: float, high: float, *, length: float, scale: float) -> tuple[Tensor, Tensor]:
    """Return nodes and log-weights that average over t uniform on [low, high].

    Uses panels of sixteen Gauss–Legendre nodes, each spanning at most four standard deviations of the noise
    along a curve of the given `length`: a Gaussian is then integrated to float64 precision.
    """
    panels = math.ceil(length / (4 * scale))
    nodes, weights = np.polynomial.legendre.leggauss(16)
    width = (high - low) / panels
    starts = low + width * np.arange(panels)
    t = starts[:, None] + width * (nodes + 1) / 2
    return torch.from_numpy(t.ravel()), torch.from_numpy(np.log(np.tile(weights / 2 / panels, panels)))
