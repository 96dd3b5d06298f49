"""The runs of a comparison, with their metrics and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genloss.record.events import Status
from genloss.record.parsing import Fields

if TYPE_CHECKING:
    from genloss.record.folder import RunFolder


@dataclass(frozen=True)
class Direction:
    """What a metric's number means: where it gets better, in which unit, by which version of the metric."""

    higher_is_better: bool
    unit: str
    version: str = "1"


def directions(said: Fields) -> dict[str, Direction]:
    """The metrics of a study, as its records and its tags have them.

    Raises:
        RecordError: they are something else.
    """
    found = {}
    for name in said.names():
        direction = said.fields(name)
        found[name] = Direction(
            direction.flag("higher_is_better"), direction.text("unit"), direction.text("version", "1")
        )
    return found


@dataclass(frozen=True)
class Cost:
    """The budget that a run used.

    Attributes:
        steps: done.
        updates: of each player, by its name: steps times its updates per step.
        seconds: that it was trained, without the pauses between attempts; NaN if it is not known.
        peak_memory: bytes: the worker's peak resident memory on the CPU, torch's peak allocated on a GPU;
            None if it is not known.
        device: `cpu`, or the device's name.
    """

    steps: int = 0
    updates: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory: int | None = None
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How one run ended.

    Attributes:
        status: FINISHED, FAILED, INTERRUPTED, PRUNED, RUNNING or NOT_STARTED.
        message: why it did not finish.
        hint: what to do about it.
        metrics: the last evaluation's `eval/…` numbers by name; NaN where one is not finite.
        reproduce: the shell's line that trains it alone.
        sets: what its objective's `with` sets, by dotted path.
        base: the objective that it is a point of, in a sweep or a search; empty where it is none.
        point: the values of the sweep or the search, by dotted path.
        trial: its objective's number in a search; None where it is not a trial.
        configuration: all that was decided for it, as MLflow's params have it.
        code: digests of the code and the files that it used; see planning/provenance.py.
        data_digest: of the data that it was trained on.
        skipped: updates of each player that were skipped, as their gradients were not finite.
        run_id: MLflow's, if it is known.
        folder: where its record is, if it is here.
    """

    name: str
    objective: str
    seed: int
    status: Status
    message: str = ""
    hint: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    reproduce: str = ""
    study: str = ""
    cost: Cost = Cost()
    sets: Mapping[str, Any] = field(default_factory=dict)
    base: str = ""
    point: Mapping[str, Any] = field(default_factory=dict)
    trial: int | None = None
    configuration: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    data_digest: str = ""
    skipped: Mapping[str, int] = field(default_factory=dict)
    run_id: str | None = None
    folder: RunFolder | None = None

    def __repr__(self) -> str:
        return f"<run {self.name}: {self.status}>"
