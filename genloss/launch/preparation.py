"""Writing a study's folder before training."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genloss.experiment.schema import Experiment, Run
from genloss.experiment.source import MAPPING
from genloss.launch import environment, fingerprint
from genloss.launch.git import UNKNOWN, GitState
from genloss.planning.plan import Plan
from genloss.planning.store import experiment_name
from genloss.record.files import publish
from genloss.record.folder import EXPERIMENT, GIT_DIFF, PACKAGES, StudyFolder
from genloss.tracking import address


def write_run(folder: StudyFolder, run: Run) -> None:
    """Create a run's folder with its run.json."""
    path = folder.run(run.name)
    path.path.mkdir(exist_ok=True)
    publish(path.run, run.model_dump_json(by_alias=True).encode())


def rewrite(folder: StudyFolder, content: dict[str, Any], runs: Sequence[Run]) -> None:
    """Write runs and study.json again whose files lie elsewhere, or that go on by other code.

    A run.json that was changed by others before is still seen to be another.
    """
    said = content["fingerprint"]
    for run in runs:
        key = f"configuration of {run.name}"
        same = said.get(key) == fingerprint.configuration(folder, run.name)
        write_run(folder, run)
        if same:
            said[key] = fingerprint.configuration(folder, run.name)
    new = {run.name: run.model_dump(mode="json", by_alias=True) for run in runs}
    content["runs"] = [new.get(run["name"], run) for run in content["runs"]]
    folder.write(content)


def prepare(folder: StudyFolder, planned: Plan, todo: Sequence[Run], repository: GitState = UNKNOWN) -> None:
    """Write what the study's runs share, each run's run.json, and study.json.

    Open trials of a search get their run.json when their values are chosen. `repository` is the state of that
    which the experiment lies in.
    """
    from genloss.training.batches import length

    experiment, data = planned.experiment, planned.data
    metrics = [planned.catalogue.metrics[choice.name] for choice in _metrics(experiment)]
    publish(folder.path / EXPERIMENT, _text(experiment).encode())
    publish(folder.path / PACKAGES, environment.packages().encode())
    if repository.diff:
        publish(folder.path / GIT_DIFF, repository.diff)
    decided = [item for item in todo if not item.objective.is_open]
    for item in decided:
        write_run(folder, item)
    folder.write(
        {
            "study": folder.name,
            "folder": str(Path.cwd()),
            "created": time.time_ns() // 1_000_000,
            "experiment": experiment.model_dump(mode="json", by_alias=True),
            "runs": [item.model_dump(mode="json", by_alias=True) for item in todo],
            "metrics": {
                name: {"higher_is_better": higher, "unit": metric.units[name], "version": metric.version}
                for metric in metrics
                for name, higher in metric.higher_is_better.items()
            },
            "tags": {
                **environment.tags(experiment.source, planned.catalogue.plugins),
                **repository.tags(),
                "genloss.metrics": ", ".join(f"{metric.name} {metric.version}" for metric in metrics),
            },
            "data": {
                "name": experiment.data.name,
                "digest": data.digest,
                "source": json.dumps(experiment.data.model_dump(mode="json")),
                "profile": {
                    "train": data.spec.size,
                    "held_out": length(data.held_out),
                    "event_shape": list(data.spec.event_shape),
                    "kind": data.spec.kind,
                },
            },
            "devices": [asdict(device) for device in planned.devices],
            "fingerprint": fingerprint.take(
                folder,
                experiment,
                {item.name: item.device for item in decided},
                planned.catalogue,
                data.digest,
            ),
            "tracking_uri": address.without_secrets(address.resolve(experiment.tracking.uri)),
            "experiment_name": experiment_name(experiment),
        }
    )


def _text(experiment: Experiment) -> str:
    """The experiment as a file; what a mapping says of paths holds from any folder then."""
    if experiment.source != MAPPING:
        return experiment.text
    content = json.loads(experiment.text)
    content["data"] = {"name": experiment.data.name, **experiment.data.options}
    if experiment.plugins:
        content["plugins"] = list(experiment.plugins)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _metrics(experiment: Experiment) -> Sequence[Any]:
    return experiment.evaluation.metrics if experiment.evaluation else ()
