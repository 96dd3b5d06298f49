"""Resuming a study: what has finished is kept, what is missing goes on where its record ends.

    hold the launcher's lock
    look for files where the project lies now; run no code that the user has not run before
    compare what decides the numbers with what the study began with
    wait for workers of a launcher that died
    set aside runs whose journal is damaged or missing: they start over
    train what has not finished, as a first launch does

All of it is in the study's folder; the experiment's file is not needed.
"""

from __future__ import annotations

import json
import os
import shlex
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from genloss.contracts.dataset import Data
from genloss.errors import ExperimentError, Location, RecordError, RequestError
from genloss.experiment.schema import Experiment, Run
from genloss.experiment.source import MAPPING, again
from genloss.launch import fingerprint, recovery
from genloss.launch.execute import read_run
from genloss.launch.forkserver import ForkServers
from genloss.launch.moved import relocated
from genloss.launch.preparation import rewrite, write_run
from genloss.launch.progress import Display, Silence, Steady
from genloss.launch.result import StudyResult, UnfinishedWarning
from genloss.launch.run import conduct
from genloss.launch.search import search_of
from genloss.launch.signals import Signals
from genloss.launch.study import Study
from genloss.planning.options import calling
from genloss.planning.provenance import used
from genloss.record.folder import ROOT, StudyFolder, latest_study, read_state
from genloss.record.owner import LOCK_SECONDS
from genloss.registry import code, trust
from genloss.registry.catalogue import Catalogue, of_code
from genloss.registry.code import Code
from genloss.registry.plugin import refuse_while_loading
from genloss.tracking import allowed
from genloss.training.devices import Device, choose

THEN = ", then "
"""Stands between the code that a run began with and the code that it goes on by."""

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
    study: str | Path | None = None,
    *,
    plugins: Sequence[str | Path] = (),
    allow_drift: bool = False,
    tracking_uri: str | None = None,
    display: Display | None = None,
) -> StudyResult:
    """Finishes what is missing of a study that was interrupted, or of which runs failed.

    Runs that have finished are kept. Each other one goes on from its newest checkpoint, under the same
    MLflow run, and ends with the very bits that it would have ended with. Warns as `genloss.run` does.

    Args:
        study: its name, or its folder in `.genloss` here; the last one by default.
        plugins: plugin files of the study that may be run though you have not run them as they are, or that
            lie elsewhere now.
        allow_drift: whether it may go on though what decides its numbers has changed since it began.
        tracking_uri: of MLflow's store; by default, the one that the study is recorded in, if it is a file
            here, or if MLflow's own setting or the experiment's file names it.
        display: told how it goes on; nobody by default.

    Raises:
        RequestError: there is no such study, or it would not be the same study any more.
        RecordError: another process is at it.
        TrackingError: nothing but the study names its store.
    """
    refuse_while_loading("genloss.resume")
    result = go_on(
        find(study),
        Steady(display or Silence()),
        plugins=plugins,
        allow_drift=allow_drift,
        tracking_uri=tracking_uri,
    )
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
    if folder.path.resolve().parent != ROOT.resolve():
        place = folder.working_folder or folder.path.resolve().parents[1]
        raise RequestError(
            f"study `{folder.name}` was not run in this folder",
            hint=f"cd {shlex.quote(str(place))} && genloss resume {folder.name}",
        )
    return StudyFolder(ROOT / folder.name)


def go_on(
    folder: StudyFolder,
    display: Display,
    *,
    plugins: Sequence[str | Path] = (),
    allow_drift: bool,
    tracking_uri: str | None = None,
) -> StudyResult:
    """Train what is missing, and wait until MLflow has it.

    Raises:
        RequestError: what decides its numbers has changed, and that is not allowed; or it is code of others.
        RecordError: another process is at it, or its study.json is damaged.
        TrackingError: nothing but the study names its store.
    """
    with folder.locked(LOCK_SECONDS) as begin:
        given = [code.read(plugin) for plugin in plugins]
        written = folder.read()
        content = relocated(written, given)
        experiment, planned, devices = _written(folder, content)
        uri = allowed.store_of(folder, content, tracking_uri)
        _tell_of_the_file(experiment, display.note)
        codes = _codes(folder, experiment, content["fingerprint"], given)
        decided = [run for run in planned if not run.objective.is_open]
        for run in decided:
            _restore(folder, run)
        if any(content[name] != written[name] for name in ("experiment", "runs")):
            rewrite(folder, content, decided)
        for run in decided:
            _check(folder, run)
        known = of_code(*codes)
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
        with Signals() as signals, ForkServers() as servers:

            def stopped() -> bool:
                return signals.count > 0

            recovery.wait_for_workers(folder, [run.name for run in planned], display.note, stopped)
            left = _left(folder, planned, display.note, stopped)
            if drift:
                left = _with_code(folder, left, known, data)
            finished = len(planned) - len(left)
            source = again(experiment) if experiment.search else None
            search = search_of(folder, experiment, planned, left, source, known, data, display.note)
            study = Study(folder, experiment, known, data, devices, left, finished, drift, search)
            begin()
            return conduct(study, uri, display, signals, servers)


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


def _codes(
    folder: StudyFolder, experiment: Experiment, then: Mapping[str, str], given: Sequence[Code]
) -> list[Code]:
    """The code of the study's plugin files, all of which may be run.

    Raises:
        RequestError: one is gone, or is not what the user has run before or named now.
    """
    trust.remember(given)
    again = f"genloss resume {folder.name}"
    found = []
    for file in experiment.plugins:
        try:
            own = code.read(file)
        except ExperimentError as error:
            error.hint = f"`{again} --plugin FILE` names it where it lies now"
            raise
        if not trust.knows(own):
            name = shlex.quote(os.path.relpath(own.path))
            before = then.get(f"plugin {own.path.name}", "").partition(" ")[0]
            if before != own.version:
                raise RequestError(
                    f"study `{folder.name}` would not go on as it began: plugin {own.path.name} "
                    f"{before or 'missing'}, now {own.version}",
                    hint=f"`{again} --allow-drift --plugin {name}` goes on by what it says now",
                )
            raise RequestError(
                f"study `{folder.name}` would run the code of `{own.path}`, which you have not run before",
                hint=f"read it; `{again} --plugin {name}` runs it",
            )
        found.append(own)
    return found


def _check(folder: StudyFolder, run: Run) -> None:
    """Return whether a worker would run no other plugins than the study's.

    Raises:
        RecordError: it would.
    """
    path = folder.run(run.name)
    if read_run(path).plugins != run.plugins:
        raise RecordError(f"`{path.run}` is damaged: it names other plugins than `{folder.study}`")


def _with_code(folder: StudyFolder, left: Sequence[Run], known: Catalogue, data: Data) -> tuple[Run, ...]:
    """The runs, with the code that they go on by: seeds of different code are not joined."""
    changed = []
    for run in left:
        if run.objective.is_open or not run.code:
            continue
        now = used(run.data, run.objective, run.evaluation, known, data.digest)
        if read_state(folder.run(run.name)).steps:
            for name, before in run.code.items():
                if name in now and before.rpartition(THEN)[2] != now[name]:
                    now[name] = f"{before}{THEN}{now[name]}"
        if now != run.code:
            changed.append(run.model_copy(update={"code": now}))
    if changed:
        rewrite(folder, folder.read(), changed)
    by_name = {run.name: run for run in changed}
    return tuple(by_name.get(run.name, run) for run in left)


def _tell_of_the_file(experiment: Experiment, note: Callable[[str], None]) -> None:
    """Note that the experiment's file says something else now, if it does."""
    if experiment.source == MAPPING:
        return
    try:
        text = Path(experiment.source).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return
    if text != experiment.text:
        note(f"`{experiment.source}` has changed since; the study goes on with what it began with")


def _restore(folder: StudyFolder, run: Run) -> None:
    """Write a run's run.json again where it is missing or says nothing."""
    try:
        read_run(folder.run(run.name))
    except RecordError:
        write_run(folder, run)


def _load(known: Catalogue, experiment: Experiment) -> Data:
    """The data as they are now: what this process has loaded before may have changed since."""
    definition = known.datasets[experiment.data.name]
    with calling(definition, "loaded", Location(experiment.source)):
        loaded: Data = definition.configured(experiment.data.options)()
        return loaded


def _is_unfinished(folder: StudyFolder, planned: Iterable[Run]) -> bool:
    return bool(folder.unfinished()) or any(recovery.damage(folder.run(run.name)) for run in planned)


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
        if why := recovery.damage(own):
            recovery.wait_for_tracker(folder, stopped)
            if stopped():
                left.append(run)
                continue
            aside = recovery.set_aside(own)
            note(f"{why}; it starts over, and what is left of it is in `{aside.path}`")
        elif read_state(own).status.is_done:
            continue
        else:
            recovery.close(own)
        left.append(read_run(own))
    return tuple(left)
