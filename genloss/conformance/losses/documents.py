"""What a loss says about itself: its declaration, the docstring's sections, its example."""

from __future__ import annotations

import doctest
import re
import sys
from typing import get_args

import torch

from genloss.conformance.docstrings import check_docstring
from genloss.conformance.losses.case import Subject
from genloss.conformance.losses.draw import array
from genloss.conformance.suite import Nonconformity
from genloss.contracts.definition import MISSING, Option, Quantity
from genloss.contracts.docstrings import explanations, sections
from genloss.contracts.loss import Unit


def declaration(subject: Subject) -> None:
    """Family, unit and source are said, and the unit is one of three."""
    loss = subject.loss
    units = get_args(Unit)
    if loss.unit not in units:
        raise Nonconformity(
            f"loss `{loss.name}` has the unit `{loss.unit}`, expected one of "
            + ", ".join(f"`{unit}`" for unit in units),
            hint="`nats` for a log-density, `data` for the data's own unit or a power of it, else `1`",
        )
    for name in ("family", "source"):
        if not getattr(loss, name).strip():
            raise Nonconformity(f"loss `{loss.name}` does not say its {name}")


def docstring(subject: Subject) -> None:
    """The docstring has its sections, each quantity with its shape and each option with its default."""
    loss = subject.loss
    check_docstring(loss, "Formula", "Quantities", "Source", "Example")
    found = sections(loss.doc)
    explained = explanations(loss.doc, "Quantities")
    for name, quantity in loss.quantities.items():
        if name not in explained:
            raise Nonconformity(
                f"the docstring of loss `{loss.name}` does not explain its quantity `{name}`",
                hint=f"add the line {name}: {_expected(quantity)}",
            )
        shape = _shape(array(quantity).dim_str).strip("`") if array(quantity) is not None else ""
        if shape not in explained[name]:
            raise Nonconformity(
                f"the docstring of loss `{loss.name}` does not say that `{name}` has the shape `{shape}`",
                hint=f"it says: {explained[name]}",
            )
    for name in explained:
        if name not in loss.quantities:
            raise Nonconformity(
                f"the docstring of loss `{loss.name}` explains a quantity `{name}`, which it does not ask for"
            )
    defaults = explanations(loss.doc, "Options")
    for name, option in loss.options.items():
        if option.default is not MISSING and not _says_default(defaults.get(name, ""), option):
            raise Nonconformity(
                f"the docstring of loss `{loss.name}` does not say that the default of `{name}` is "
                f"{_spellings(option)[0]}",
                hint=f"write `default {_spellings(option)[0]}`; it says: {defaults.get(name, 'nothing')}",
            )
    stated = " ".join(found["Source"].split())
    for identifier in re.findall(r"arXiv:\S*\w", loss.source):
        if identifier not in stated:
            raise Nonconformity(
                f"the section `Source:` of loss `{loss.name}` does not name {identifier}, which it declares",
                hint=f"it says: {stated}",
            )


def example(subject: Subject) -> None:
    """The docstring's example calls the loss, gives what it says, and says more than zeros."""
    loss = subject.loss
    name = loss.__name__  # type: ignore[attr-defined]
    module = sys.modules.get(loss.__module__)
    test = doctest.DocTestParser().get_doctest(
        sections(loss.doc).get("Example", ""),
        {**(vars(module) if module else {}), name: loss},
        loss.name,
        None,
        None,
    )
    shown = [each.want for each in test.examples if re.search(rf"\b{name}\(", each.source) and each.want]
    if not shown:
        raise Nonconformity(
            f"the docstring of loss `{loss.name}` has no example that calls it and shows its value",
            hint=f"add `>>> {name}(…)` and below it a value that is known in closed form",
        )
    report: list[str] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        failed = doctest.DocTestRunner(verbose=False).run(test, out=report.append).failed
    if failed:
        raise Nonconformity(
            f"the docstring's example of loss `{loss.name}` is not true: {_difference(report)}",
            hint="either the loss departs from its formula or the example does; the paper decides",
        )
    if not any(re.search(r"[1-9]", re.sub(r"dtype=\S+", "", want)) for want in shown):
        raise Nonconformity(
            f"the docstring's example of loss `{loss.name}` shows but zeros, which are right with any factor",
            hint="add one whose value is not 0",
        )


def _expected(quantity: Quantity) -> str:
    annotation = array(quantity)
    return "its meaning" if annotation is None else f"{_shape(annotation.dim_str)}, its meaning"


def _shape(dimensions: str) -> str:
    return f"`[{', '.join(dimensions.split())}]`"


def _spellings(option: Option) -> list[str]:
    default = option.default
    if default is None:
        return ["null", "none", "None"]
    if isinstance(default, bool):
        return [str(default).lower(), str(default)]
    return [str(default)]


def _says_default(text: str, option: Option) -> bool:
    """Return whether it says `default 1.0`, `default: 1.0`, `1.0 by default`, or has `(1.0)`."""
    value = r"[`\"]?(\[.*?\]|\(.*?\)|[\w.+-]*\w)[`\"]?"
    forms = (rf"[Dd]efault:? (?:is )?{value}", rf"{value} by default", rf"\({value}\)")
    return any(_is_default(said, option) for form in forms for said in re.findall(form, text))


def _is_default(said: str, option: Option) -> bool:
    if isinstance(option.default, float | int) and not isinstance(option.default, bool):
        try:
            return float(said) == option.default
        except ValueError:
            return False
    if isinstance(option.default, tuple | list):
        return said.strip("[]()").replace(" ", "") == ",".join(map(str, option.default))
    return said in _spellings(option)


def _difference(report: list[str]) -> str:
    """The expectation and what came, of doctest's report of the first failure."""
    text = "".join(report)
    found = re.search(r"Expected:\n(.*?)Got:\n(.*?)(?=\n\*{5}|\Z)", text, re.DOTALL)
    if found is None:
        return " ".join(text.splitlines()[-1:])
    return f"expected {' '.join(found[1].split())}, got {' '.join(found[2].split())}"
