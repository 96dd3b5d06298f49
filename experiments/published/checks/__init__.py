"""The expected results of the experiments next to this folder, and the comparison with those of genloss.

A check is a `frame.Check`: the experiment's name, its sources, a description, and a function that turns a
study's result into rows. To add one,

1. write the experiment, `experiments/published/NAME.yaml`, with its plugin files next to it;
2. add the expected numbers to `expected.py`, each with paper, table and arXiv number;
3. write the module `checks/SUBJECT.py` with a function `rows(result) -> list[Row]`, whose rows are created by
   `frame.bound`, `exact`, `ordering` and `measured`, and with `CHECKS`, a tuple with one `Check` per
   experiment;
4. add the module to `MODULES` below.

`python experiments/published/check.py NAME` then runs the experiment, prints the rows, and replaces the
section NAME of RESULTS.md.
"""

from __future__ import annotations

import importlib

from .frame import Check

MODULES = ("dirac_gan", "flow_2d", "iwae_linear_gaussian", "mode_collapse")


def all_checks() -> dict[str, Check]:
    """Return the checks by experiment name."""
    modules = [importlib.import_module(f"{__name__}.{module}") for module in MODULES]
    return {check.experiment: check for module in modules for check in module.CHECKS}
