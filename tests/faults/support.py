"""Studies that go wrong, and what must be left of them, in helpers that read like sentences."""

from __future__ import annotations

import gc
import hashlib
import io
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mlflow.utils.file_utils import local_file_uri_to_path
from safetensors.torch import load_file

from genloss import commands
from genloss.record.folder import RunFolder, StudyFolder, read_state, values_from
from genloss.record.state import RunState

PLANTED = Path(__file__).parent / "planted.py"
TRAPS = Path(__file__).parent / "traps"

Row = tuple[str, str, int]
"""Run, key and step."""


def objective(
    fault: str = "none", at: int = 0, *, only_then: bool = False, in_plan: bool = False, **also: Any
) -> dict[str, Any]:
    """An objective whose only loss goes wrong at a step; `also` is set for it alone."""
    counted = {"linear": {"from": 0.0, "to": 1e6, "steps": 1_000_000}}
    options = {"fault": fault, "at": at, "only_then": only_then, "in_plan": in_plan, "step": counted}
    changed = {key.replace("__", "."): value for key, value in also.items()}
    return {"network": {"planted": options}, **({"with": changed} if changed else {})}


def experiment(objectives: Mapping[str, Any], *, steps: int = 40, **more: Any) -> dict[str, Any]:
    """An experiment of the smallest sort; `more` replaces parts of it."""
    training = {"steps": steps, "batch_size": 16, "optimizer": {"name": "sgd", "lr": 0.01}}
    return {
        "name": "faults",
        "plugins": [str(PLANTED)],
        "data": {"name": "two_moons", "size": 200},
        "model": {"name": "autoencoder", "latent_dim": 1, "hidden": [4]},
        "objectives": dict(objectives),
        "seeds": 1,
        "devices": "cpu",
        "workers": 2,
        **more,
        "training": {**training, **more.get("training", {})},
    }


def write(content: Mapping[str, Any], name: str = "experiment.yaml") -> Path:
    """Writes an experiment here."""
    path = Path(name)
    path.write_text(yaml.safe_dump(dict(content), sort_keys=False))
    return path


def rows(here: Path) -> Counter[Row]:
    """How many rows the store has for each run, key and step."""
    return Counter((run, key, step) for run, key, step, _ in _metrics(here))


def values(here: Path) -> dict[Row, float]:
    """What the store has for each run, key and step; NaN where it says so."""
    return {(run, key, step): value for run, key, step, value in _metrics(here)}


def _metrics(here: Path) -> list[tuple[str, str, int, float]]:
    query = """SELECT name, key, step, value, is_nan FROM metrics JOIN runs USING (run_uuid)
               WHERE key NOT LIKE 'cost/%'"""  # what a run took is in no frame of values
    with closing(sqlite3.connect(here / "mlflow.db")) as store:
        return [
            (run, key, step, math.nan if is_nan else value)
            for run, key, step, value, is_nan in store.execute(query)
        ]


TRAINED = "lifecycle_stage = 'active' AND name != 'comparison'"
"""Which of the store's runs were trained and not deleted, in SQL."""


def runs(here: Path) -> dict[str, str]:
    """The status of each run in the store that was trained; one run of a name, or this raises."""
    with closing(sqlite3.connect(here / "mlflow.db")) as store:
        found = store.execute(f"SELECT name, status FROM runs WHERE {TRAINED}").fetchall()
    assert len(found) == len({name for name, _ in found}), found
    return dict(found)


def finished(here: Path, name: str) -> dict[tuple[str, int], float]:
    """What the store has of the one run of that name that finished, by key and step; each once."""
    query = """SELECT key, step, value, is_nan FROM metrics JOIN runs USING (run_uuid)
               WHERE name = ? AND status = 'FINISHED' AND key NOT LIKE 'cost/%'"""
    with closing(sqlite3.connect(here / "mlflow.db")) as store:
        found = store.execute(query, [name]).fetchall()
    by_row = {(key, step): math.nan if is_nan else value for key, step, value, is_nan in found}
    assert len(by_row) == len(found), f"{name}: {len(found)} rows for {len(by_row)} keys and steps"
    return by_row


def statuses(here: Path, name: str) -> Counter[str]:
    """How many runs of that name the store has, by status."""
    with closing(sqlite3.connect(here / "mlflow.db")) as store:
        return Counter(row[0] for row in store.execute("SELECT status FROM runs WHERE name = ?", [name]))


def tags(here: Path, run: str) -> dict[str, str]:
    """A run's tags in the store."""
    query = "SELECT tags.key, tags.value FROM tags JOIN runs USING (run_uuid) WHERE runs.name = ?"
    with closing(sqlite3.connect(here / "mlflow.db")) as store:
        return dict(store.execute(query, [run]).fetchall())


def artifacts(here: Path, run: str) -> dict[str, Path]:
    """The files that a run has in the store, by name."""
    with closing(sqlite3.connect(here / "mlflow.db")) as store:
        ((uri,),) = store.execute("SELECT artifact_uri FROM runs WHERE name = ?", [run]).fetchall()
    folder = here / local_file_uri_to_path(uri)  # type: ignore[no-untyped-call]
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def digest(weights: Path) -> str:
    """A digest of all numbers in a file of weights."""
    tensors = load_file(weights)
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}".encode())
        total.update(tensors[name].numpy().tobytes())
    return total.hexdigest()


def final_weights(run: RunFolder) -> str:
    """The digest of the weights that a run kept."""
    return digest(run.artifacts / "model" / "weights.safetensors")


def the_study() -> StudyFolder:
    """The only study here."""
    (found,) = Path(".genloss").glob("*/study.json")
    return StudyFolder(found.parent)


def record(run: RunFolder) -> RunState:
    """What a run's journal says, each step once."""
    gathered = read_state(run)
    steps = [block.first_step + row for block in values_from(run, 0) for row in range(len(block.values))]
    assert steps == list(range(len(steps))), f"{run.path} has steps {steps}"
    return gathered


def recorded(run: RunFolder, key: str) -> np.ndarray:
    """All values of a key in a run's journal, in the order of the steps; those that are not there are 0."""
    gathered = record(run)
    index = [column.key for column in gathered.columns].index(key)
    return np.concatenate([block.values[:, index] for block in values_from(run, 0)])


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def start(*arguments: object, trap: str = "") -> subprocess.Popen[str]:
    """Starts `genloss …` here, which dies at the moment that the trap names; see traps/sitecustomize.py."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GENLOSS_TEST_")}
    if trap:
        path = [str(TRAPS), environment.get("PYTHONPATH", "")]
        environment |= {"GENLOSS_TEST_TRAP": trap, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    return subprocess.Popen(
        [sys.executable, "-m", "genloss", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def genloss(*arguments: object, trap: str = "") -> Done:
    """Runs `genloss …` here to its end, which says nothing that only a developer understands."""
    with start(*arguments, trap=trap) as process:
        out, err = process.communicate(timeout=600)
    assert "Traceback" not in err, err
    return Done(process.returncode, out, err)


def genloss_in_this_process(*arguments: object) -> Done:
    """The same, without the time that a process takes to begin."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["genloss", *map(str, arguments)])
        with pytest.raises(SystemExit) as ending:
            commands.main()
    gc.unfreeze()  # this process does not end with the command
    assert "Traceback" not in err.getvalue(), err.getvalue()
    return Done(int(ending.value.code or 0), out.getvalue(), err.getvalue())


def killed(*arguments: object, trap: str) -> None:
    """Runs `genloss …` here, which is killed by the trap."""
    with start(*arguments, trap=trap) as process:
        _, err = process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL, f"`{trap}` did not come: {err}"


def wait_for(what: str, come: Callable[[], object], seconds: float = 300) -> None:
    """Waits until it has come."""
    deadline = time.monotonic() + seconds
    while not come():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Uninterrupted:
    """What a study leaves if nothing goes wrong.

    Attributes:
        values: the store's, by run, key and step.
        weights: the digests of the final weights, by run.
        artifacts: the names of the files in the store, by run; of pictures their number.
        seconds: from the start of its workers to its end.
    """

    values: Mapping[Row, float]
    weights: Mapping[str, str]
    artifacts: Mapping[str, Counter[str]]
    seconds: float


def uninterrupted(here: Path, content: Mapping[str, Any]) -> Uninterrupted:
    """Runs an experiment in a folder, to its end."""
    done = genloss_in_this_process("run", write(content))
    seconds = time.time() - min(path.stat().st_mtime for path in Path(".genloss").glob("*/logs"))
    assert done.code == 0, done.err
    assert set(rows(here).values()) == {1}
    return Uninterrupted(*_left(here), seconds)


def begun() -> bool:
    """Whether a study here has started its workers."""
    return any(Path(".genloss").glob("*/logs/*"))


def assert_equal_to_uninterrupted(here: Path, expected: Uninterrupted) -> None:
    """One run of each name, one row of each key and step; values and weights as if nothing had been."""
    assert set(runs(here).values()) == {"FINISHED"}
    twice = [row for row, count in rows(here).items() if count > 1]
    assert not twice, f"more than once in the store: {twice[:5]}"
    found, weights, listed = _left(here)
    assert found.keys() == expected.values.keys()
    other = [row for row, value in expected.values.items() if value != found[row]]
    assert not other, f"another value: {other[:5]}"
    assert weights == expected.weights
    assert listed == expected.artifacts


def _left(here: Path) -> tuple[dict[Row, float], dict[str, str], dict[str, Counter[str]]]:
    study = the_study()
    names = runs(here)
    weights = {name: final_weights(study.run(name)) for name in names}
    for name, digest_here in weights.items():
        record(study.run(name))
        assert digest(artifacts(here, name)["model/weights.safetensors"]) == digest_here
    listed = {
        name: Counter(
            "a picture" if file.startswith("images/") else file
            for file in artifacts(here, name)
            if file != "traceback.txt"  # of an attempt that failed
        )
        for name in names
    }
    return values(here), weights, listed
