"""What a definition's docstring says, section by section."""

from __future__ import annotations

import re

from genloss.conformance.suite import Nonconformity
from genloss.contracts.definition import Definition

SECTION = re.compile(r"^([A-Z][a-z]+):(?=\s|$)", re.MULTILINE)
ENTRY = re.compile(r"^\s+((?:\w+, )*\w+): ", re.MULTILINE)


def sections(doc: str) -> dict[str, str]:
    """The text of each section `Name:`, and of what stands before the first as the section ``."""
    parts = SECTION.split(doc)
    return {"": parts[0].strip()} | {
        name: text for name, text in zip(parts[1::2], parts[2::2], strict=True) if text.strip()
    }


def entries(section: str) -> list[str]:
    """The names that a section explains, each as `name: …`, or several as `one, other: …`."""
    return [name for names in ENTRY.findall(section) for name in names.split(", ")]


def check_docstring(definition: Definition, *needed: str) -> None:
    """Raises unless there are a summary, the needed sections, and an explanation of each option.

    Raises:
        Nonconformity: naming what is missing.
    """
    what = f"{definition.kind} `{definition.name}`"
    found = sections(definition.doc)
    if not definition.summary.endswith((".", "?")) or found[""].split("\n\n")[0] != definition.summary:
        raise Nonconformity(
            f"the docstring of {what} must begin with one sentence in one line, got {definition.summary!r}",
            hint="it is what `genloss list` shows; a blank line follows it",
        )
    for section in (*needed, *(["Options"] if definition.options else [])):
        if section not in found:
            raise Nonconformity(
                f"the docstring of {what} has no section `{section}:`, or nothing in it",
                hint="it has " + ", ".join(f"`{name}:`" for name in found if name)
                if len(found) > 1
                else None,
            )
    explained = entries(found.get("Options", ""))
    for option in definition.options:
        if option not in explained:
            raise Nonconformity(
                f"the docstring of {what} does not explain its option `{option}`",
                hint=f"add the line `{option}: …` to the section `Options:`",
            )
    for name in explained:
        if name not in definition.options:
            raise Nonconformity(
                f"the docstring of {what} explains an option `{name}`, which it does not have"
            )
