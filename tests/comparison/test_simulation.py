"""Whether the claims of a comparison are right as often as they say, on simulated studies."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from genloss.comparison.comparison import compare_runs
from genloss.comparison.runs import Direction, RunResult
from genloss.comparison.statistics import LEVEL, POWER, holm, least_seeds, sign_flip_p, t_interval
from tests.comparison import simulation
from tests.comparison.simulation import (
    DIFFERING,
    EFFECTS,
    MONTE_CARLO,
    SEEDS,
    TRUTHS,
    Truth,
    differing,
    paired,
    powers,
)

NORMAL = [truth for truth in TRUTHS if truth.normal]
SYMMETRIC = [truth for truth in TRUTHS if truth.symmetric]
rates = functools.cache(simulation.rates)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("truth", NORMAL, ids=lambda truth: truth.name)
def test_intervals_of_normal_values_cover_what_they_say(truth: Truth, seeds: int) -> None:
    found = rates(truth, seeds)
    assert 0.93 <= found.mean <= 0.97
    assert 0.93 <= found.difference <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("truth", SYMMETRIC, ids=lambda truth: truth.name)
def test_false_claims_are_as_rare_as_they_should_be(truth: Truth, seeds: int) -> None:
    found = rates(truth, seeds)
    assert max(found.one, found.baseline, found.pairs) <= LEVEL + 2 * MONTE_CARLO
    assert found.probability >= 1 - LEVEL - 2 * MONTE_CARLO


@pytest.mark.slow
@pytest.mark.parametrize(("truth", "seeds"), DIFFERING, ids=lambda value: getattr(value, "name", value))
def test_true_differences_are_found_and_bring_no_false_claims(truth: Truth, seeds: int) -> None:
    """Strong control: the bound holds for the objectives that are alike, whatever the others are."""
    for found in differing(truth, seeds):
        assert found.wrong <= LEVEL + 2 * MONTE_CARLO, found
        if seeds >= least_seeds(10 if found.family == "all pairs" else len(EFFECTS) - 1):
            assert found.found[2.0] > 0.6, found
            assert found.found[2.0] > found.found[1.0] > 0.1, found
        else:
            assert (found.wrong, *found.found.values()) == (0, 0, 0)


@pytest.mark.slow
def test_without_the_correction_the_differing_objectives_would_bring_false_claims(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the bound above would hold of anything."""
    monkeypatch.setattr(simulation, "holm", lambda p: p)
    for found in differing(TRUTHS[0], 10):
        assert found.wrong > LEVEL + 2 * MONTE_CARLO


@pytest.mark.slow
def test_the_simulation_sees_claims_and_sees_where_an_assumption_fails() -> None:
    """Else the bounds above would hold of anything."""
    assert rates(NORMAL[0], 10).pairs > 0.03
    skewed = next(truth for truth in TRUTHS if truth.name == "lognormal, unequal spread")
    assert rates(skewed, 10).baseline > 0.1
    assert rates(skewed, 10).mean < 0.9


@pytest.mark.slow
def test_the_seeds_that_are_said_to_be_needed_are_about_enough() -> None:
    for power in powers():
        assert power.found > POWER - 0.02, power


@pytest.mark.parametrize("seeds", [3, 8])
def test_studies_that_are_gone_through_together_get_what_each_gets_from_a_comparison(seeds: int) -> None:
    """The simulation's path against the product's."""
    values = TRUTHS[3].studies(20, seeds, np.random.default_rng(1))
    values[:, 0] += 4  # so that something is decided
    differences = paired(values)
    p = sign_flip_p(differences)
    corrected = holm(p), holm(p[:, :3])
    _, low, high = t_interval(differences)
    decided = 0
    for study, one in enumerate(values):
        runs = [
            RunResult(name=f"{o}-{s}", objective=str(o), seed=s, status="FINISHED", metrics={"m": value})
            for o, row in enumerate(one.tolist())
            for s, value in enumerate(row)
        ]
        for pairs in (True, False):
            found = compare_runs(
                runs,
                name="s",
                objectives=["0", "1", "2", "3"],
                baseline="0",
                metrics={"m": Direction(False, "1")},
                pairs=pairs,
            )
            claims = found.pairs or found.differences
            assert [d.p_holm for d in claims] == corrected[0 if pairs else 1][study].tolist()
            assert [d.low for d in claims] == pytest.approx(low[study, : len(claims)], rel=1e-12)
            assert [d.high for d in claims] == pytest.approx(high[study, : len(claims)], rel=1e-12)
            decided += sum(d.significant for d in claims)
    assert (decided > 20) == (seeds == 8)
