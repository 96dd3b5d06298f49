"""Plain scalars of YAML: numbers, booleans, null and text."""

from __future__ import annotations

import math
import re

from genloss.experiment.nodes import MAX_DIGITS, Scalar, finite

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = {re.compile(r"0o[0-7]+"): 8, re.compile(r"0x[0-9a-fA-F]+"): 16}
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)


def resolved(text: str) -> Scalar:
    """A plain scalar's value after YAML 1.2's core schema.

    Raises:
        ValueError: a number without a finite value.
    """
    if _NULL.fullmatch(text):
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    base = next((base for pattern, base in _BASED.items() if pattern.fullmatch(text)), None)
    if base is None and not _FLOAT.fullmatch(text):
        return text
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number has at most {MAX_DIGITS} digits")
    if base is not None:
        return int(text, base)
    if _INTEGER.fullmatch(text):
        return int(text)
    return finite(math.nan if text[-1].isalpha() else float(text), text)
