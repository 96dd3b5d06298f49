"""What a study's folder holds before anything is trained."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import Any

from genloss.experiment.plan import Plan
from genloss.experiment.schema import Experiment, Run
from genloss.launch import environment
from genloss.record.folder import StudyFolder


def write_run(folder: StudyFolder, run: Run) -> None:
    """Makes a run's folder with its run.json."""
    path = folder.run(run.name)
    path.path.mkdir()
    path.run.write_text(run.model_dump_json(by_alias=True))


def prepare(folder: StudyFolder, planned: Plan, todo: Sequence[Run]) -> None:
    """Writes what the study's runs share, each run's run.json, and study.json."""
    from genloss.training.batches import length

    experiment, data = planned.experiment, planned.data
    metrics = [planned.catalogue.metrics[choice.name] for choice in _metrics(experiment)]
    for name, text in (
        ("experiment.yaml", experiment.text),
        ("packages.txt", environment.packages()),
        ("git.diff", environment.git_diff()),
    ):
        if text:
            (folder.path / name).write_text(text)
    for item in todo:
        write_run(folder, item)
    folder.write(
        {
            "study": folder.name,
            "created": time.time_ns() // 1_000_000,
            "command": environment.command(),
            "experiment": experiment.model_dump(mode="json", by_alias=True),
            "runs": [item.model_dump(mode="json", by_alias=True) for item in todo],
            "metrics": {
                name: {"higher_is_better": higher, "unit": metric.units[name]}
                for metric in metrics
                for name, higher in metric.higher_is_better.items()
            },
            "tags": environment.tags(experiment.source, planned.catalogue.plugins),
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
            "tracking_uri": experiment.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI"),
            "experiment_name": experiment.tracking.experiment or experiment.name,
        }
    )


def _metrics(experiment: Experiment) -> Sequence[Any]:
    return experiment.evaluation.metrics if experiment.evaluation else ()
