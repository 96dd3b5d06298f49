"""Training one run in its folder, from run.json to the status in its journal."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

from genloss import loading
from genloss.comparison.curves import loss_curves
from genloss.contracts.dataset import Data
from genloss.contracts.definition import Definition
from genloss.errors import GenlossError, RequestError
from genloss.experiment import blame
from genloss.experiment.schema import Choice, Run
from genloss.record import checkpoint
from genloss.record.folder import EXPERIMENT, GIT_DIFF, PACKAGES, ROOT, RunFolder
from genloss.record.journal import Journal, Values
from genloss.record.recorder import Recorder
from genloss.registry import Catalogue, catalogue
from genloss.training import seeds
from genloss.training.batches import Batches
from genloss.training.devices import describe
from genloss.training.evaluation import Evaluator
from genloss.training.networks import DTYPES
from genloss.training.trainer import Interrupted, Trainer

Report = Callable[[dict[str, Any]], None]
CACHE = ROOT / "cache"


def execute(folder: RunFolder, report: Report, should_stop: Callable[[], bool]) -> str:
    """Trains the run and gives its status: FINISHED, FAILED or KILLED.

    Args:
        folder: with the run's run.json.
        report: told of progress, at most about once a second.
        should_stop: asked before each step.
    """
    run = Run.model_validate_json(folder.run.read_text())
    folder.artifacts.mkdir(exist_ok=True)
    with folder.locked(), Journal(folder.journal) as journal:
        try:
            _train(run, folder, journal, report, should_stop)
        except Interrupted as interruption:
            journal.event("status", status="KILLED", message=interruption.message)
            return "KILLED"
        except Exception as error:
            fail(folder, journal, run, error)
            return "FAILED"
        journal.event("status", status="FINISHED")
        return "FINISHED"


def fail(folder: RunFolder, journal: Journal, run: Run, error: Exception | str) -> None:
    """Writes how a run failed: a status, and an artifact with the traceback and a line that reproduces it."""
    message = error if isinstance(error, str) else _said(error, run)
    hint = error.hint if isinstance(error, GenlossError) else None
    trace = message if isinstance(error, str) else "".join(traceback.format_exception(error))
    path = folder.artifacts / "traceback.txt"
    path.write_text(f"{trace.rstrip()}\n\nTo reproduce it:\n  {run.reproduce}\n")
    journal.event("artifact", path="artifacts/traceback.txt", to="")
    journal.event("status", status="FAILED", message=message.split("\n", 1)[0], hint=hint or "")


def _said(error: Exception, run: Run) -> str:
    """What went wrong, in one line, and in which plugin's code."""
    message = error.message if isinstance(error, GenlossError) else blame.describe(error)
    try:
        found = blame.culprit(error, _definitions(run))
    except RequestError:  # a plugin is not what it was when the run was planned
        found = None
    return f"{found}: {message}" if found else message


def _definitions(run: Run) -> Iterator[Definition]:
    """All that a run takes from plugins."""
    known = catalogue(*run.plugins)
    yield known.datasets[run.data.name]
    yield known.models[run.objective.model.name]
    yield from (known.losses[term.loss] for terms in run.objective.players.values() for term in terms)
    yield from (known.metrics[metric.name] for metric in (run.evaluation.metrics if run.evaluation else ()))


def _train(
    run: Run, folder: RunFolder, journal: Journal, report: Report, should_stop: Callable[[], bool]
) -> None:
    known = catalogue(*run.plugins)
    device = torch.device(run.device)
    training = run.objective.training
    data = load_data(known, run.data)
    journal.event("start", device=run.device, device_name=describe(device), threads=run.threads)
    for name in write_configuration(run, folder):
        journal.event("artifact", path=f"artifacts/{name}", to="")

    definition = known.models[run.objective.model.name]
    options = definition.validated(run.objective.model.options)
    batches = Batches(
        data.train,
        batch_size=training.batch_size,
        seed=seeds.derive(run.seed, "order"),
        device=device,
        dtype=DTYPES[training.precision],
    )
    trainer = Trainer(
        lambda: definition.build(data.spec, **options),
        run.objective,
        known.losses,
        batches,
        seed=run.seed,
        device=device,
        should_stop=should_stop,
    )
    report({"step": 0})
    trainer.check()
    columns = trainer.columns()
    journal.event("columns", columns=[{"key": column.key, "every": column.every} for column in columns])

    shown = [index for index, column in enumerate(columns) if column.key.endswith("/total")]

    def progress(block: Values) -> None:
        step = block.first_step + len(block.values)
        report({"step": step, "values": {columns[index].key: block.values[-1, index] for index in shown}})

    recorder = Recorder(
        columns,
        journal.values,
        device=device,
        dtype=trainer.dtype,
        fail_on_nonfinite=training.on_nonfinite == "fail",
        on_block=progress,
    )
    due: dict[int, list[Callable[[], None]]] = {}

    def save_checkpoint() -> None:
        journal.sync()  # a checkpoint is never ahead of its journal
        checkpoint.save(folder.checkpoints, trainer.step, trainer.state_dict())

    if run.evaluation is not None:
        evaluator = Evaluator(
            run.evaluation,
            known.metrics,
            data,
            trainer=trainer,
            seed=run.seed,
            cache=CACHE,
            artifacts=folder.artifacts,
        )

        def evaluate() -> None:
            report({"step": trainer.step, "evaluating": True})
            numbers, shown = evaluator.evaluate()
            journal.event("evaluation", step=trainer.step, values=numbers)
            if shown is None:
                return
            path = str(shown.relative_to(folder.path))
            if shown.suffix == ".png":
                journal.event("image", key="samples", step=trainer.step, path=path)
            else:
                journal.event("artifact", path=path, to="texts")

        every = run.evaluation.every or training.steps
        for step in {*range(every, training.steps, every), training.steps}:
            due.setdefault(step, []).append(evaluate)
    every = training.checkpoint_every or max(1, training.steps // 10)
    for step in range(every, training.steps, every):
        due.setdefault(step, []).append(save_checkpoint)

    trainer.train(recorder, due)
    plugin = known.models.provider(run.objective.model.name).source
    plugins = [plugin] if plugin in run.plugins else []
    names = loading.save(trainer.judged, run, folder.artifacts, plugins)
    if loss_curves(folder, folder.artifacts / "loss_curves.png"):
        names.append("loss_curves.png")
    for name in names:
        journal.event("artifact", path=f"artifacts/{name}", to=str(Path(name).parent).removeprefix("."))
    shutil.rmtree(folder.checkpoints, ignore_errors=True)  # of no use once the weights are there


@cache
def _load(known: Catalogue, name: str, options: str) -> Data:
    definition = known.datasets[name]
    return definition(**definition.validated(yaml.safe_load(options)))


def load_data(known: Catalogue, choice: Choice) -> Data:
    """The data of a choice, loaded once a process."""
    return _load(known, choice.name, yaml.safe_dump(choice.options))


def write_configuration(run: Run, folder: RunFolder) -> list[str]:
    """Writes the run's resolved configuration and copies what the study's runs share; gives the names."""
    content = run.model_dump(mode="json", by_alias=True, exclude_none=True)
    (folder.artifacts / "config.yaml").write_text(
        "# This run, with everything that was decided for it. It is reproduced by\n"
        f"#   {run.reproduce}\n" + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    )
    names = ["config.yaml"]
    study = folder.path.parent
    for source in [study / EXPERIMENT, study / PACKAGES, study / GIT_DIFF, *map(Path, run.plugins)]:
        if source.exists():
            shutil.copyfile(source, folder.artifacts / source.name)
            names.append(source.name)
    return names
