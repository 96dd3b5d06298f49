"""Every built-in loss explains itself, and its example is true."""

import doctest
import json
import re

import pytest

import genloss_builtin

every_loss = pytest.mark.parametrize(
    "loss", list(genloss_builtin.genloss_losses()), ids=lambda loss: loss.name
)


def sections(doc):
    """The text of each `Name:` section, and of what stands before the first as ``."""
    parts = re.split(r"^([A-Z][a-z]+):$", doc, flags=re.MULTILINE)
    return {"": parts[0].strip()} | dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(section):
    """The text of each `name: …` of a section."""
    parts = re.split(r"^    (\w+): ", section, flags=re.MULTILINE)
    assert not parts[0].strip()
    return {name: " ".join(text.split()) for name, text in zip(parts[1::2], parts[2::2], strict=True)}


@every_loss
def test_sections(loss):
    names = [name for name in sections(loss.doc) if name != "Raises"]
    options = ["Options"] if loss.options else []
    assert names == ["", "Formula", "Quantities", *options, "Source", "Example"]
    assert all(text.strip() for text in sections(loss.doc).values())


@every_loss
def test_the_summary_is_one_short_line(loss):
    assert sections(loss.doc)[""].split("\n\n")[0] == loss.summary
    assert loss.summary.endswith(".")
    assert len(loss.summary) <= 110


@every_loss
def test_every_quantity_is_explained_with_its_shape(loss):
    explained = entries(sections(loss.doc)["Quantities"])
    assert list(explained) == list(loss.quantities)
    for name, quantity in loss.quantities.items():
        dimensions = quantity.shape.removeprefix("list of [").removesuffix("]").split()
        prefix = "list of " if quantity.shape.startswith("list of ") else ""
        assert explained[name].startswith(f"{prefix}`[{', '.join(dimensions)}]`")


@every_loss
def test_every_option_is_explained_with_its_default(loss):
    explained = entries(sections(loss.doc)["Options"]) if loss.options else {}
    assert list(explained) == list(loss.options)
    for name, option in loss.options.items():
        (said,) = re.findall(r"default ([\w.-]*\w)", explained[name])
        assert (said if isinstance(option.default, str) else json.loads(said)) == option.default


@every_loss
def test_the_source_is_the_one_it_declares(loss):
    assert loss.source.split(",")[0].lower() in " ".join(sections(loss.doc)["Source"].split()).lower()
    for identifier in re.findall(r"arXiv:\S+\d", loss.source):
        assert identifier in sections(loss.doc)["Source"]


@every_loss
def test_the_example_is_true(loss):
    test = doctest.DocTestParser().get_doctest(loss.doc, {}, loss.name, None, None)
    report = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert result.failed == 0, "".join(report)
    assert any(example.want for example in test.examples), "the example shows no value"
    assert f"import {loss.name}\n" in test.docstring
