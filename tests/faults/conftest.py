"""Faults: real processes, real SQLite stores, and folders of each test's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from genloss.record.folder import RunFolder, StudyFolder
from tests.commands.conftest import genloss  # noqa: F401 - a fixture
from tests.faults import damages, support
from tests.faults.support import Done, experiment, objective

if TYPE_CHECKING:
    from genloss.launch.run import StudyResult


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of the test's own, with a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@dataclass(frozen=True)
class Faulty:
    """A study that has ended, with its working folder."""

    here: Path
    result: StudyResult

    def run(self, objective: str) -> RunFolder:
        return RunFolder(self.here / self.result.folder / f"{objective}-0")

    def message(self, objective: str) -> str:
        (message,) = [run.message for run in self.result.runs if run.objective == objective]
        return message


BAD = 21
"""The step at which a loss becomes bad."""

FAULTS = {
    "none": objective(),
    # Losses.
    "raise": objective("raise", BAD),
    "detached": objective("detached", BAD),
    "number": objective("number", BAD),
    "dtype": objective("dtype", BAD),
    "shape_at_once": objective("shape"),
    "dtype_at_once": objective("dtype"),
    "detached_at_once": objective("detached"),
    "number_at_once": objective("number"),
    "hang": objective("hang", BAD, training__timeout=3),
    "segfault": objective("segfault", BAD),
    "exit": objective("exit", BAD),
    "close": objective("close", BAD, only_then=True, training__checkpoint_every=1),
    "sys_exit": objective("sys_exit", BAD),
    "unprintable": objective("unprintable", BAD),
    "surrogate": objective("surrogate", BAD),
    # Models and metrics.
    "build": objective(model={"name": "mistaken", "fault": "build"}),
    "turn": objective(model={"name": "mistaken", "fault": "turn"}),
    "sample": objective(model={"name": "mistaken", "fault": "sample"}),
    "sample_shape": objective(model={"name": "mistaken", "fault": "sample_shape"}),
    "metric": objective(model={"name": "mistaken", "fault": "metric"}),
    "metric_text": objective(model={"name": "mistaken", "fault": "metric_text"}),
    # Values that are not finite.
    **{f"fail_{value}": objective(value, BAD) for value in ("nan", "inf", "minus_inf")},
    **{
        f"{policy}_{value}": objective(value, BAD, only_then=True, training__on_nonfinite=policy)
        for policy in ("skip", "continue")
        for value in ("nan", "inf", "minus_inf")
    },
    "skip_nothing": objective("zero", BAD, only_then=True),
    "fail_skipping": objective("nan", 5, training__on_nonfinite="skip"),
    "fail_at_once": objective("nan"),
    # Trained until the last finite value before.
    "until_finite": objective(training__steps=BAD - 1),
}


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Faulty:
    """A study in which each objective goes wrong in its own way."""
    from genloss.launch.run import UnfinishedWarning, run

    here = tmp_path_factory.mktemp("faulty")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with pytest.warns(UnfinishedWarning):
            result = run(experiment(FAULTS, evaluation={"samples": 20, "metrics": ["spread"]}))
    return Faulty(here, result)


@dataclass(frozen=True)
class Resumed:
    """A study whose runs failed half-way, whose records were damaged then, and that was resumed.

    Attributes:
        here: its working folder.
        study: its folder.
        failed: what it said when it failed.
        done: what it said when it was resumed.
    """

    here: Path
    study: StudyFolder
    failed: Done
    done: Done

    def run(self, objective: str) -> RunFolder:
        return self.study.run(f"{objective}-0")


CHECKPOINT_EVERY = 5

DAMAGES: Mapping[str, Callable[[RunFolder], None]] = {
    "nothing": damages.nothing,
    "checkpoint_truncated": damages.checkpoint_truncated,
    "checkpoint_flipped": damages.checkpoint_flipped,
    "checkpoint_empty": damages.checkpoint_empty,
    "checkpoint_newer": damages.checkpoint_newer,
    "checkpoint_pickle": damages.checkpoint_pickle,
    "checkpoint_undigested": damages.checkpoint_undigested,
    "checkpoints_damaged": damages.checkpoints_damaged,
    "checkpoints_gone": damages.checkpoints_gone,
    "journal_torn": damages.journal_torn,
    "journal_short": damages.journal_short,
    "journal_zeros": damages.journal_zeros,
    "journal_flipped": damages.journal_flipped,
    "journal_pickle": damages.journal_pickle,
    "journal_empty": damages.journal_empty,
    "journal_gone": damages.journal_gone,
}
ANEW = ("journal_short", "journal_flipped", "journal_pickle", "journal_empty", "journal_gone")
"""Damages after which a run starts over."""


@pytest.fixture(scope="session")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    """A study in which the record of each objective is damaged in its own way.

    All objectives are one and the same, and so must be the results, whatever was damaged.
    """
    here = tmp_path_factory.mktemp("resumed")
    wide = {"model__hidden": [64], "training__optimizer": {"name": "adam", "lr": 0.01}}
    objectives = {
        "none": objective(),
        "wide": objective(**wide),
        **{name: objective("raise", BAD) for name in DAMAGES},
        # These come last: a worker whose disk is full can train nothing else.
        "disk_small": objective("small", BAD - 10, **wide),
        "disk_full": objective("full", BAD),
    }
    content = experiment(objectives, training={"checkpoint_every": CHECKPOINT_EVERY})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        failed = support.genloss_in_this_process("run", support.write(content))
        study = support.the_study()
        for name, damage in DAMAGES.items():
            damage(study.run(f"{name}-0"))
        Path("mended").touch()
        done = support.genloss_in_this_process("resume")
    return Resumed(here, StudyFolder(here / study.path), failed, done)
