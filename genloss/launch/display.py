"""Who is told how a study goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from genloss.experiment.schema import Run
    from genloss.launch.scheduler import Study


class Display(Protocol):
    """Who is told how a study goes on."""

    def began(self, study: Study) -> None:
        """The workers are being started."""

    def progress(self, run: Run, message: Mapping[str, Any]) -> None:
        """A run has come so far: `step` and the `values` there, or `evaluating`."""

    def ended(self, run: Run, status: str, message: str) -> None:
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
    def ended(self, run: Run, status: str, message: str) -> None: ...
    def stopping(self) -> None: ...
    def note(self, text: str) -> None: ...
    def close(self) -> None: ...
