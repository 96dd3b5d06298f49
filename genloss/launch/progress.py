"""Displays of the progress of a study."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from genloss.experiment.schema import Run
    from genloss.launch.study import Study
    from genloss.record.events import Status

UNWRITABLE = (OSError, ValueError)
"""What is raised where output cannot be written; ValueError by a file that is closed."""


class Display(Protocol):
    """Displays of the progress of a study."""

    def began(self, study: Study) -> None:
        """The workers are being started."""

    def progress(self, run: Run, message: Mapping[str, Any]) -> None:
        """A run has come so far: `step`, and the `values` there or what it is `evaluating`."""

    def ended(self, run: Run, status: Status, message: str) -> None:
        """A run has ended."""

    def stopping(self) -> None:
        """The runs are being ended before their last step."""

    def note(self, text: str) -> None:
        """Something that a person should know."""

    def close(self) -> None:
        """Nothing more will be told."""


class Silence:
    """A display that shows nothing."""

    def began(self, study: Study) -> None: ...
    def progress(self, run: Run, message: Mapping[str, Any]) -> None: ...
    def ended(self, run: Run, status: Status, message: str) -> None: ...
    def stopping(self) -> None: ...
    def note(self, text: str) -> None: ...
    def close(self) -> None: ...


class Steady:
    """A display whose output may fail, as where a notebook's or a terminal's other end is gone.

    Args:
        display: what it passes all on to.
    """

    def __init__(self, display: Display) -> None:
        self._display = display

    def began(self, study: Study) -> None:
        with suppress(*UNWRITABLE):
            self._display.began(study)

    def progress(self, run: Run, message: Mapping[str, Any]) -> None:
        with suppress(*UNWRITABLE):
            self._display.progress(run, message)

    def ended(self, run: Run, status: Status, message: str) -> None:
        with suppress(*UNWRITABLE):
            self._display.ended(run, status, message)

    def stopping(self) -> None:
        with suppress(*UNWRITABLE):
            self._display.stopping()

    def note(self, text: str) -> None:
        with suppress(*UNWRITABLE):
            self._display.note(text)

    def close(self) -> None:
        with suppress(*UNWRITABLE):
            self._display.close()
