"""Every built-in loss does what a loss must do, and its docstring is laid out as those of the others."""

import pytest

import genloss_builtin
from genloss.conformance import checks
from genloss.contracts.docstrings import sections

LOSSES = list(genloss_builtin.genloss_losses())


@pytest.mark.parametrize("check", checks(*LOSSES), ids=str)
def test_conformance(check):
    check.run()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_layout_of_the_docstring(loss):
    found = sections(loss.doc)
    options = ["Options"] if loss.options else []
    names = [name for name in found if name != "Raises"]
    assert names == ["", "Formula", "Quantities", *options, "Source", "Example"]
    assert len(loss.summary) <= 110
    assert loss.source.split(",")[0].lower() in " ".join(found["Source"].split()).lower()
