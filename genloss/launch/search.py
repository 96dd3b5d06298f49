"""A study's search: it chooses the values of trials when a worker is free, and prunes those that are worse.

    all trials are runs of the study from the beginning, open ones
    a worker is free:  choose the next one's values by what the trials before came to
                       write them into study.json, and the run's run.json; then it is trained as any other is
    an evaluation:     the run waits until it is told whether it goes on
    the run ends:      its trial has its value, the metric's mean over the seeds

All that a search knows is read from the records. A launcher that died between choosing and training finds the
values in study.json; one that died before chooses the same again.

Of several seeds, the first is trained first, and it alone decides whether the trial goes on: its numbers are
compared with those of the same seed. The seeds after it are trained once it has finished.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from genloss.contracts.dataset import Data
from genloss.errors import RecordError
from genloss.experiment.schema import Experiment, Run
from genloss.experiment.schema import Search as Settings
from genloss.experiment.source import Source
from genloss.launch import fingerprint
from genloss.launch.preparation import write_run
from genloss.launch.queue import Queue
from genloss.planning import suggest
from genloss.planning.provenance import used
from genloss.planning.suggest import Trial
from genloss.planning.trials import Trials, command, direction
from genloss.record.events import Status
from genloss.record.folder import StudyFolder, read_state
from genloss.record.state import RunState
from genloss.registry.catalogue import Catalogue


@dataclass
class _Trial:
    """A trial with its runs, the first seed's first; what is known of it, once its values are chosen."""

    base: str
    number: int
    runs: list[Run]
    known: Trial | None = None
    finished: set[str] = field(default_factory=set)


class Search(Queue):
    """The queue of a study that searches.

    Args:
        folder: the study's.
        experiment: the study's, with its trials.
        planned: all of its runs.
        left: those that have not ended.
        trials: makes the objectives of chosen values.
        higher_is_better: whether the metric is better where it is higher.
        catalogue: what the study's plugins offer.
        digest: the data's.
        note: told what the user should know.
    """

    def __init__(
        self,
        folder: StudyFolder,
        experiment: Experiment,
        planned: Sequence[Run],
        left: Sequence[Run],
        trials: Trials,
        catalogue: Catalogue,
        digest: str,
        *,
        higher_is_better: bool,
        note: Callable[[str], None],
    ) -> None:
        assert experiment.search is not None
        super().__init__(())
        self._folder = folder
        self._experiment = experiment
        self._settings: Settings = experiment.search
        self._make = trials
        self._catalogue = catalogue
        self._digest = digest
        self._higher = higher_is_better
        self._note = note
        self._trials: dict[str, _Trial] = {}
        for run in planned:
            trial = _Trial(run.objective.base, run.objective.trial or 0, [])
            self._trials.setdefault(run.objective.name, trial).runs.append(run)
        # All objectives have their first trial, then their second: what an interrupted search has is fair.
        self._order = sorted(self._trials.values(), key=lambda trial: trial.number)
        self._restore({run.name for run in left})

    def next(self, device: str) -> Run | None:
        """Take a run that waits, or chooses the values of the next trial."""
        waiting = super().next(device)
        if waiting is not None:
            return waiting
        trial = next((trial for trial in self._order if trial.known is None), None)
        if trial is None:
            return None
        try:
            self._choose(trial, device)
        except (OSError, RecordError) as error:
            self._note(f"no more trials are begun, as their values cannot be written: {error}")
            self.clear()
            return None
        return trial.runs[0]

    def again(self, run: Run) -> None:
        self._known(run).state = "running"
        super().again(run)

    def clear(self) -> None:
        super().clear()
        self._order = []

    def ended(self, run: Run, status: Status, /) -> None:
        trial, known = self._trials[run.objective.name], self._known(run)
        if status == Status.FINISHED:
            trial.finished.add(run.name)
            if run.name == trial.runs[0].name and self._order:
                self._waiting += trial.runs[1:]
            self._conclude(trial)
        elif status == Status.PRUNED:
            known.state = "pruned"
            self._drop(trial)
        elif status == Status.FAILED:
            known.state = "failed"

    def is_prunable(self, run: Run, /) -> bool:
        return self._settings.pruner != "none" and run.seed == self._trials[run.objective.name].runs[0].seed

    def is_pruned(self, run: Run, step: int, numbers: Mapping[str, float], /) -> bool:
        trial, known = self._trials[run.objective.name], self._known(run)
        key = f"eval/{self._settings.metric}"
        if key not in numbers:
            return False
        known.numbers[step] = numbers[key]
        known.numbers = {at: number for at, number in known.numbers.items() if at <= step}
        return suggest.is_pruned(
            self._settings.space_of(trial.base),
            self._history(trial.base),
            trial.number,
            higher_is_better=self._higher,
        )

    def _history(self, base: str) -> list[Trial]:
        """The trials of an objective so far, in the order of their numbers."""
        own = (trial for trial in self._trials.values() if trial.base == base)
        return [trial.known for trial in own if trial.known is not None]

    def _read(self, run: Run) -> RunState:
        try:
            return read_state(self._folder.run(run.name))
        except RecordError:  # it is damaged, and starts over
            return RunState()

    def _known(self, run: Run) -> Trial:
        known = self._trials[run.objective.name].known
        assert known is not None
        return known

    def _restore(self, left: set[str]) -> None:
        """Record from the records what the trials so far came to."""
        for trial in self._order:
            first = trial.runs[0]
            if first.objective.is_open:
                continue
            known = trial.known = Trial(first.objective.point)
            record = self._read(first)
            key = f"eval/{self._settings.metric}"
            known.numbers = {s: numbers[key] for s, numbers in record.evaluations.items() if key in numbers}
            if record.status == Status.PRUNED:
                known.state = "pruned"
                self._drop(trial)
                continue
            trial.finished = {run.name for run in trial.runs if run.name not in left}
            unfinished = [run for run in trial.runs if run.name in left]
            self._waiting += [first] if first in unfinished else unfinished
            self._conclude(trial)

    def _choose(self, trial: _Trial, device: str) -> None:
        space = self._settings.space_of(trial.base)
        point = suggest.next_point(
            self._settings, space, self._history(trial.base), trial.base, higher_is_better=self._higher
        )
        objective = self._make.objective(trial.base, trial.number, point)
        settings = self._experiment.evaluation
        code = used(self._experiment.data, objective, settings, self._catalogue, self._digest)
        chosen = [
            run.model_copy(
                update={
                    "objective": objective,
                    "device": device,
                    "reproduce": command(run.reproduce, objective),
                    "code": code,
                }
            )
            for run in trial.runs
        ]
        for run in chosen:
            write_run(self._folder, run)
        content = self._folder.read()
        names = {run.name: run.model_dump(mode="json", by_alias=True) for run in chosen}
        content["runs"] = [names.get(run["name"], run) for run in content["runs"]]
        own = objective.model_dump(mode="json", by_alias=True)
        objectives = content["experiment"]["objectives"]
        content["experiment"]["objectives"] = [own if o["name"] == own["name"] else o for o in objectives]
        experiment = self._experiment.model_copy(update={"objectives": (objective,)})
        devices = {run.name: run.device for run in chosen}
        now = fingerprint.take(self._folder, experiment, devices, self._catalogue, self._digest)
        content["fingerprint"] = {**now, **content["fingerprint"]}
        self._folder.write(content)
        trial.runs = chosen
        trial.known = Trial(point)

    def _conclude(self, trial: _Trial) -> None:
        """Return a trial its value, once all of its runs have finished."""
        if trial.known is None or len(trial.finished) < len(trial.runs):
            return
        key = f"eval/{self._settings.metric}"
        value = statistics.fmean(self._read(run).final.get(key, math.nan) for run in trial.runs)
        trial.known.state = "finished" if math.isfinite(value) else "failed"
        trial.known.value = value if math.isfinite(value) else None

    def _drop(self, trial: _Trial) -> None:
        """Take the other seeds of a trial that was pruned out of the study: they are never trained."""
        dropped = {run.name for run in trial.runs[1:]}
        trial.runs = trial.runs[:1]
        if not dropped:
            return
        try:
            content = self._folder.read()
            content["runs"] = [run for run in content["runs"] if run["name"] not in dropped]
            self._folder.write(content)
        except (OSError, RecordError) as error:
            self._note(f"that `{trial.runs[0].name}` was pruned could not be written to study.json: {error}")


def search_of(
    folder: StudyFolder,
    experiment: Experiment,
    planned: Sequence[Run],
    left: Sequence[Run],
    source: Source | None,
    catalogue: Catalogue,
    data: Data,
    note: Callable[[str], None],
) -> Search | None:
    """The search of a study, if it searches.

    Args:
        folder: the study's.
        experiment: the study's, with its trials.
        planned: all of its runs.
        left: those that have not ended.
        source: the experiment as it was written.
        catalogue: what the study's plugins offer.
        data: loaded.
        note: told what the user should know.
    """
    if experiment.search is None or source is None:
        return None
    suggest.require()
    return Search(
        folder,
        experiment,
        planned,
        left,
        Trials(source, catalogue, data),
        catalogue,
        data.digest,
        higher_is_better=direction(experiment.search, experiment.evaluation, catalogue),
        note=note,
    )
