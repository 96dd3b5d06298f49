"""What docstrings say, section by section, and name by name."""

from __future__ import annotations

import re
import textwrap

SECTION = re.compile(r"^([A-Z][a-z]+):(?=\s|$)", re.MULTILINE)
ENTRY = re.compile(r"^(\w+(?:, \w+)*): ", re.MULTILINE)


def sections(doc: str) -> dict[str, str]:
    """The text of each section `Name:` that has some; what stands before the first is the section ``."""
    parts = SECTION.split(textwrap.dedent(doc))
    return {"": parts[0].strip()} | {
        name: textwrap.dedent(text)
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
        if text.strip()
    }


def explanations(doc: str, name: str) -> dict[str, str]:
    """What a section says about each name, written as `name: …`, or as `one, other: …` for several."""
    parts = ENTRY.split(sections(doc).get(name, ""))
    return {
        each: " ".join(text.split())
        for names, text in zip(parts[1::2], parts[2::2], strict=True)
        for each in names.split(", ")
    }
