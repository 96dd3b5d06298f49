"""What is read from docstrings."""

import pytest

from genloss.contracts.docstrings import explanations, sections

DOC = """One line.

    More of it: not a section, since it is indented.

Formula:
    a + b

Options:
    first: in one line.
    second, third: in
        two lines: with a colon.

Source: one line.
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [("Formula", "\na + b\n\n"), ("Source", "one line.\n"), ("Example", "")],
)
def test_a_section(name, text):
    assert sections(DOC).get(name, "") == text


def test_what_is_said_of_each_name():
    assert explanations(DOC, "Options") == {
        "first": "in one line.",
        "second": "in two lines: with a colon.",
        "third": "in two lines: with a colon.",
    }
    assert explanations(DOC, "Source") == {}
    assert explanations("", "Options") == {}
