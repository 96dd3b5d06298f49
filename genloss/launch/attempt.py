"""An attempt at a run: it goes on where the run's record ends.

    read the record; take the newest checkpoint that it covers
    build the trainer, and let it go on from there
    values that are recorded already are computed again and compared, not written again
    evaluate and checkpoint when that is due; evaluations that are recorded already are left out
    at the end, keep the weights

A first attempt is one whose record is empty.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from genloss.comparison.report.losses import loss_curves
from genloss.errors import FOREIGN, GenlossError, NonFiniteError, RecordError, RunError, told
from genloss.experiment.schema import Run
from genloss.launch import fingerprint
from genloss.launch.configuration import write_configuration
from genloss.launch.data import load_data
from genloss.planning.provenance import described
from genloss.record import checkpoint, files
from genloss.record.events import (
    ArtifactWritten,
    Column,
    ColumnsDeclared,
    Evaluated,
    Picture,
    Started,
    Warned,
)
from genloss.record.folder import RunFolder, StudyFolder, read_state, values_from
from genloss.record.frame import Values
from genloss.record.journal import Journal
from genloss.record.recorder import Recorder
from genloss.registry.catalogue import catalogue
from genloss.training import seeds, weights
from genloss.training.batches import Batches
from genloss.training.devices import describe
from genloss.training.evaluation import Evaluator
from genloss.training.networks import DTYPES
from genloss.training.trainer import Interrupted, Trainer

PROGRESS_SECONDS = 1.0

Report = Callable[[dict[str, Any]], None]

Pruner = Callable[[int, Mapping[str, float]], bool]
"""Asked, with a step and the numbers of its evaluation, whether a run ends there."""


class Pruned(GenlossError):
    """The run is a trial that was ended because it was worse than those before it."""


class Attempt:
    """One attempt at a run.

    Args:
        run: what is trained.
        folder: its record.
        journal: the record's journal, open.
        report: told of progress.
        should_stop: asked before each step.
        drift: what has changed since the study began, if that is accepted.
        is_pruned: asked after each evaluation but the last, if the run is a trial that may be pruned.
    """

    def __init__(
        self,
        run: Run,
        folder: RunFolder,
        journal: Journal,
        report: Report,
        should_stop: Callable[[], bool],
        drift: str,
        is_pruned: Pruner | None = None,
    ) -> None:
        self._run = run
        self._folder = folder
        self._journal = journal
        self._report = report
        self._should_stop = should_stop
        self._drift = drift
        self._is_pruned = is_pruned
        self._training = run.objective.training
        self._device = torch.device(run.device)
        self._record = read_state(folder)
        self._saved = 0

    def train(self) -> str:
        """Train to the last step and keep the weights; return their SHA-256.

        Raises:
            Interrupted: it was asked to stop; it can go on where it was.
            Pruned: it is ended early.
            GenlossError: it failed.
        """
        if torch.are_deterministic_algorithms_enabled() != self._training.deterministic:
            torch.use_deterministic_algorithms(self._training.deterministic)  # imports torch's compiler
        self._folder.artifacts.mkdir(exist_ok=True)
        self._known = catalogue(*self._run.plugins)
        self._data = load_data(self._known, self._run.data)
        if not self._drift:
            fingerprint.check_data(StudyFolder(self._folder.path.parent), self._run, self._data.digest)
        loaded = checkpoint.load(self._folder.checkpoints, at_most=self._record.steps)
        self._start(loaded)
        trainer = self._build(loaded, self._should_stop)
        self._saved = loaded.step
        self._report({"step": trainer.step})
        columns = self._columns(trainer)
        recorder = Recorder(
            columns,
            self._journal.values,
            device=self._device,
            dtype=trainer.dtype,
            fail_on_nonfinite=self._training.on_nonfinite == "fail",
            on_block=self._progress(columns),
            recorded=values_from(self._folder, loaded.step),
            since=self._record.last,
            tolerate=self._warn if self._tolerant() else None,
        )
        try:
            trainer.train(recorder, self._due(trainer, recorder))
        except Interrupted:
            self._report({"step": trainer.step, "saving": True})
            self._checkpoint(trainer, recorder)
            raise
        finally:
            recorder.close()
        self._tell_skipped(trainer)
        return self._keep(trainer, curves=True)

    def keep_last_finite(self, error: NonFiniteError) -> dict[str, Any]:
        """Compute the weights again that gave the last finite values, and keep them.

        They are those before the step before the one whose values were not finite.

        Returns:
            What the status says of them; nothing where there were no finite values.
        """
        last = error.step - 1
        if last < 0:
            return {}
        traceback.clear_frames(error.__traceback__)  # they hold the trainer that failed, with its memory
        try:
            loaded = checkpoint.load(self._folder.checkpoints, at_most=last)
            trainer = self._build(loaded, lambda: trainer.step == last or self._should_stop())
            forgetful = Recorder(
                trainer.columns(),
                lambda _: None,
                device=self._device,
                dtype=trainer.dtype,
                fail_on_nonfinite=False,
                on_block=self._progress(trainer.columns()),
            )
            try:
                trainer.train(forgetful, {})
            except Interrupted:
                pass  # as it was asked to
            finally:
                forgetful.close()
            if trainer.step != last:
                return {}
            return {"weights": self._keep(trainer, curves=False), "weights_step": last}
        except FOREIGN as trouble:
            self._warn(f"the weights of step {last} could not be computed again: {told(trouble)}")
            return {}

    def _start(self, loaded: checkpoint.Loaded) -> None:
        self._journal.event(
            Started(
                device=self._run.device,
                device_name=describe(self._device),
                threads=self._run.threads,
                attempt=self._record.attempts + 1,
                resumed_from=loaded.step if self._record.attempts else None,
                drift=self._drift,
                passed_over="; ".join(loaded.passed_over),
            )
        )
        if not self._record.columns or self._drift:
            for name in write_configuration(self._run, self._folder, self._known):
                self._artifact(name)

    def _build(self, loaded: checkpoint.Loaded, should_stop: Callable[[], bool]) -> Trainer:
        """The trainer, where the checkpoint was taken."""
        definition = self._known.models[self._run.objective.model.name]
        build = definition.configured(self._run.objective.model.options)
        batches = Batches(
            self._data.train,
            batch_size=self._training.batch_size,
            seed=seeds.derive(self._run.seed, "order"),
            device=self._device,
            dtype=DTYPES[self._training.precision],
        )
        trainer = Trainer(
            lambda: build(self._data.spec),
            self._run.objective,
            self._known.losses,
            batches,
            seed=self._run.seed,
            device=self._device,
            should_stop=should_stop,
        )
        trainer.check()
        if loaded.state is not None:
            try:
                trainer.load_state_dict(loaded.state)
            except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
                raise RecordError(
                    f"the checkpoint of step {loaded.step} is not of this model: {error}",
                    hint="run the experiment again",
                ) from error
        return trainer

    def _columns(self, trainer: Trainer) -> list[Column]:
        """The columns that each step records, declared in the journal."""
        columns = trainer.columns()
        if not self._record.columns:
            self._journal.event(ColumnsDeclared(columns=tuple(columns)))
        elif tuple(columns) != self._record.columns:
            raise RunError(
                "this genloss records other values of the run than its journal has",
                hint="run the experiment again",
            )
        return columns

    def _progress(self, columns: Sequence[Column]) -> Callable[[Values], None]:
        shown = [index for index, column in enumerate(columns) if column.key.endswith("/total")]

        def report(block: Values) -> None:
            values = {columns[index].key: float(block.values[-1, index]) for index in shown}
            self._report({"step": block.first_step + len(block.values), "values": values})

        return report

    def _tolerant(self) -> bool:
        """Return whether values that are computed again may differ: a GPU's kernels give other bits each
        time.
        """
        return bool(self._drift) or (self._device.type != "cpu" and not self._training.deterministic)

    def _due(self, trainer: Trainer, recorder: Recorder) -> dict[int, list[Callable[[], None]]]:
        """Actions due after each step."""
        steps = self._training.steps
        due: dict[int, list[Callable[[], None]]] = {}
        every = self._training.checkpoint_every or max(1, steps // 10)
        for step in range(every, steps, every):
            due[step] = [lambda: self._checkpoint(trainer, recorder)]
        settings = self._run.evaluation
        if settings is None:
            return due
        evaluator = Evaluator(
            settings,
            self._known.metrics,
            self._data,
            trainer=trainer,
            seed=self._run.seed,
            cache=self._folder.cache,
            artifacts=self._folder.artifacts,
            progress=self._evaluation_progress(trainer),
        )
        # An evaluation that goes wrong, or that is ended, takes no training with it.
        every = settings.every or steps
        for step in {*range(every, steps, every), steps}:
            due[step] = [
                lambda: self._checkpoint(trainer, recorder),
                lambda: self._evaluate(trainer, evaluator),
            ]
        return due

    def _evaluation_progress(self, trainer: Trainer) -> Callable[[str], None]:
        """Tell what an evaluation begins with, about once a second; ends it if the run is to end."""
        told, when = "", 0.0

        def progress(what: str) -> None:
            nonlocal told, when
            if self._should_stop():
                raise Interrupted(f"interrupted in the evaluation at step {trainer.step}")
            if what != told or time.monotonic() > when + PROGRESS_SECONDS:
                told, when = what, time.monotonic()
                self._report({"step": trainer.step, "evaluating": what})

        return progress

    def _checkpoint(self, trainer: Trainer, recorder: Recorder) -> None:
        if trainer.step <= self._saved:
            return
        recorder.flush()
        self._journal.sync()  # a checkpoint is never ahead of its journal
        try:
            checkpoint.save(self._folder.checkpoints, trainer.step, trainer.state_dict())
        except OSError as error:
            self._warn(
                f"the checkpoint of step {trainer.step} could not be written: {error.strerror or error}"
            )
        else:
            self._saved = trainer.step

    def _evaluate(self, trainer: Trainer, evaluator: Evaluator) -> None:
        numbers = self._record.evaluations.get(trainer.step)
        if numbers is None:
            numbers = self._evaluated(trainer, evaluator)
        if self._is_pruned is None or trainer.step == self._training.steps:
            return
        if self._is_pruned(trainer.step, numbers):
            raise Pruned(f"pruned at step {trainer.step}")

    def _evaluated(self, trainer: Trainer, evaluator: Evaluator) -> dict[str, float]:
        """The numbers of an evaluation, which the journal has then."""
        self._journal.sync()  # it may be long until something is written again
        numbers, shown = evaluator.evaluate()
        for note in evaluator.notes:
            self._warn(note)
        self._report({"step": trainer.step})
        image, text = None, ""
        if shown is not None:
            files.sync(shown)
            path = str(shown.relative_to(self._folder.path))
            image, text = (Picture("samples", path), "") if shown.suffix == ".png" else (None, path)
        self._journal.event(Evaluated(step=trainer.step, values=numbers, image=image, text=text))
        return numbers

    def _keep(self, trainer: Trainer, *, curves: bool) -> str:
        """Write the weights, and loss curves if they are wanted."""
        models, name = self._known.models, self._run.objective.model.name
        provider = models.provider(name)
        names = weights.save(
            trainer.eval_model,
            self._run,
            self._folder.artifacts,
            written_in=described(models[name], provider),
            plugin=provider.code,
        )
        if curves and loss_curves(self._folder, self._folder.artifacts / "loss_curves.png"):
            names.append("loss_curves.png")
        for name in names:
            self._artifact(name)
        return weights.digest(trainer.eval_model)

    def _tell_skipped(self, trainer: Trainer) -> None:
        """Tell of updates that were skipped.

        Raises:
            RunError: they were most of a player's: what is left has hardly been trained.
        """
        for player in trainer.players:
            skipped, updates = int(player.skipped), trainer.step * player.updates
            if not skipped:
                continue
            said = f"{skipped} of {updates} updates of `{player.name}` were skipped: gradients not finite"
            if skipped > updates / 2:
                raise RunError(
                    said,
                    hint="lower the learning rate or clip gradients; `training.on_nonfinite: fail` ends a "
                    "run where that begins",
                )
            self._warn(said)

    def _artifact(self, name: str) -> None:
        """Sync an artifact to disk and add it to the journal."""
        files.sync(self._folder.artifacts / name)
        to = str(Path(name).parent).removeprefix(".")
        self._journal.event(ArtifactWritten(path=f"artifacts/{name}", to=to))

    def _warn(self, message: str) -> None:
        self._journal.event(Warned(message=message))
        self._report({"warning": message})
