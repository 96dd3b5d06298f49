"""Studies as a launcher and its workers would have written them, of any size and in no time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from genloss.experiment.schema import Choice, Evaluation, Experiment, Objective, Run, Term, Training
from genloss.record.events import (
    ArtifactWritten,
    Column,
    ColumnsDeclared,
    Ended,
    Evaluated,
    Picture,
    Started,
    Status,
)
from genloss.record.folder import RunFolder, StudyFolder
from genloss.record.frame import Values
from genloss.record.journal import Journal

BEGAN = 1_760_000_000_000
MILLISECONDS_A_STEP = 4


def objective(name: str, steps: int, **terms: Sequence[str]) -> Objective:
    return Objective(
        name=name,
        players={player: tuple(Term(loss=t, name=t) for t in losses) for player, losses in terms.items()},
        model=Choice(name="gan", options={"latent_dim": 32}),
        training=Training(steps=steps),
    )


def write_study(
    root: Path,
    *,
    name: str = "gan-losses",
    objectives: Sequence[Objective] = (),
    seeds: Sequence[int] = (0,),
    uri: str | None = None,
    experiment: str = "gan-losses",
) -> StudyFolder:
    """A study's folder, with its study.json and a folder with run.json for each run."""
    objectives = objectives or (objective("minimax", 100, generator=("minimax_generator",)),)
    study = StudyFolder.create(name, root / ".genloss")
    config = Experiment(
        name=experiment,
        description="What the adversarial objective changes.",
        source="gan.yaml",
        text="name: gan-losses\n",
        data=Choice(name="digits"),
        objectives=tuple(objectives),
        baseline=objectives[0].name,
        seeds=tuple(seeds),
    )
    runs = [
        Run(
            study=study.name,
            name=f"{o.name}-{seed}",
            experiment=experiment,
            plugins=(),
            data=config.data,
            objective=o,
            seed=seed,
            device="cpu",
            threads=1,
            evaluation=Evaluation(every=o.training.steps),
            reproduce=f"genloss run gan.yaml --set seeds=[{seed}]",
        )
        for seed in seeds
        for o in objectives
    ]
    study.write(
        {
            "study": study.name,
            "created": BEGAN,
            "experiment": config.model_dump(mode="json", by_alias=True),
            "runs": [run.model_dump(mode="json", by_alias=True) for run in runs],
            "metrics": {
                "frechet_distance": {"higher_is_better": False, "unit": "1"},
                "precision": {"higher_is_better": True, "unit": "1"},
                "recall": {"higher_is_better": True, "unit": "1"},
            },
            "tags": {
                "mlflow.user": "ada",
                "mlflow.source.name": "gan.yaml",
                "mlflow.source.type": "LOCAL",
                "genloss.version": "0.1.0",
            },
            "data": {
                "name": "digits",
                "digest": "0123456789abcdef" * 4,
                "source": '{"name": "digits"}',
                "profile": {"train": 1400, "held_out": 397},
            },
            "tracking_uri": uri,
            "experiment_name": experiment,
        }
    )
    for run in runs:
        folder = study.run(run.name)
        folder.artifacts.mkdir(parents=True)
        folder.run.write_text(run.model_dump_json(by_alias=True))
    return study


def begin(folder: RunFolder) -> Journal:
    """The run's journal, with the event that it starts with."""
    journal = Journal(folder.journal)
    journal.event(Started(device="cpu", device_name="test", threads=1, attempt=1))
    return journal


def block(first_step: int, values: np.ndarray) -> Values:
    """Rows of values with the times that they might have been written at."""
    steps = first_step + np.arange(len(values))
    return Values(first_step, BEGAN + MILLISECONDS_A_STEP * steps, np.asarray(values, dtype=np.float64))


def columns(*keys: str | tuple[str, int]) -> tuple[Column, ...]:
    """The columns; the key of a value that is not recorded every step comes with its interval."""
    return tuple(Column(key) if isinstance(key, str) else Column(*key) for key in keys)


def write_run(folder: RunFolder, *, steps: int, seed: int, pictures: bool = True) -> int:
    """A whole run in which losses fall and metrics get better; gives the number of its values."""
    run = Run.model_validate(json.loads(folder.run.read_text()), strict=False)
    random = np.random.default_rng([seed, *run.objective.name.encode()])
    level = 1 + sum(run.objective.name.encode()) % 7 / 7
    keys: list[tuple[str, int]] = []
    for player, terms in run.objective.players.items():
        keys += [(f"{player}/{term.name}", 1) for term in terms]
        keys += [(f"{player}/total", 1), (f"{player}/gradient_norm", 10)]
    written = 0
    evaluations = sorted({steps // 3, 2 * steps // 3, steps})
    with begin(folder) as journal:
        journal.event(ColumnsDeclared(columns=columns(*keys)))
        for first in range(0, steps, 300):
            at = np.arange(first, min(first + 300, steps))[:, None]
            curves = (
                level * np.exp(-3 * at / steps) + 0.1 * random.standard_normal((len(at), len(keys))) + 0.3
            )
            journal.values(block(first, curves))
            written += sum(len(range(-first % every, len(at), every)) for _, every in keys)
            for step in [step for step in evaluations if first < step <= first + 300]:
                quality = 20 * level * np.exp(-2 * step / steps) * (1 + 0.1 * random.standard_normal())
                numbers = {
                    "eval/frechet_distance": quality,
                    "eval/precision": 1 / (1 + quality),
                    "eval/recall": 0.5,
                }
                numbers |= {f"held_out/{key}": level for key, every in keys if every == 1}
                numbers = {k: v for k, v in numbers.items() if not k.endswith("/total")}
                picture = None
                if pictures:
                    written_to = folder.artifacts / f"step-{step:07d}.png"
                    pixels = np.clip(random.normal(128, 60, (82, 82)), 0, 255).astype(np.uint8)
                    Image.fromarray(pixels).resize((328, 328), Image.Resampling.NEAREST).save(written_to)
                    picture = Picture("samples", f"artifacts/{written_to.name}")
                journal.event(Evaluated(step=step, values=numbers, image=picture))
                written += len(numbers)
        (folder.artifacts / "config.yaml").write_text("name: gan-losses\n")
        journal.event(ArtifactWritten(path="artifacts/config.yaml"))
        journal.event(Ended(status=Status.FINISHED))
    return written


GAN = {
    "non_saturating": (["minimax_discriminator"], ["non_saturating_generator"]),
    "minimax": (["minimax_discriminator"], ["minimax_generator"]),
    "least_squares": (["least_squares_discriminator"], ["least_squares_generator"]),
    "hinge": (["hinge_discriminator"], ["hinge_generator"]),
    "wgan_gp": (["wasserstein_discriminator", "gradient_penalty"], ["wasserstein_generator"]),
    "relativistic_r1": (["relativistic_discriminator", "r1_penalty"], ["relativistic_generator"]),
}


def gan_study(root: Path, *, steps: int, seeds: int, uri: str | None = None) -> tuple[StudyFolder, int]:
    """A study like that of experiments/gan.yaml, trained to its end; with the number of its values."""
    objectives = [objective(n, steps, discriminator=d, generator=g) for n, (d, g) in GAN.items()]
    study = write_study(root, objectives=objectives, seeds=range(seeds), uri=uri)
    written = sum(
        write_run(study.run(f"{name}-{seed}"), steps=steps, seed=seed)
        for name in GAN
        for seed in range(seeds)
    )
    return study, written
