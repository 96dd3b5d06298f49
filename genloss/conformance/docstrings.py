"""What every definition's docstring must say."""

from __future__ import annotations

from genloss.conformance.suite import Nonconformity
from genloss.contracts.definition import Definition
from genloss.contracts.docstrings import explanations, sections


def check_docstring(definition: Definition, *needed: str) -> None:
    """Raise unless there are a summary, the needed sections, and an explanation of each option.

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
    explained = explanations(definition.doc, "Options")
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
