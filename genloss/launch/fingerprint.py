"""Fingerprints of everything that decides a study's numbers, compared when it is resumed."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from genloss.errors import RunError
from genloss.experiment.schema import Experiment, Run
from genloss.planning.provenance import contents, trainer
from genloss.record.folder import StudyFolder
from genloss.registry.catalogue import Catalogue, Plugin, catalogue
from genloss.training.devices import describe

SHOWN = 12
"""Digits of a SHA-256 that are kept: enough to see that it is another."""

_imported: dict[tuple[str, str], str] = {}
"""What a plugin was when this process first looked, by source and version (of a file, its digest)."""


def take(
    folder: StudyFolder, experiment: Experiment, runs: Mapping[str, str], known: Catalogue, digest: str
) -> dict[str, str]:
    """The fingerprint of a study here and now.

    Args:
        folder: with each run's run.json.
        experiment: the study's.
        runs: the device of each run, by its name.
        known: the catalogue.
        digest: the data's.
    """
    found = {
        "genloss": trainer().removeprefix("genloss "),
        "torch": torch.__version__,
        "Python": platform.python_version(),
        "the CPU's capability": torch.backends.cpu.get_cpu_capability(),
    }
    for device in sorted(set(runs.values())):
        found[f"device {device}"] = describe(torch.device(device))
    for plugin in used(experiment, known):
        found[f"plugin {plugin.name}"] = _version(plugin)
    found[f"data {experiment.data.name}"] = digest[:SHOWN]
    for objective in experiment.objectives:
        if not objective.is_open:
            files = contents(objective, experiment.evaluation, known)
            found |= {f"the content of {name} of {objective.name}": at for name, at in files.items()}
    for name in runs:
        found[f"configuration of {name}"] = configuration(folder, name)
    return found


def configuration(folder: StudyFolder, name: str) -> str:
    """The digest of what a run is trained by."""
    return _digest([folder.run(name).run])


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What is not as it was, in words: `torch 2.12.0, now 2.13.0`."""
    names = dict.fromkeys([*then, *now])
    return [
        f"{name} {then.get(name, 'missing')}, now {now.get(name, 'missing')}"
        for name in names
        if then.get(name) != now.get(name)
    ]


def check_run(folder: StudyFolder, run: Run) -> None:
    """Return whether the plugins and the files that a run uses are still those that its study began with.

    A package that is edited after this process has imported it does no harm: its code goes on as it was.

    Args:
        folder: the study's.
        run: what is to be trained.

    Raises:
        RunError: one has changed: this run would not be comparable with those before it.
    """
    then = folder.read().get("fingerprint", {})
    now = {}
    known = catalogue(*run.plugins)
    for option, content in contents(run.objective, run.evaluation, known).items():
        if (name := f"the content of {option} of {run.objective.name}") in then:
            now[name] = content
    for plugin in known.plugins:
        if (name := f"plugin {plugin.name}") in then:
            now[name] = _imported.setdefault((plugin.source, plugin.version), _version(plugin))
    _check(then, now, "undo that and `genloss resume` it; or run the experiment again")


def check_data(folder: StudyFolder, run: Run, digest: str) -> None:
    """Return whether a worker has loaded the data that its study began with.

    Args:
        folder: the study's.
        run: what is to be trained.
        digest: of the data that were loaded for it.

    Raises:
        RunError: they are others.
    """
    then = folder.read().get("fingerprint", {})
    if (name := f"data {run.data.name}") in then:
        _check(
            then,
            {name: digest[:SHOWN]},
            "undo that and `genloss resume` it; a data set that is drawn at random needs a seed of its own",
        )


def _check(then: Mapping[str, str], now: Mapping[str, str], hint: str) -> None:
    changed = differences({name: then[name] for name in now}, now)
    if changed:
        raise RunError(f"{' and '.join(changed)}: it was changed while the study ran", hint=hint)


def _version(plugin: Plugin) -> str:
    return f"{plugin.version} ({_files(plugin)})"


def used(experiment: Experiment, known: Catalogue) -> list[Plugin]:
    """The plugins that offer what the experiment names.

    Raises:
        CatalogueError: none does any more.
    """
    found = [known.datasets.provider(experiment.data.name)]
    for objective in experiment.objectives:
        found.append(known.models.provider(objective.model.name))
        found += [known.losses.provider(t.loss) for terms in objective.players.values() for t in terms]
    if experiment.evaluation is not None:
        found += [known.metrics.provider(metric.name) for metric in experiment.evaluation.metrics]
    return list({plugin.source: plugin for plugin in found}.values())


def _files(plugin: Plugin) -> str:
    """The digest of a plugin's source: its file, or all of its package."""
    if plugin.code is not None:
        return plugin.code.version if len(plugin.code.files) > 1 else _digest([plugin.code.path])
    module = sys.modules[plugin.source.partition(":")[0].partition(".")[0]]
    roots = [Path(root) for root in getattr(module, "__path__", [])]
    if not roots:
        return _digest([Path(str(module.__file__))])
    return _digest(sorted(path for root in roots for path in root.rglob("*.py")))


def _digest(paths: Iterable[Path]) -> str:
    content = hashlib.sha256()
    for path in paths:
        content.update(path.name.encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:SHOWN]
