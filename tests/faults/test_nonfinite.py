"""NaN and ±inf at one step, under each policy: what MLflow, the journal and the weights are afterwards."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import genloss
from tests.faults import support
from tests.faults.conftest import BAD, Faulty

VALUES = {"nan": math.nan, "inf": math.inf, "minus_inf": -math.inf}
KEY = "network/planted"
STEPS = 40

every_value = pytest.mark.parametrize("value", VALUES)


@every_value
def test_fail_ends_the_run_with_the_step_and_the_last_finite_values(faulty: Faulty, value: str) -> None:
    assert support.runs(faulty.here)[f"fail_{value}-0"] == "FAILED"
    finite = support.recorded(faulty.run("none"), KEY)[BAD - 1]
    said = faulty.message(f"fail_{value}")
    assert said.startswith(f"`{KEY}` became {VALUES[value]:g} at step {BAD}; the last finite values, at step")
    assert f"at step {BAD - 1}, were `{KEY}` {finite:.4g}" in said


@every_value
def test_fail_keeps_the_weights_that_gave_the_last_finite_values(faulty: Faulty, value: str) -> None:
    """They load, and are bit for bit those of a run that was to end there."""
    kept = support.final_weights(faulty.run(f"fail_{value}"))
    assert kept == support.final_weights(faulty.run("until_finite"))
    model = genloss.load(faulty.run(f"fail_{value}").path)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert "model/weights.safetensors" in support.artifacts(faulty.here, f"fail_{value}-0")


@every_value
def test_fail_records_nothing_after_the_bad_step(faulty: Faulty, value: str) -> None:
    """The journal has what it was; MLflow has NaN, says how many there are, and which came first."""
    recorded = support.recorded(faulty.run(f"fail_{value}"), KEY)
    expected = support.recorded(faulty.run("none"), KEY)[: BAD + 1].copy()
    expected[BAD] = VALUES[value]
    np.testing.assert_array_equal(recorded, expected)
    shipped = values_of(faulty, f"fail_{value}")
    np.testing.assert_array_equal(shipped, np.where(np.isfinite(expected), expected, math.nan))
    first = support.tags(faulty.here, f"fail_{value}-0")["genloss.first_non_finite"]
    assert first == f"step {BAD}: {KEY} = {VALUES[value]}"


@every_value
def test_skip_leaves_the_update_out_and_goes_on(faulty: Faulty, value: str) -> None:
    """As an update without a gradient does, where the optimizer has no memory; all other values are equal.

    The gradient of a constant infinity is finite: that update is made.
    """
    alike = "skip_nothing" if value == "nan" else "none"
    assert support.runs(faulty.here)[f"skip_{value}-0"] == "FINISHED"
    expected = support.recorded(faulty.run(alike), KEY).copy()
    expected[BAD] = VALUES[value]
    np.testing.assert_array_equal(support.recorded(faulty.run(f"skip_{value}"), KEY), expected)
    assert support.final_weights(faulty.run(f"skip_{value}")) == support.final_weights(faulty.run(alike))


SKIPPED = "network/skipped_updates"


def test_skipped_updates_are_counted_recorded_and_told(faulty: Faulty) -> None:
    counts = support.recorded(faulty.run("skip_nan"), SKIPPED)
    np.testing.assert_array_equal(counts, [0.0] * BAD + [1.0] * (STEPS - BAD))
    shipped = support.values(faulty.here)
    assert [shipped["skip_nan-0", SKIPPED, step] for step in range(STEPS)] == list(counts)
    assert not support.recorded(faulty.run("skip_inf"), SKIPPED).any()  # its gradient is finite
    tags = support.tags(faulty.here, "skip_nan-0")
    assert tags["genloss.warning"] == "1 of 40 updates of `network` were skipped: gradients not finite"
    note = "`skip_nan`: 1 of 40 updates of `network` were skipped in 1 run: gradients not finite"
    assert note in faulty.result.comparison.notes
    assert note in str(faulty.result.comparison)


def test_a_run_most_of_whose_updates_were_skipped_has_failed(faulty: Faulty) -> None:
    assert support.runs(faulty.here)["fail_skipping-0"] == "FAILED"
    assert (
        faulty.message("fail_skipping") == "35 of 40 updates of `network` were skipped: gradients not finite"
    )


@pytest.mark.parametrize("value", ["inf", "minus_inf"])
def test_continue_keeps_an_infinity_in_the_journal_and_ships_nan(faulty: Faulty, value: str) -> None:
    """All other values are those of a run in which nothing happens, and so are the final weights."""
    expected = support.recorded(faulty.run("none"), KEY).copy()
    expected[BAD] = VALUES[value]
    np.testing.assert_array_equal(support.recorded(faulty.run(f"continue_{value}"), KEY), expected)
    expected[BAD] = math.nan
    np.testing.assert_array_equal(values_of(faulty, f"continue_{value}"), expected)
    assert support.final_weights(faulty.run(f"continue_{value}")) == support.final_weights(faulty.run("none"))


def test_continue_records_every_nan_of_a_run_that_is_lost(faulty: Faulty) -> None:
    """One row a step to the last, and the run says how many were not finite."""
    assert support.runs(faulty.here)["continue_nan-0"] == "FINISHED"
    expected = support.recorded(faulty.run("none"), KEY).copy()
    expected[BAD:] = math.nan
    np.testing.assert_array_equal(values_of(faulty, "continue_nan"), expected)
    shipped = support.values(faulty.here)
    counted = [value for (run, key, _), value in shipped.items() if (run, key) == ("continue_nan-0", COUNT)]
    wrong = [
        value
        for (run, key, _), value in shipped.items()
        if run == "continue_nan-0" and key != COUNT and math.isnan(value)
    ]
    assert max(counted) == len(wrong)


COUNT = "non_finite_values"


def test_a_loss_that_is_never_finite_keeps_no_weights(faulty: Faulty) -> None:
    assert support.runs(faulty.here)["fail_at_once-0"] == "FAILED"
    assert faulty.message("fail_at_once") == f"`{KEY}` became nan at step 0"


def values_of(faulty: Faulty, objective: str) -> np.ndarray:
    """What MLflow has of the loss of an objective, in the order of the steps."""
    found = {
        step: value
        for (run, key, step), value in support.values(faulty.here).items()
        if (run, key) == (f"{objective}-0", KEY)
    }
    assert sorted(found) == list(range(len(found)))
    return np.array([found[step] for step in sorted(found)])
