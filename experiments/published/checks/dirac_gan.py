"""The Dirac-GAN: trajectories compared with a simulation in plain Python and with theory.

In the paper's notation, with h the learning rate, f(t) = −log(1 + e^−t) for the minimax game, f(t) = t for
the Wasserstein game, and R the regulariser, an update is

    θ ← θ − h ψ f′(ψθ)                      ψ ← ψ + h (θ f′(ψθ) − R′(ψ))

with f′(−ψθ) for the non-saturating generator; in alternating updates, ψ's update uses the new θ, as in the
authors' simulation. Near the equilibrium (0, 0), the minimax game with R(ψ) = γ/2·ψ² is linear, with
f′(0) = ½:

    simultaneous                            alternating
    ( 1      −h/2   )                       ( 1      −h/2           )
    ( h/2    1 − hγ )                       ( h/2    1 − hγ − h²/4  )

Without γ, simultaneous updates have |λ|² = 1 + h²/4 (they diverge from the equilibrium), alternating ones
|λ| = 1 (they circle). With γ up to the critical value, λ is complex, |λ|² = 1 − hγ + h²/4 or 1 − hγ; beyond
it, λ is real, and the larger eigenvalue grows with γ. So convergence is fastest at the critical γ: 1 for
simultaneous updates, as in the paper's continuous time, and 1 − h/4 for alternating ones, with |λ| = 1 − h/2
in both cases.

The non-saturating game loses (ψθ)² of its squared distance ρ per unit of time, ρ²/8 on average over a
revolution: so ρ ← ρ − hρ²/8 + h²ρ/4 for simultaneous updates, which end on a cycle with ρ = 2h, and without
the last term for alternating ones, with ρ = 8/(hk + 4) after k steps, from ρ = 2: it decreases, but not at a
linear rate. The Wasserstein game is linear: for simultaneous updates the distance grows by √(1 + h²) per
step, and for alternating ones θ² + ψ² − hθψ is constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import genloss

from .expected import DIRAC_CRITICAL_GAMMA, DIRAC_GAN
from .expected import DIRAC_LEARNING_RATE as H
from .frame import Check, Row, bound, number

Trajectory = NDArray[np.float64]
"""θ and ψ at each step, `[steps + 1, 2]`."""

TOLERANCE = 1e-9
LATE = 100
"""Number of final steps, in which a converging objective has converged."""


def slope(t: float) -> float:
    """Return f′ of the minimax game: the logistic function of −t."""
    return 1 / (1 + math.exp(t))


def one(t: float) -> float:  # noqa: ARG001 - same signature as `slope`
    """Return f′ of the Wasserstein game."""
    return 1.0


def gradient_penalty(psi: float) -> float:
    """Return R′ of WGAN-GP, R = 0.35 (|ψ| − 1)²."""
    return 0.7 * (abs(psi) - 1) * math.copysign(1, psi)


@dataclass(frozen=True)
class Game:
    """An objective in the paper's notation.

    Attributes:
        generator: factor of ψ in θ's update, as a function of ψθ.
        discriminator: factor of θ in ψ's update, as a function of ψθ.
        regulariser: R′(ψ).
    """

    generator: Callable[[float], float]
    discriminator: Callable[[float], float]
    regulariser: Callable[[float], float] = lambda psi: 0.0  # noqa: ARG005

    def trajectory(self, steps: int, *, alternating: bool) -> Trajectory:
        """Simulate the game from θ = ψ = 1."""
        theta = psi = 1.0
        states = [(theta, psi)]
        for _ in range(steps):
            moved = theta - H * psi * self.generator(psi * theta)
            seen = moved if alternating else theta
            psi += H * (seen * self.discriminator(psi * seen) - self.regulariser(psi))
            theta = moved
            states.append((theta, psi))
        return np.array(states)


GAMMAS = {"r1": 0.3, "r1_critical": DIRAC_CRITICAL_GAMMA}
GAMES = {
    "minimax": Game(slope, slope),
    "non_saturating": Game(lambda t: slope(-t), slope),
    "wasserstein": Game(one, one),
    "wgan_gp": Game(one, one, gradient_penalty),
    "r1": Game(slope, slope, lambda psi: GAMMAS["r1"] * psi),
    "r1_critical": Game(slope, slope, lambda psi: GAMMAS["r1_critical"] * psi),
}
ORDERS = ("simultaneous", "alternating")
OBJECTIVES = [f"{game}_{order}" for game in GAMES for order in ORDERS]
WGAN_GP = [f"wgan_gp_{order}" for order in ORDERS]


def simulated(objective: str, steps: int) -> Trajectory:
    """Simulate an objective of the YAML file."""
    game, _, order = objective.rpartition("_")
    return GAMES[game].trajectory(steps, alternating=order == "alternating")


def recorded(result: genloss.StudyResult) -> dict[str, Trajectory]:
    """Return the states that genloss recorded after each step, by objective, after the initial state."""
    found = {}
    for run in result.runs:
        series = genloss.history(run)
        theta, psi = series["held_out/generator/theta"], series["held_out/discriminator/psi"]
        steps = np.arange(1, len(theta) + 1)
        if not (np.array_equal(theta.steps, steps) and np.array_equal(psi.steps, steps)):
            raise ValueError(f"`{run.name}` was not evaluated at every step")
        found[run.objective] = np.stack([np.append(1.0, theta.values), np.append(1.0, psi.values)], 1)
    return found


def jacobian(gamma: float, *, alternating: bool) -> NDArray[np.float64]:
    """Return the Jacobian of the minimax game's update at the equilibrium, with R1."""
    last = 1 - H * gamma - (H**2 / 4 if alternating else 0)
    return np.array([[1, -H / 2], [H / 2, last]])


def radius(matrix: NDArray[np.float64]) -> float:
    """Return the spectral radius of a matrix."""
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def fastest_gamma(*, alternating: bool) -> float:
    """Return the γ with the fastest convergence near the equilibrium, to three decimals."""
    gammas = np.arange(0, 2001) / 1000
    return float(gammas[np.argmin([radius(jacobian(gamma, alternating=alternating)) for gamma in gammas])])


def rows(result: genloss.StudyResult) -> list[Row]:
    """Compare trajectories with the simulation, then with theory."""
    ours = recorded(result)
    return [*trajectory_rows(ours), *theory_rows(ours)]


def trajectory_rows(ours: Mapping[str, Trajectory]) -> list[Row]:
    """Return the maximum deviation of each trajectory from the simulation."""
    found = []
    for objective, trajectory in ours.items():
        apart = float(np.abs(trajectory - simulated(objective, len(trajectory) - 1)).max())
        what = f"`{objective}`: maximum deviation from the simulation"
        found.append(bound(what, f"≤ {TOLERANCE:g}", f"{apart:.1e}", keeps=apart <= TOLERANCE))
    return found


def theory_rows(ours: Mapping[str, Trajectory]) -> list[Row]:
    """Compare full-length trajectories with theory."""
    distances = {objective: np.hypot(*trajectory.T) for objective, trajectory in ours.items()}
    steps = len(next(iter(ours.values()))) - 1
    return [
        *(leaves(name, distances[name]) for name in ("minimax_simultaneous", "wasserstein_simultaneous")),
        close(
            "`wasserstein_simultaneous`: final distance",
            math.sqrt(2) * (1 + H**2) ** (steps / 2),
            distances["wasserstein_simultaneous"][-1],
            TOLERANCE,
        ),
        close(
            "`wasserstein_alternating`: final θ² + ψ² − hθψ",
            2 - H,
            np.sum(ours["wasserstein_alternating"][-1] ** 2)
            - H * np.prod(ours["wasserstein_alternating"][-1]),
            TOLERANCE,
        ),
        *(stays(name, distances[name]) for name in ("minimax_alternating", *WGAN_GP)),
        close(
            "`non_saturating_simultaneous`: radius of the final cycle",
            math.sqrt(2 * H),
            math.sqrt(np.mean(distances["non_saturating_simultaneous"][-LATE:] ** 2)),
            0.05,
        ),
        close(
            "`non_saturating_alternating`: distance / √(8 / (hk + 4))",
            1.0,
            falling(distances["non_saturating_alternating"]),
            0.05,
        ),
        *(converges(f"{name}_{order}", ours) for name in GAMMAS for order in ORDERS),
        close(
            "γ with the fastest convergence, simultaneous",
            DIRAC_CRITICAL_GAMMA,
            fastest_gamma(alternating=False),
            1e-3,
        ),
        close(
            "γ with the fastest convergence, alternating", 1 - H / 4, fastest_gamma(alternating=True), 1e-3
        ),
    ]


def leaves(name: str, distance: NDArray[np.float64]) -> Row:
    """Require each step to lead away from the equilibrium, as the paper proves for simultaneous steps."""
    grew, steps = int((np.diff(distance) > 0).sum()), len(distance) - 1
    what = f"`{name}`: steps away from the equilibrium"
    return bound(what, f"{steps} of {steps}", f"{grew} of {steps}", keeps=grew == steps)


def stays(name: str, distance: NDArray[np.float64]) -> Row:
    """Require that an objective does not converge."""
    least = float(distance[-LATE:].min())
    what = f"`{name}`: minimum distance, last {LATE} steps"
    return bound(what, "≥ 1: does not converge", number(least), keeps=least >= 1)


def falling(distance: NDArray[np.float64]) -> float:
    """Return the final distance as a multiple of the non-saturating game's leading-order value."""
    expected = 8 / (H * np.arange(len(distance))[-LATE:] + 4)
    return math.sqrt(np.mean(distance[-LATE:] ** 2 / expected))


def converges(name: str, ours: Mapping[str, Trajectory]) -> Row:
    """Require the last steps to follow the Jacobian, with eigenvalues inside the unit circle."""
    game, _, order = name.rpartition("_")
    matrix = jacobian(GAMMAS[game], alternating=order == "alternating")
    states = ours[name][-2 * LATE :]
    missing = np.linalg.norm(states[1:] - states[:-1] @ matrix.T, axis=1)
    apart = float((missing / np.linalg.norm(states[:-1], axis=1)).max())
    what = f"`{name}`: last {2 * LATE} steps, deviation from the Jacobian, radius {radius(matrix):.4f}"
    return bound(what, "≤ 1e-06", f"{apart:.1e}", keeps=apart <= 1e-6 and radius(matrix) < 1)


def close(what: str, truth: float, ours: float, tolerance: float) -> Row:
    """Require a number to be close to the truth, relatively."""
    apart = abs(float(ours) - truth) / abs(truth)
    said = f"{number(truth)}, within {tolerance:g}"
    return bound(what, said, number(float(ours)), keeps=apart <= tolerance, difference=f"{apart:.1e}")


CHECKS: Sequence[Check] = (
    Check(
        "dirac_gan",
        (DIRAC_GAN,),
        "Every state (θ, ψ) recorded by genloss is compared with a simulation in plain Python; then the "
        "recorded trajectories are compared with theory.",
        rows,
        notes=(
            "As in the paper, nothing converges at a linear rate without a regulariser or with WGAN-GP; R1 "
            "does. The paper's critical γ = 1 applies to continuous time and to simultaneous steps; with "
            "alternating steps it is 1 − h/4. Statements about the non-saturating game are to leading order. "
            "The derivations are in `checks/dirac_gan.py`.",
        ),
    ),
)
