"""Studies whose numbers are known, as their records would have them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genloss.experiment.schema import Choice, Objective, Run, Term, Training
from genloss.record.events import ColumnsDeclared, Ended, Evaluated, Status
from genloss.record.folder import StudyFolder
from tests.tracking.studies import BEGAN, begin, block, columns, write_study

METRICS = {
    "frechet_distance": {"higher_is_better": False, "unit": "1", "version": "2"},
    "recall": {"higher_is_better": True, "unit": "1", "version": "1"},
}
NUMBERS = {"a": (1.0, 2.0, 3.0), "b": (4.0, 6.0, 8.0)}
REFERENCES = {"frechet_distance": 0.5}


def objective(name: str, *, steps: int = 20, sets: Mapping[str, Any] | None = None, **more: Any) -> Objective:
    """An objective of a GAN."""
    weight, latent_dim = more.pop("weight", 1.0), more.pop("latent_dim", 32)
    return Objective(
        name=name,
        sets=dict(sets or {}),
        players={"generator": (Term(loss=f"{name}_loss", name=name, weight=weight),)},
        model=Choice(name="gan", options={"latent_dim": latent_dim}),
        training=Training.model_validate({"steps": steps, **more}),
    )


def study(
    root: Path,
    *,
    name: str = "gan-losses",
    numbers: Mapping[str, Sequence[float]] = NUMBERS,
    objectives: Sequence[Objective] = (),
    seeds: Sequence[int] = (0, 1, 2),
    created: int = BEGAN,
    experiment: str = "gan-losses",
    train: bool = True,
    uri: str | None = None,
    **content: Any,
) -> StudyFolder:
    """A study whose runs have finished.

    Args:
        root: the working folder.
        name: the study's.
        numbers: by objective, what each seed got from the first metric.
        objectives: what they are; of the same names.
        seeds: as many as there are numbers.
        created: when it began.
        experiment: its name in MLflow.
        train: whether its runs have been trained.
        uri: of its store.
        content: more of study.json.
    """
    made = write_study(
        root,
        name=name,
        objectives=objectives or [objective(each) for each in numbers],
        seeds=seeds,
        uri=uri,
        experiment=experiment,
    )
    made.write({**made.read(), "created": created, "metrics": METRICS, "devices": [], **content})
    made.references.write_text(json.dumps(REFERENCES))
    if train:
        for each, values in numbers.items():
            for seed, value in zip(seeds, values, strict=True):
                finish(made, f"{each}-{seed}", {"frechet_distance": value, "recall": 1 / (1 + value)})
    return made


def finish(
    made: StudyFolder, run: str, metrics: Mapping[str, float], *, status: str = "FINISHED", **more: Any
) -> None:
    """Trains a run."""
    folder = made.run(run)
    steps = Run.model_validate_json(folder.run.read_text()).objective.training.steps
    with begin(folder) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        journal.values(block(0, np.ones((steps, 1))))
        journal.event(Evaluated(step=steps // 2, values={f"eval/{key}": 9.0 for key in metrics}))
        journal.event(Evaluated(step=steps, values={f"eval/{key}": v for key, v in metrics.items()}))
        journal.event(Ended(status=Status(status), **{"peak_memory": 1000, **more}))
