"""The loss that never holds the logits takes little memory."""

from __future__ import annotations

import pytest

from tests.benchmarks.linear_categorical_nll import compare


@pytest.mark.slow
def test_it_takes_at_most_a_quarter_of_the_memory() -> None:
    found = compare()
    used = {name: one["megabytes"] for name, one in found.items()}
    # The logits alone are 262 MB: less would be a mistake of the measurement.
    assert used["categorical_nll"] > 262
    assert used["linear_categorical_nll"] <= 0.25 * used["categorical_nll"], used
