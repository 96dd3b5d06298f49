"""What hangs is ended: by its timeout, or within ten seconds by one signal, and goes on later."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import genloss
from genloss.launch.references import References
from genloss.launch.signals import Signals
from genloss.record import checkpoint
from genloss.record.folder import RunFolder, read_state

HANGING = Path(__file__).parent / "hanging.py"
STEPS = 40


def experiment(*hangs: bool, **evaluation: Any) -> dict[str, Any]:
    """An objective for each of these: whether its loss hangs, or else its metric."""
    progress = {"linear": {"from": 0.0, "to": 1.0, "steps": STEPS}}
    loss = {"progress": progress}
    return {
        "name": "hanging",
        "plugins": [str(HANGING)],
        "data": {"name": "two_moons", "size": 200},
        "model": {"name": "vae", "latent_dim": 1, "hidden": [4], "likelihood": "gaussian"},
        "objectives": {
            f"o{number}": {"network": {"hanging_loss": {**loss, "hangs": each}}}
            for number, each in enumerate(hangs)
        },
        "training": {"steps": STEPS, "batch_size": 16, "checkpoint_every": 10},
        "seeds": 1,
        "devices": "cpu",
        "workers": len(hangs),
        "evaluation": {"every": 25, "samples": 20, "metrics": ["hanging_metric"], **evaluation},
    }


@pytest.mark.filterwarnings("ignore::genloss.launch.result.UnfinishedWarning")
def test_a_metric_that_hangs_fails_by_the_timeout_of_the_evaluation(here: Path) -> None:
    (here / "hang").touch()
    result = genloss.run(experiment(False, timeout=6))
    (run,) = result.runs
    assert run.status == "FAILED"
    assert run.message == "no progress for 6 s in metric `hanging_metric` (`evaluation.timeout`)"


@pytest.mark.slow
def test_one_signal_ends_what_hangs_and_it_goes_on_from_there(here: Path) -> None:
    (here / "hang").touch()
    (here / "hanging.yaml").write_text(yaml.safe_dump(experiment(True, False)))
    process = subprocess.Popen(
        [sys.executable, "-m", "genloss", "run", "hanging.yaml"], stderr=subprocess.PIPE, text=True
    )
    while not ((here / "loss").exists() and (here / "metric").exists()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 143, said
    assert "interrupted while evaluating (metric `hanging_metric`), which did not end within 10 s" in said
    assert "interrupted while training, which did not end within 10 s" in said
    folders = [RunFolder(path.parent) for path in sorted(here.glob(".genloss/*/*/journal"))]
    assert [read_state(folder).status for folder in folders] == ["INTERRUPTED", "INTERRUPTED"]
    # The loss hangs in its 17th step, behind the checkpoint of the 10th.
    assert [checkpoint.load(folder.checkpoints).step for folder in folders] == [10, 25]
    (here / "hang").unlink()
    result = genloss.resume()
    assert {run.status for run in result.runs} == {"FINISHED"}


class Hanging(References):
    """References whose metric hangs."""

    def _write(self) -> None:
        self._metric, self._since = "slow", time.monotonic()
        self.begun = True
        threading.Event().wait(60)


def test_a_reference_that_hangs_is_not_waited_for() -> None:
    told: list[str] = []
    study: Any = SimpleNamespace(experiment=SimpleNamespace(evaluation=SimpleNamespace(timeout=0.1)))
    references = Hanging(study, told.append)
    references.start()
    references.wait(Signals())
    assert told == ["metric `slow` has no reference: no progress for 0.1 s (`evaluation.timeout`)"]
