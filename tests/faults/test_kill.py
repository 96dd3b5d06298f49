"""SIGKILL of everything at once, at moments by chance and at those that are the worst; each resumed.

Afterwards there is one MLflow run of each name, exactly one row for each key and step, and every value and
the final weights are those of a study that was never interrupted.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from tests.faults import support
from tests.faults.support import Uninterrupted
from tests.faults.traps.killing import family, kill_everything

STEPS, CHECKPOINT_EVERY, EVALUATE_EVERY = 720, 36, 240


def experiment() -> dict[str, Any]:
    """Two objectives, in which everything decides the trajectory that a checkpoint must hold.

    Learned parameters and buffers of a loss, three random generators, schedules, an average of the weights,
    two players with optimizers of their own, several updates a step, losses that come now and then.
    """
    ramp = {"linear": {"from": 1.0, "to": 0.1, "steps": STEPS}}
    cycle = {"cyclical": {"from": 0.0, "to": 1.0, "period": 150}}
    gan = {
        "model.name": "gan",
        "training.players.discriminator.updates_per_step": 2,
        "training.optimizer": {"name": "rmsprop", "lr": 0.001},
    }
    return support.experiment(
        {
            "wandering": {
                "network": [
                    {"wandering": {"weight": ramp}},
                    "squared_error",
                    {"absolute_error": {"every": 7, "weight": cycle}},
                ]
            },
            "adversarial": {
                "discriminator": ["minimax_discriminator", {"r1": {"every": 16}}],
                "generator": "non_saturating_generator",
                "with": gan,
            },
        },
        training={
            "steps": STEPS,
            "checkpoint_every": CHECKPOINT_EVERY,
            "optimizer": {"name": "adamw", "lr": 0.003},
            "ema": 0.9,
        },
        evaluation={"every": EVALUATE_EVERY, "samples": 100, "metrics": ["spread"]},
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    """What is left of a study that is not interrupted."""
    here = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return support.uninterrupted(here, experiment())


def resume(here: Path, expected: Uninterrupted) -> None:
    assert support.genloss("resume").code == 0
    support.assert_equal_to_uninterrupted(here, expected)


@contextmanager
def at_a_moment_by_chance(expected: Uninterrupted) -> Iterator[Popen[str]]:
    """A study, while it is trained or shipped."""
    with support.start("run", support.write(experiment())) as process:
        support.wait_for("its workers", support.begun)
        seconds = random.uniform(0, expected.seconds)
        print(f"{seconds:.2f} s of {expected.seconds:.2f} s after its workers were started")
        time.sleep(seconds)
        yield process
        process.communicate()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Two kills by chance, or with `--full` twenty."""
    if "number" in metafunc.fixturenames:
        metafunc.parametrize("number", range(20 if metafunc.config.getoption("--full") else 2))


@pytest.mark.slow
def test_killed_at_a_moment_by_chance(here: Path, expected: Uninterrupted, number: int) -> None:
    with at_a_moment_by_chance(expected) as process:
        kill_everything(process.pid)
    resume(here, expected)


def test_killed_in_a_checkpoint_s_write(here: Path, expected: Uninterrupted) -> None:
    support.killed("run", support.write(experiment()), trap="checkpoint 8")
    resume(here, expected)


MOMENTS = ["journal 9", "checkpoint 5", "undigested 4", "published 4", "upload 7", "uploaded 3", "cursor 5"]


@pytest.mark.slow
def test_killed_again_and_again_when_it_hurts_most(here: Path, expected: Uninterrupted) -> None:
    """One study, killed at each of these moments (see traps/sitecustomize.py), resumed each time."""
    file = support.write(experiment())
    support.killed("run", file, trap=MOMENTS[0])
    for trap in MOMENTS[1:]:
        support.killed("resume", trap=trap)
    resume(here, expected)


@pytest.mark.slow
def test_the_launcher_alone_is_killed_and_the_study_resumed_at_once(
    here: Path, expected: Uninterrupted
) -> None:
    """Its workers and its tracker still live for a moment: they are waited for, and none is left."""
    with at_a_moment_by_chance(expected) as process:
        started = family(process.pid)
        process.kill()
    resume(here, expected)
    support.wait_for("the end of what it had started", lambda: not any(map(family, started)), seconds=30)


@pytest.mark.slow
def test_workers_alone_are_killed_in_a_checkpoint_s_write_and_tried_again(
    here: Path, expected: Uninterrupted
) -> None:
    file = support.write({**experiment(), "on_failure": {"retry": 1}})
    done = support.genloss("run", file, trap="checkpoint 15 alone")
    assert done.err.count("the worker was ended by SIGKILL") == 1
    assert done.err.count("-0 failed after") == 2
    assert done.code == 0
    support.assert_equal_to_uninterrupted(here, expected)
