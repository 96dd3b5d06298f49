"""What holds for every built-in metric's definition."""

from __future__ import annotations

import pytest

import genloss_builtin
from genloss.contracts.metric import OFFERED

METRICS = list(genloss_builtin.genloss_metrics())
TRUTH = {"modes", "mode_scale"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_asks_only_for_what_is_offered_and_says_what_it_measures(metric):
    assert metric.quantities.keys() <= OFFERED.keys() | TRUTH
    for section in ("Formula:", "Unit:", "Direction:", "Reference:", "Options:", "Source:"):
        assert section in metric.doc
    for option in metric.options:
        assert f"{option}:" in metric.doc
    assert metric.summary.endswith((".", "?"))
