"""Threads that are chosen by the work of a step: small models beside busy processes, and a large one alone.

Each of the experiments that ship with genloss is planned, and the trainer of its first objective, with as
many threads as the plan has, takes turns with a bare loop on one thread: the same model, losses and
optimizer, nothing checked and nothing recorded. One busy process a core runs meanwhile.

    python -m tests.benchmarks.threads FILE STEPS ROUNDS [THREADS]

measures one of them, and prints JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.results import Bound, Figure, Section, cores, in_turns

ROOT = Path(__file__).resolve().parents[2]
STEPS, ROUNDS = 300, 5
BESIDE, ALONE = Bound(most=1.3), Bound(most=0.8)

LARGE = """\
name: large
data: {name: two_moons, size: 2000}
model: {name: autoencoder, latent_dim: 2, hidden: [2048, 2048]}
objectives: {plain: {network: squared_error}}
training: {batch_size: 256, steps: 1}
seeds: 1
devices: cpu
"""
"""A step of some 13 GFLOP."""


@dataclass(frozen=True)
class Measured:
    """What one experiment gave.

    Attributes:
        threads: that the plan chose.
        gflop: of a step, by the plan.
        ours, bare: milliseconds a step, one a round.
    """

    threads: int
    gflop: float
    ours: list[float]
    bare: list[float]

    @property
    def ratio(self) -> Figure:
        return Figure.of(self.ours) / Figure.of(self.bare)


@contextmanager
def load(count: int) -> Iterator[None]:
    """So many processes that are always busy."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def measure(file: Path | str, *, steps: int, rounds: int, threads: int | None = None) -> Measured:
    """Measures an experiment in a process of its own.

    Args:
        file: the experiment.
        steps: in a turn.
        rounds: how many turns each has.
        threads: in the place of those that the plan chooses.
    """
    more = [] if threads is None else [str(threads)]
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-m", "tests.benchmarks.threads", str(file), str(steps), str(rounds), *more]
    done = subprocess.run(
        command, env={**env, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True, check=True
    )
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def sections(*, quick: bool) -> list[Section]:
    files = sorted((ROOT / "experiments").glob("*.yaml"))
    steps, rounds = (20, 2) if quick else (STEPS, ROUNDS)
    if quick:
        files = files[:2]
    section = Section(
        "Threads",
        f"The trainer, with the threads that the plan chose, against a bare loop on one thread that records "
        f"nothing, by turns, beside {cores()} busy processes, one a core; milliseconds a step; "
        f"{rounds} rounds of {steps} steps of the first objective of each experiment that genloss ships.",
    )
    lines: list[tuple[str, Figure, Bound | None]] = []
    rows = []
    with load(cores()):
        for file in files:
            found = measure(file, steps=steps, rounds=rounds)
            rows.append(
                [
                    *(file.stem, f"{found.gflop:.3f}", str(found.threads)),
                    *(str(Figure.of(found.ours, "ms")), str(Figure.of(found.bare, "ms"))),
                ]
            )
            lines.append((f"{file.stem}: genloss / bare loop", found.ratio, BESIDE))
        many = measure(ROOT / "experiments" / "ring.yaml", steps=steps, rounds=rounds, threads=cores())
    section.table(["experiment", "GFLOP a step", "threads", "genloss", "bare loop, one thread"], rows)
    section.remark(
        f"`ring` with {cores()} threads, as it was before they were chosen, takes {many.ratio} times as long "
        "as the bare loop."
    )
    if cores() > 1:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "large.yaml"
            file.write_text(LARGE)
            large = measure(file, steps=max(2, steps // 30), rounds=rounds)
        said = f"a model of {large.gflop:.0f} GFLOP a step, alone: {large.threads} threads / one"
        lines.append((said, large.ratio, ALONE))
    section.figures(lines)
    return [section]


def _turns(file: str, steps: int, rounds: int, threads: int | None) -> Measured:
    import torch

    from genloss.planning.plan import plan
    from genloss.record.journal import Journal
    from genloss.record.recorder import Recorder

    planned = plan(file, overrides=["seeds=[0]", "workers=1"])
    objective = (planned.first_trials or planned.experiment.objectives)[0]
    ours, theirs = (_trainer(planned, objective) for _ in range(2))
    chosen = threads or planned.devices[0].threads
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal") as journal:
        recorder = Recorder(ours.columns(), journal.values, device=ours.device, dtype=ours.dtype)
        loops: dict[str, tuple[int, Callable[[], Any]]] = {
            "ours": (chosen, lambda: ours.advance(ours.step + steps, recorder)),
            "bare": (1, partial(_bare, theirs, steps)),
        }

        def timed(name: str) -> float:
            count, loop = loops[name]
            torch.set_num_threads(count)
            begin = time.perf_counter()
            loop()
            return (time.perf_counter() - begin) / steps * 1e3

        for name in loops:
            timed(name)
        found = in_turns({name: partial(timed, name) for name in loops}, rounds)
        recorder.close()
    flops = planned.sizes[objective.name].work.flops
    return Measured(chosen, flops / 1e9, found["ours"], found["bare"])


def _trainer(planned: Any, objective: Any) -> Any:
    import torch

    from genloss.training.batches import Batches
    from genloss.training.networks import DTYPES
    from genloss.training.trainer import Trainer

    model, device = planned.catalogue.models[objective.model.name], torch.device("cpu")
    training = objective.training.model_copy(update={"steps": 10**9})
    batches = Batches(
        planned.data.train,
        batch_size=training.batch_size,
        seed=0,
        device=device,
        dtype=DTYPES[training.precision],
    )
    options = model.validated(objective.model.options)
    trainer = Trainer(
        lambda: model.build(planned.data.spec, **options),
        objective.model_copy(update={"training": training}),
        planned.catalogue.losses,
        batches,
        seed=0,
        device=device,
    )
    trainer.mode(training=True)
    return trainer


def _bare(trainer: Any, steps: int) -> None:
    """The usual loop with the trainer's model, losses and optimizers."""
    for step in range(steps):
        for player in trainer.players:
            for _ in range(player.updates):
                turn = player.turn(trainer.model, next(trainer.batches), player.objective.needs)
                total, _ = player.objective(turn, step)
                player.optimizer.zero_grad()
                total.backward(inputs=player.parameters)
                player.optimizer.step()


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    wanted = [int(number) for number in numbers]
    print(json.dumps(vars(_turns(name, wanted[0], wanted[1], wanted[2] if len(wanted) > 2 else None))))
