"""What is expected of the experiments beside this folder, and how far genloss is from it.

A check is a `frame.Check`: the experiment's name, its sources, what is done, and a function that makes rows
of a study's result. To add one,

1. write the experiment, `experiments/published/NAME.yaml`, with its plugin files beside it;
2. put the numbers to expect into `expected.py`, each with paper, table and arXiv number;
3. write the module `checks/SUBJECT.py` with a function `rows(result) -> list[Row]`, whose rows are made by
   `frame.bound`, `exact`, `ordering` and `measured`, and with `CHECKS`, a tuple of `Check`s: one for each
   experiment that it is about;
4. name the module in `MODULES` below.

`python experiments/published/check.py NAME` then runs the experiment, prints the rows, and replaces the
section NAME of RESULTS.md.
"""

from __future__ import annotations

import importlib

from .frame import Check

MODULES = ("dirac_gan", "flow_2d", "iwae_linear_gaussian", "mode_collapse")


def all_checks() -> dict[str, Check]:
    """The checks by the names of their experiments."""
    modules = [importlib.import_module(f"{__name__}.{module}") for module in MODULES]
    return {check.experiment: check for module in modules for check in module.CHECKS}
