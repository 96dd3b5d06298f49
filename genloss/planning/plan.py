"""A plan: a checked experiment with its data and devices, and its runs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloss.errors import DeviceError, ExperimentError, Location, RequestError
from genloss.experiment.files import existing
from genloss.experiment.nodes import Node, from_python, show
from genloss.experiment.read import Draft, read
from genloss.experiment.readers import suggestion
from genloss.experiment.schema import Experiment, Objective, Run
from genloss.experiment.search import with_trials
from genloss.experiment.source import MAPPING, Source, from_file, from_mapping
from genloss.planning.check import check
from genloss.planning.metrics import metric_remarks
from genloss.planning.provenance import used
from genloss.planning.remarks import Remark, seeds_remark
from genloss.planning.store import check_store
from genloss.registry import trust
from genloss.registry.catalogue import Catalogue, catalogue
from genloss.text import one_line

if TYPE_CHECKING:
    from genloss.contracts.dataset import Data
    from genloss.planning.work import Size
    from genloss.training.devices import Device

DECIDED = re.compile(r"\s*(seeds|workers|threads|tracking|search)\s*[.=]")
"""Overrides that a run's own line does not repeat."""


@dataclass(frozen=True)
class Plan:
    """What a study will do.

    Attributes:
        experiment: checked, with the chosen objectives.
        source: what was written, overrides included.
        catalogue: what its plugins offer.
        data: loaded.
        devices: those that it trains on.
        plugins: plugin files that were given beside the experiment, as they were given.
        first_trials: of a search, the first one of each objective.
        remarks: what is allowed, and probably not meant.
        sizes: what training takes, by objective; of a search, by first trial.
    """

    experiment: Experiment
    source: Source
    catalogue: Catalogue
    data: Data
    devices: tuple[Device, ...]
    plugins: tuple[Path, ...] = ()
    first_trials: tuple[Objective, ...] = ()
    remarks: tuple[Remark, ...] = ()
    sizes: Mapping[str, Size] = field(default_factory=dict)


def plan(
    source: Path | str | Mapping[str, Any],
    *,
    plugins: Sequence[Path | str] = (),
    overrides: Sequence[str] | Mapping[str, Any] = (),
    objectives: Sequence[str] = (),
    once_read: Callable[[Experiment], None] = lambda _: None,
) -> Plan:
    """Read and checks an experiment; trains nothing.

    Args:
        source: a YAML file, or what one would hold.
        plugins: plugin files, besides those that the experiment names.
        overrides: values that replace the experiment's: `training.steps=50`, or a mapping of values by path.
        objectives: only these; all by default. The name of one with points is all of its points.
        once_read: given the experiment when it has been read, and is still to be checked.

    Raises:
        RequestError: the experiment is wrong, with the place of the mistake and what to do.
    """
    for name, given in (("plugins", plugins), ("overrides", overrides), ("objectives", objectives)):
        if isinstance(given, str | bytes | Path):
            raise ExperimentError(
                f"`{name}` is a list, not the text {show(str(given))}",
                hint=f"write `{name}=[{str(given)!r}]`",
            )
    written = from_mapping(source) if isinstance(source, Mapping) else from_file(source)
    draft = _select(read(written.overridden(_texts(overrides))), objectives)
    once_read(draft.experiment)
    added = tuple(Path(plugin) for plugin in plugins)
    files = _plugin_files(draft, added)
    known = _catalogue(files)
    trust.remember(plugin.code for plugin in known.plugins if plugin.code is not None)
    experiment, data = check(draft, known)
    experiment = experiment.model_copy(update={"plugins": tuple(files)})
    devices = _devices(experiment, draft.source.root)
    root = draft.source.root
    remarks: list[Remark] = [*seeds_remark(root), *check_store(experiment, root)]

    from genloss.planning.dry_run import dry_run  # imports torch, which a misspelt key need not wait for
    from genloss.training.devices import busy, requested

    tried, first = draft, experiment
    if experiment.search is not None:
        from genloss.planning.trials import check_search

        tried, first = check_search(draft, experiment, experiment.search, known, data)
    remarked, sizes = dry_run(tried, first, known, data, devices=devices)
    remarks += remarked
    if experiment.threads is None and requested() is None:
        devices = busy(devices, max(size.work.threads for size in sizes.values()))
    trials = first.objectives if experiment.search is not None else ()
    if experiment.evaluation is not None:
        place = root.items["evaluation"]
        remarks += metric_remarks(experiment.evaluation, place, catalogue=known, data=data)
    return Plan(experiment, draft.source, known, data, devices, added, trials, tuple(remarks), sizes)


def runs(plan: Plan, study: str) -> tuple[Run, ...]:
    """The runs of a plan: all objectives with the first seed, then with the next, so that what an interrupted
    study has can be compared. Runs are dealt out to the workers of the devices in turn.

    Those of a search are its trials', still open: their values are chosen when a worker is free.
    """
    experiment = with_trials(plan.experiment)
    slots = [device for device in plan.devices for _ in range(device.workers)]
    code = {
        objective.name: used(
            experiment.data, objective, experiment.evaluation, plan.catalogue, plan.data.digest
        )
        for objective in experiment.objectives
    }
    pairs = [(objective, seed) for seed in experiment.seeds for objective in experiment.objectives]
    return tuple(
        Run(
            study=study,
            name=f"{objective.name}-{seed}",
            experiment=experiment.name,
            plugins=experiment.plugins,
            data=experiment.data,
            objective=objective,
            seed=seed,
            device=slots[index % len(slots)].name,
            threads=slots[index % len(slots)].threads,
            evaluation=experiment.evaluation,
            reproduce=_command(plan, study, objective, seed, slots[index % len(slots)].threads),
            code=code[objective.name],
        )
        for index, (objective, seed) in enumerate(pairs)
    )


def _command(plan: Plan, study: str, objective: Objective, seed: int, threads: int) -> str:
    """The shell's line that trains a run alone.

    It has as many threads as it had, and so the same bits.
    """
    experiment = plan.experiment
    file = experiment.source
    if experiment.source == MAPPING:
        file = f".genloss/{study}/experiment.yaml"
    others = [override for override in experiment.overrides if not DECIDED.match(override)]
    trial = objective.trial is not None
    words = ["genloss", "run", file, "--objective", objective.base if trial else objective.name]
    for override in [f"seeds=[{seed}]", f"threads={threads}", *(["search=null"] if trial else []), *others]:
        words += ["--set", override]
    for plugin in plan.plugins:
        words += ["--plugin", str(plugin)]
    return shlex.join(words)


def _texts(overrides: Sequence[str] | Mapping[str, Any]) -> Sequence[str]:
    """The overrides as `--set` has them."""
    if not isinstance(overrides, Mapping):
        return overrides
    plain = from_python(overrides).plain
    return [f"{path}={json.dumps(value, ensure_ascii=False)}" for path, value in plain.items()]


def _select(draft: Draft, names: Sequence[str]) -> Draft:
    """The experiment with only these objectives; the name of one with points is all of its points."""
    if not names:
        return draft
    objectives = draft.experiment.objectives
    known = dict.fromkeys(part for each in objectives for part in (each.base, each.name) if part)
    for name in names:
        if name not in known:
            raise ExperimentError(
                f"there is no objective {show(name)} in `{draft.source.name}`",
                where=Location(f"--objective {one_line(name)}"),
                hint=suggestion(name, known),
            )
    chosen = tuple(each for each in objectives if each.name in names or each.base in names)
    baseline = draft.experiment.baseline
    if baseline not in [each.name for each in chosen]:
        baseline = chosen[0].name
    update = {"objectives": chosen, "baseline": baseline, "chosen": tuple(names)}
    experiment = draft.experiment.model_copy(update=update)
    return replace(draft, experiment=experiment)


def _plugin_files(draft: Draft, given: Sequence[Path]) -> dict[str, Location]:
    """The plugin files of the experiment and of the command, absolute, with the places that name them."""
    node = draft.source.root.at("plugins")
    files = {file: node.at(index).where for index, file in enumerate(draft.experiment.plugins)}
    for file in given:
        where = Location(f"--plugin {file}")
        path = existing(str(file), Path.cwd(), where=where, what="plugin file", pattern="*.py")
        files.setdefault(path, where)
    return files


def _catalogue(files: Mapping[str, Location]) -> Catalogue:
    """The catalogue; a broken plugin file's error gets the place that names the file."""
    try:
        return catalogue(*files)
    except RequestError as error:
        error.where = files.get(error.subject)
        raise


def _devices(experiment: Experiment, root: Node) -> tuple[Device, ...]:
    from genloss.training.devices import choose, requested

    count = experiment.run_count
    node = root.at("devices")
    try:
        threads = experiment.threads or requested()
        devices = choose(experiment.devices, runs=count, workers=experiment.workers, threads=threads)
        double = any(objective.training.precision == "float64" for objective in experiment.objectives)
        if double and any(device.name == "mps" for device in devices):
            raise DeviceError("the device `mps` has no float64", hint="set `devices: cpu`", subject="mps")
        return devices
    except DeviceError as error:
        items = node.value if isinstance(node.value, tuple) else ()
        culprit = next((item for item in items if item.plain == error.subject), node)
        error.where = culprit.where
        raise
