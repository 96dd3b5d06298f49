"""What recording every step costs with other tools: Lightning's MLFlowLogger, `mlflow.log_metrics` by hand.

All train the same GAN on one thread and write to a new SQLite store of MLflow. The others record each
player's loss at each step, as one would; genloss its term and its total, and its gradient norm at every
twentieth.

    python -m tests.benchmarks.others mlflow|lightning STEPS

is one of the others; it prints the seconds that its loop took.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.benchmarks import processes
from tests.benchmarks.results import Bound, Figure, Section, in_turns

STEPS, ROUNDS = 20_000, 3
BOUND = Bound(least=5.0)
STORE = "sqlite:///mlflow.db"
NAMES = {"mlflow": "`mlflow.log_metrics` by hand", "lightning": "Lightning with MLFlowLogger"}


def by_hand(steps: int) -> Callable[[], None]:
    """The usual loop, with a call of MLflow at each step."""
    import mlflow

    from tests.benchmarks.loops import points, usual_loop

    mlflow.set_tracking_uri(STORE)
    mlflow.set_experiment("benchmark")

    def log(step: int, d_loss: Any, g_loss: Any) -> None:
        mlflow.log_metrics({"discriminator": d_loss.item(), "generator": g_loss.item()}, step=step)

    def train() -> None:
        with mlflow.start_run():
            usual_loop(points(), log)(steps)

    return train


def with_lightning(steps: int) -> Callable[[], None]:
    """A LightningModule of two optimizers; no checkpoints, no progress bar, batches drawn as in the loops."""
    import logging
    import warnings

    import lightning
    import torch
    from lightning.pytorch.loggers import MLFlowLogger
    from torch.utils.data import DataLoader, Dataset

    from tests.benchmarks.loops import BATCH, discriminator_loss, generator_loss, networks, points

    class Gan(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.generator, self.discriminator = networks()

        def configure_optimizers(self) -> list[torch.optim.Optimizer]:
            players = (self.generator, self.discriminator)
            return [torch.optim.Adam(player.parameters(), lr=1e-3) for player in players]

        def training_step(self, real: torch.Tensor) -> None:
            of_generator, of_discriminator = self.optimizers()  # type: ignore[attr-defined]
            fake = self.generator(torch.randn(BATCH, 2))
            d_loss = discriminator_loss(self.discriminator(real), self.discriminator(fake.detach()))
            of_discriminator.zero_grad()
            self.manual_backward(d_loss)
            of_discriminator.step()
            g_loss = generator_loss(self.discriminator(self.generator(torch.randn(BATCH, 2))))
            of_generator.zero_grad()
            self.manual_backward(g_loss)
            of_generator.step()
            self.log_dict({"discriminator": d_loss, "generator": g_loss})

    class Points(Dataset[torch.Tensor]):
        """Whole batches."""

        def __init__(self) -> None:
            self.data = points()

        def __len__(self) -> int:
            return steps

        def __getitem__(self, _: int) -> torch.Tensor:
            return self.data[torch.randint(len(self.data), (BATCH,))]

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=MLFlowLogger("benchmark", tracking_uri=STORE),
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    return partial(trainer.fit, Gan(), DataLoader(Points(), batch_size=None))


MAKERS = {"mlflow": by_hand, "lightning": with_lightning}


@dataclass(frozen=True)
class Took:
    """Seconds of the whole program, and of its loop alone."""

    whole: float
    loop: float


def run_other(name: str, steps: int) -> Took:
    """One of the others, as a process in a fresh folder."""
    with tempfile.TemporaryDirectory(prefix="genloss-benchmark-") as folder:
        program = processes.run(Path(folder), "-m", "tests.benchmarks.others", name, str(steps))
        # Lightning logs the epoch's number with each step.
        processes.expect_values(program, steps * (3 if name == "lightning" else 2))
        return Took(program.seconds, float(program.output.splitlines()[-1]))


def run_genloss(steps: int) -> Took:
    study = processes.genloss(steps=steps)
    return Took(study.program.seconds, study.training)


def missing() -> dict[str, str]:
    """Which of the others cannot be measured here, and why."""
    there = find_spec("lightning") is not None
    return {} if there else {"lightning": "`lightning` is not installed: `pip install -e '.[benchmarks]'`"}


def measure(steps: int, rounds: int) -> dict[str, list[Took]]:
    """genloss and those of the others that are here, once a round."""
    candidates = {"genloss": lambda: run_genloss(steps)}
    candidates |= {name: partial(run_other, name, steps) for name in MAKERS if name not in missing()}
    return in_turns(candidates, rounds)


def sections(*, quick: bool) -> list[Section]:
    steps, rounds = (500, 1) if quick else (STEPS, ROUNDS)
    found = measure(steps, rounds)
    section = Section(
        "Every value of every step, against other tools",
        f"Whole programs that train the same GAN for {steps:,} steps on one thread and record every step in "
        "a new SQLite store of MLflow: the others each player's loss, genloss four values. "
        f"How many values came is counted in the store. Rounds: {rounds}.",
    )
    whole = {name: Figure.of([took.whole for took in all_of_it], "s") for name, all_of_it in found.items()}
    lines: list[tuple[str, Figure, Bound | None]] = [("`genloss run`", whole["genloss"], None)]
    for name in MAKERS:
        if name in whole:
            lines += [(NAMES[name], whole[name], None)]
            lines += [(f"{NAMES[name]} / `genloss run`", whole[name] / whole["genloss"], BOUND)]
    section.figures(lines)
    loops = {
        name: Figure.of([took.loop / steps * 1e3 for took in all_of_it], "ms")
        for name, all_of_it in found.items()
    }
    listed = "; ".join(f"{NAMES.get(name, 'genloss')} {loop}" for name, loop in loops.items())
    section.remark(f"A step of the loops alone: {listed}.")
    for name, reason in missing().items():
        section.remark(f"{NAMES[name]} was not measured: {reason}.")
    return [section]


def main() -> None:
    import torch

    torch.set_num_threads(1)
    name, steps = sys.argv[1:]
    train = MAKERS[name](int(steps))
    begin = time.perf_counter()
    train()
    print(time.perf_counter() - begin)


if __name__ == "__main__":
    main()
