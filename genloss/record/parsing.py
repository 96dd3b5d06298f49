"""Reading untrusted JSON: anything unexpected is a RecordError."""

from __future__ import annotations

import json
from collections.abc import KeysView, Mapping
from pathlib import Path
from typing import Any, TypeVar

from genloss.errors import RecordError

T = TypeVar("T")

LARGEST = 2**53
"""The largest count, size or step: what a float64 still counts exactly."""

LATEST = 253_402_300_799_999
"""The largest time, in milliseconds since 1970: the end of the year 9999, behind which no calendar goes."""

_MISSING = object()


def read_json(path: Path) -> Any:
    """What a file of JSON says.

    Raises:
        RecordError: it is missing, cannot be read, or is not JSON.
    """
    try:
        return parse_json(path.read_bytes())
    except OSError as error:
        raise RecordError(f"`{path}` cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise RecordError(f"`{path}` cannot be read: {error}") from error


def parse_json(content: str | bytes) -> Any:
    """What JSON says.

    Raises:
        ValueError: it is not JSON, or is nested too deeply.
    """
    try:
        found = json.loads(content)
        written = json.dumps(found, ensure_ascii=False)
        try:
            written.encode()
        except UnicodeEncodeError:  # half of a character, which no file and no store takes
            found = json.loads(written.encode(errors="replace"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found


def whole(text: str, most: int = LARGEST) -> int | None:
    """The whole number that a text is, in plain digits; None where it is none, or one that is too large."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most))):
        return None
    return number if (number := int(text)) <= most else None


class Fields:
    """A mapping of JSON whose values are asked for with the type that they are to have.

    Args:
        content: what was read.
        what: what it is, for messages.

    Raises:
        RecordError: it is not a mapping; from the methods, a value is missing or is something else.
    """

    def __init__(self, content: Any, what: str = "it") -> None:
        if not isinstance(content, Mapping):
            raise RecordError(f"{what} is not a mapping")
        self._content: Mapping[str, Any] = content
        self._what = what

    def __contains__(self, name: str) -> bool:
        return self._content.get(name) is not None

    def names(self) -> KeysView[str]:
        """The names of all that it says, in the order in which it says them."""
        return self._content.keys()

    def text(self, name: str, default: Any = _MISSING) -> str:
        """A text."""
        return self._typed(name, str, default)

    def flag(self, name: str, default: Any = _MISSING) -> bool:
        """True or false."""
        return self._typed(name, bool, default)

    def count(self, name: str, default: Any = _MISSING, *, least: int = 0, most: int = LARGEST) -> int:
        """A whole number within bounds."""
        value: int = self._typed(name, int, default)
        if isinstance(value, bool) or not least <= value <= most:
            raise self._wrong(name)
        return value

    def time(self, name: str) -> int:
        """Milliseconds since 1970."""
        return self.count(name, most=LATEST)

    def texts(self, name: str, default: Any = _MISSING) -> dict[str, str]:
        """A mapping of texts."""
        found: dict[str, str] = self._typed(name, dict, default)
        if not all(isinstance(value, str) for value in found.values()):
            raise self._wrong(name)
        return found

    def numbers(self, name: str) -> dict[str, float]:
        """A mapping of numbers; those that are not finite are numbers, too."""
        found: dict[str, Any] = self._typed(name, dict, _MISSING)
        try:
            return {key: _number(value) for key, value in found.items()}
        except (TypeError, OverflowError):
            raise self._wrong(name) from None

    def mapping(self, name: str) -> dict[str, Any]:
        """A mapping of anything."""
        found: dict[str, Any] = self._typed(name, dict, _MISSING)
        return found

    def fields(self, name: str) -> Fields:
        """A mapping in it."""
        if name not in self._content:
            raise self._wrong(name)
        return Fields(self._content[name], f"{self._what} says that `{name}`")

    def list(self, name: str, default: Any = _MISSING) -> list[Any]:
        """A list."""
        found: list[Any] = self._typed(name, list, default)
        return found

    def _typed(self, name: str, kind: type[T], default: Any) -> T:
        value = self._content.get(name, default)
        if not isinstance(value, kind):
            raise self._wrong(name)
        return value

    def _wrong(self, name: str) -> RecordError:
        if name not in self._content:
            return RecordError(f"{self._what} does not say `{name}`")
        value = repr(self._content[name])
        return RecordError(f"{self._what} says for `{name}`: {value[:60]}")


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)
