"""What docstrings say, section by section, and name by name."""

from __future__ import annotations

import re
import textwrap

SECTION = re.compile(r"^([A-Z][a-z]+):(?=\s|$)", re.MULTILINE)
ENTRY = re.compile(r"^(\w+(?:, \w+)*): ", re.MULTILINE)


def section(doc: str, name: str) -> str:
    """The text of the section `name:`, without its indentation; empty where there is none."""
    parts = SECTION.split(textwrap.dedent(doc))
    return textwrap.dedent(dict(zip(parts[1::2], parts[2::2], strict=True)).get(name, ""))


def explanations(doc: str, name: str) -> dict[str, str]:
    """What a section says about each name, written as `name: …`, or as `one, other: …` for several."""
    parts = ENTRY.split(section(doc, name))
    return {
        each: " ".join(text.split())
        for names, text in zip(parts[1::2], parts[2::2], strict=True)
        for each in names.split(", ")
    }
