"""The bounds of a linear Gaussian model, compared with their gaps in closed form and by quadrature.

With u = z − (x + μ)/2, in D = 20 dimensions, the normalised weight is

    p(z|x) / q(z|x) = (4/3)^(D/2) e^(−‖u‖²/4),   ‖u‖² = ⅔·χ²_D under q,

so that a gap depends only on one chi-squared variable per sample. The gap of K samples is −E log of the mean
of K such weights. With log s = ∫ (e^−t − e^−ts) dt/t it is a two-dimensional quadrature for any K.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

import genloss

from .expected import ELBO_GAP, IWAE_BIAS, IWAE_GAP_TIMES_K, TIGHTER_BOUNDS
from .frame import Check, Row, bound, exact, number, values

DIMENSIONS = 20
SAMPLES = {"elbo": 1, "elbo_monte_carlo": 1, "iwae_1": 1, "iwae_8": 8, "iwae_64": 64, "iwae_512": 512}
"""K of each objective."""


def gap(samples: int) -> float:
    """Return log p(x) − the bound with the given number of samples, in nats; to nine digits.

    Uses the trapezoidal rule on the whole line: both integrands are smooth and vanish at both ends.
    """
    half, step = DIMENSIONS / 2, 0.05
    halved = np.arange(1, 4001) * step  # χ²/2, which is Gamma(D/2, 1)
    probabilities = stats.gamma.pdf(halved, half) * step
    weights = (4 / 3) ** half * np.exp(-halved / 3)
    t = np.exp(np.arange(-800, 1600) * step)
    transform = np.exp(-np.outer(t / samples, weights)) @ probabilities
    return float(-np.sum(np.exp(-t) - transform**samples) * step)


def elbo_gap() -> float:
    """Return KL(q ‖ posterior) in closed form, in nats."""
    return DIMENSIONS / 2 * (1 / 3 - math.log(4 / 3))


def gap_times_k() -> float:
    """Return the limit of K times the gap: half the variance of the normalised weight, in nats."""
    second_moment = math.sqrt(2 / 3) / 0.5 / math.sqrt(2 / 0.5 - 1 / (2 / 3))  # ∫ p²/q in one dimension
    return (second_moment**DIMENSIONS - 1) / 2


def bounds(result: genloss.StudyResult, objective: str) -> list[float]:
    """Return log p(x) minus the objective's own bound on held-out data, one value per seed.

    The bound is the sum of the terms recorded by genloss; log p(x) is the model's exact one.
    """
    found = []
    for run in result.runs:
        if run.objective == objective and run.status == "FINISHED":
            series = genloss.history(run)
            terms = [key for key in series if key.startswith("held_out/")]
            found.append(sum(series[key].values[-1] for key in terms) - run.metrics["nll"])
    return found


def rows(result: genloss.StudyResult) -> list[Row]:
    """Compare the gaps of the losses, those of the same bounds with less noise, and their decrease with K."""
    found = []
    for objective, samples in SAMPLES.items():
        found.append(
            exact(f"`{objective}`: gap from the losses, nats", gap(samples), bounds(result, objective))
        )
    for objective, samples in SAMPLES.items():
        if objective.startswith("iwae"):
            gaps = list(values(result, objective, "bound_gap").values())
            found.append(exact(f"`{objective}`: metric `bound_gap`, nats", gap(samples), gaps))
    for objective, samples in SAMPLES.items():
        if samples > 1:
            gaps = list(values(result, objective, "bound_gap").values())
            times_k = samples * float(np.mean(gaps)) if gaps else math.nan
            apart = abs(times_k / IWAE_GAP_TIMES_K - 1)
            found.append(
                bound(
                    f"`{objective}`: K·gap, limit {IWAE_GAP_TIMES_K}",
                    f"{number(gap(samples) * samples)}",
                    number(times_k),
                    difference=f"{apart:.1%} from {IWAE_GAP_TIMES_K}",
                    keeps=apart <= 0.1,
                )
            )
    return found


CHECKS: Sequence[Check] = (
    Check(
        "iwae_linear_gaussian",
        (TIGHTER_BOUNDS, IWAE_BIAS),
        "The gap of each bound to the exact log p(x): from the loss values that genloss recorded on held-out "
        "data, and from the metric `bound_gap`, which has the same expectation but less noise.",
        rows,
        notes=(
            f"The expected gaps are computed by quadrature; for one sample, in closed form, {ELBO_GAP} nats.",
        ),
    ),
)
