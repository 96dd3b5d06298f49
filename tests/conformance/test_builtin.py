"""All that is built in passes the suite, in a process of its own and in the time that it may take."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from genloss_builtin import genloss_datasets, genloss_losses, genloss_metrics, genloss_models
from tests import processor
from tests.plugins.losses.test_references import CORE

MINUTES = 8
"""Of one core, of any: half of that is usual."""


@pytest.mark.slow
def test_everything_built_in_passes() -> None:
    before = processor.of_children()
    done = subprocess.run(
        [sys.executable, "-m", "genloss", "check", "genloss", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    seconds = processor.of_children() - before
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    checked = {(outcome["kind"], outcome["name"]) for outcome in found["outcomes"]}
    offered = [*genloss_losses(), *genloss_models(), *genloss_datasets(), *genloss_metrics()]
    unavailable = {definition["name"] for definition in found["unavailable"]}
    assert {name for _, name in checked} | unavailable == {"genloss", *(each.name for each in offered)}
    assert {name for kind, name in checked if kind == "loss"} >= set(CORE.split())
    assert seconds < 60 * MINUTES
