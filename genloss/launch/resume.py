"""Resuming a study: what has finished is kept, what is missing goes on where its record ends.

    hold the launcher's lock
    compare what decides the numbers with what the study began with
    wait for workers of a launcher that died
    set aside runs whose journal is damaged or missing: they begin anew
    train what has not finished, as a first launch does

All of it is in the study's folder; the experiment's file is not needed.
"""

from __future__ import annotations

import json
import shlex
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from genloss import registry
from genloss.contracts.dataset import Data
from genloss.errors import Location, RecordError, RequestError
from genloss.experiment.options import calling
from genloss.experiment.schema import Experiment, Run
from genloss.experiment.source import MAPPING, again
from genloss.launch import fingerprint, remains
from genloss.launch.data import load_data
from genloss.launch.display import Display, Silence
from genloss.launch.execute import read_run
from genloss.launch.preparation import write_run
from genloss.launch.result import StudyResult, UnfinishedWarning
from genloss.launch.scheduler import Study
from genloss.launch.search import search_of
from genloss.launch.signals import Signals
from genloss.launch.spares import Spares
from genloss.launch.study import conduct
from genloss.record.folder import DONE, ROOT, StudyFolder, latest_study, read_record
from genloss.registry import Catalogue
from genloss.training.devices import Device, choose

LOCK_SECONDS = 2.0
"""Who only looks whether a launcher is at a study holds its lock for a moment."""

CONTENT = {
    "study": str,
    "created": int,
    "experiment": dict,
    "runs": list,
    "metrics": dict,
    "tags": dict,
    "data": dict,
    "devices": list,
    "fingerprint": dict,
    "tracking_uri": str,
    "experiment_name": str,
}
"""What study.json holds; see preparation.py."""


def resume(
    study: str | Path | None = None, *, allow_drift: bool = False, display: Display | None = None
) -> StudyResult:
    """Finishes what is missing of a study that was interrupted, or of which runs failed.

    Runs that have finished are kept. Each other one goes on from its newest checkpoint, under the same
    MLflow run, and ends with the very bits that it would have ended with. Warns as `genloss.run` does.

    Args:
        study: its name, or its folder in `.genloss` here; the last one by default.
        allow_drift: whether it may go on though what decides its numbers has changed since it began.
        display: told how it goes on; nobody by default.

    Raises:
        RequestError: there is no such study, or it would not be the same study any more.
        RecordError: another process is at it.
    """
    result = go_on(find(study), display or Silence(), allow_drift=allow_drift)
    if problem := result.summary():
        warnings.warn(problem, UnfinishedWarning, stacklevel=2)
    return result


def find(study: str | Path | None) -> StudyFolder:
    """A study of this folder; the last one where none is named.

    Raises:
        RequestError: there is none, or it is in another folder.
    """
    if study is None:
        latest = latest_study()
        if latest is None:
            raise RequestError(
                "there is no study in this folder",
                hint="`genloss run EXPERIMENT` makes one; it is resumed in the folder that it was run in",
            )
        return latest
    folder = StudyFolder.find(study)
    parent = folder.path.resolve().parent
    if parent != ROOT.resolve():
        raise RequestError(
            f"study `{folder.name}` was not run in this folder",
            hint=f"cd {shlex.quote(str(parent.parent))} && genloss resume {folder.name}",
        )
    return StudyFolder(ROOT / folder.name)


def go_on(folder: StudyFolder, display: Display, *, allow_drift: bool) -> StudyResult:
    """Trains what is missing, and waits until MLflow has it.

    Raises:
        RequestError: what decides its numbers has changed, and that is not allowed.
        RecordError: another process is at it, or its study.json is damaged.
    """
    with folder.locked(LOCK_SECONDS):
        content = folder.read()
        experiment, planned, devices = _written(folder, content)
        _tell_of_the_file(experiment, display.note)
        decided = [run for run in planned if not run.objective.is_open]
        for run in decided:
            _restore(folder, run)
        known = registry.catalogue(*experiment.plugins)
        data = _load(known, experiment)
        choose([device.name for device in devices], runs=1)  # a run stays on the device that it began on
        now = fingerprint.take(folder, experiment, {r.name: r.device for r in decided}, known, data.digest)
        drift = "; ".join(fingerprint.differences(content["fingerprint"], now))
        if drift and not allow_drift and _is_unfinished(folder, planned):
            raise RequestError(
                f"study `{folder.name}` would not go on as it began: {drift}",
                hint="`--allow-drift` goes on nevertheless: its runs are tagged with what has changed, and "
                "may compute other values than they have recorded",
            )
        with Signals() as signals:

            def stopped() -> bool:
                return signals.count > 0

            remains.wait_for_workers(folder, [run.name for run in planned], display.note, stopped)
            left = _left(folder, planned, display.note, stopped)
            finished = len(planned) - len(left)
            source = again(experiment) if experiment.search else None
            search = search_of(folder, experiment, planned, left, source, known, data, display.note)
            study = Study(folder, experiment, known, data, devices, left, finished, drift, search)
            return conduct(study, display, signals, Spares())


def _written(
    folder: StudyFolder, content: Mapping[str, Any]
) -> tuple[Experiment, list[Run], tuple[Device, ...]]:
    """The study, its runs and its devices, as they were written when it began.

    Raises:
        RecordError: that is not there, or is not what was written.
    """
    if "fingerprint" not in content:
        raise RecordError(f"study `{folder.name}` was begun by a genloss that could not resume")
    for name, kind in CONTENT.items():
        if not isinstance(content.get(name), kind):
            raise RecordError(f"`{folder.study}` is damaged: its `{name}` is not what was written")
    try:
        experiment = Experiment.model_validate_json(json.dumps(content["experiment"]))
        planned = [Run.model_validate_json(json.dumps(run)) for run in content["runs"]]
        return experiment, planned, tuple(Device(**device) for device in content["devices"])
    except (TypeError, ValueError) as error:
        raise RecordError(f"`{folder.study}` is damaged: {error}") from error


def _tell_of_the_file(experiment: Experiment, note: Callable[[str], None]) -> None:
    """Notes that the experiment's file says something else now, if it does."""
    if experiment.source == MAPPING:
        return
    try:
        text = Path(experiment.source).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return
    if text != experiment.text:
        note(f"`{experiment.source}` has changed since; the study goes on with what it began with")


def _restore(folder: StudyFolder, run: Run) -> None:
    """Writes a run's run.json again where it is missing or says nothing."""
    try:
        read_run(folder.run(run.name))
    except RecordError:
        write_run(folder, run)


def _load(known: Catalogue, experiment: Experiment) -> Data:
    with calling(known.datasets[experiment.data.name], "loaded", Location(experiment.source)):
        return load_data(known, experiment.data)


def _is_unfinished(folder: StudyFolder, planned: Iterable[Run]) -> bool:
    return bool(folder.unfinished()) or any(remains.damage(folder.run(run.name)) for run in planned)


def _left(
    folder: StudyFolder,
    planned: Iterable[Run],
    note: Callable[[str], None],
    stopped: Callable[[], bool],
) -> tuple[Run, ...]:
    """The runs that have not finished, each with a folder to go on in; and the trials that are still open."""
    left = []
    for run in planned:
        own = folder.run(run.name)
        if run.objective.is_open:
            left.append(run)
            continue
        if why := remains.damage(own):
            remains.wait_for_tracker(folder, stopped)
            if stopped():
                left.append(run)
                continue
            aside = remains.set_aside(own)
            note(f"{why}; it begins anew, and what is left of it is in `{aside.path}`")
        elif read_record(own, values=False).status in DONE:
            continue
        else:
            remains.close(own)
        left.append(read_run(own))
    return tuple(left)
