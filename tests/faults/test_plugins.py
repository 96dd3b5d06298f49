"""Plugins that go wrong: the request is refused where that shows before training, else their run fails alone.

The traceback of a plugin's bug is on the terminal where the request is refused, and in the run's artifact
`traceback.txt` where the run fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Said
from tests.faults import support
from tests.faults.conftest import BAD, FAULTS, Faulty
from tests.faults.support import experiment, objective

LINE = r"\(.*planted\.py:\d+\)"
UNPRINTABLE = r"\(its message cannot be made: its `__str__` raises ZeroDivisionError\)"

MESSAGES = {
    "raise": rf"loss `planted` {LINE}: ZeroDivisionError: planted",
    "detached": "RuntimeError: element 0 of tensors does not require grad.*",
    "number": "loss `planted`: AttributeError: 'float' object has no attribute 'mean'",
    "dtype": r"loss `planted`: RuntimeError: mean\(\): could not infer output dtype.*",
    "shape_at_once": r"loss `planted` must return one value per example, shape \[16\], got float32 \[16, 2\]",
    "dtype_at_once": r"loss `planted` must return floating-point values, got int64 \[16\]",
    "detached_at_once": "no parameter of `network` gets a gradient from `planted`",
    "number_at_once": r"loss `planted` must return one value per example, shape \[16\], got float [\d.]+",
    "hang": r"no progress for 3 s \(`training.timeout`\)",
    "segfault": "the worker was ended by SIGSEGV",
    "exit": "the worker ended by itself with exit code 0",
    "close": r"the (journal `.*` was closed by code|worker ended by itself with exit code 1).*",
    "sys_exit": rf"loss `planted` {LINE}: SystemExit: 0",
    "unprintable": rf"loss `planted` {LINE}: Unprintable: {UNPRINTABLE}",
    "surrogate": rf"loss `planted` {LINE}: ValueError: half a \\ud800 character",
    "build": rf"model `mistaken` {LINE}: ZeroDivisionError: planted in build",
    "turn": rf"model `mistaken` {LINE}: ZeroDivisionError: planted in turn",
    "sample": rf"model `mistaken` {LINE}: ZeroDivisionError: planted in sample",
    "sample_shape": "AxisError: .*",
    "metric": rf"metric `spread` {LINE}: ZeroDivisionError: planted in metric",
    "metric_text": "ValueError: could not convert string to float: 'narrow'",
}
RAISING = [name for name in MESSAGES if name not in ("hang", "exit", "close")]
STEPS = 40
LASTING = ("sample", "sample_shape", "metric", "metric_text")
"""Faults that come after the last step."""


@pytest.mark.parametrize("fault", MESSAGES)
def test_a_run_that_goes_wrong_fails_and_says_why(faulty: Faulty, fault: str) -> None:
    assert re.fullmatch(MESSAGES[fault], faulty.message(fault))
    assert support.runs(faulty.here)[f"{fault}-0"] == "FAILED"
    assert faulty.message(fault) in support.tags(faulty.here, f"{fault}-0")["genloss.message"]


def test_what_is_recorded_goes_into_no_file_of_a_plugin_s(faulty: Faulty) -> None:
    sizes = [path.stat().st_size for path in faulty.here.glob("mine-*")]
    assert len(sizes) == 40
    assert not any(sizes)


@pytest.mark.parametrize("fault", MESSAGES)
def test_its_traceback_is_an_artifact_with_the_line_that_reproduces_it(faulty: Faulty, fault: str) -> None:
    text = support.artifacts(faulty.here, f"{fault}-0")["traceback.txt"].read_text()
    if fault in RAISING:
        assert "Traceback" in text or "Fatal Python error: Segmentation fault" in text
    assert f"--objective {fault}" in text.rpartition("To reproduce it:\n")[2]


@pytest.mark.parametrize("fault", MESSAGES)
def test_what_was_computed_before_is_kept_and_shipped(faulty: Faulty, fault: str) -> None:
    """Once per key and step, the same as where nothing goes wrong; up to the step, if Python had the word."""
    shipped = {
        (key, step): value
        for (run, key, step), value in support.values(faulty.here).items()
        if run == f"{fault}-0"
    }
    of_none = {
        (key, step): value
        for (run, key, step), value in support.values(faulty.here).items()
        if run == "none-0"
    }
    steps = [step for key, step in shipped if key == "network/planted"]
    if fault in LASTING:
        assert sorted(steps) == list(range(STEPS))
    elif fault in ("raise", "detached", "number", "dtype", "sys_exit", "unprintable", "surrogate"):
        assert sorted(steps) == list(range(BAD))
    elif fault in ("hang", "segfault", "exit", "close"):
        assert sorted(steps) == list(range(len(steps)))
    else:
        assert steps == []
    if "model" not in FAULTS[fault].get("with", {}):
        assert all(of_none[row] == value for row, value in shipped.items())


def test_the_other_runs_finish_as_if_alone(faulty: Faulty) -> None:
    statuses = support.runs(faulty.here)
    failed = {f"{name}-0" for name in [*MESSAGES, *FAULTS] if name in MESSAGES or name.startswith("fail_")}
    assert {name for name, status in statuses.items() if status == "FAILED"} == failed
    assert set(statuses.values()) == {"FAILED", "FINISHED"}
    assert set(support.rows(faulty.here).values()) == {1}
    assert faulty.result.exit_code == 1
    assert faulty.result.shipped


AT_PLAN = {
    "raise": "ZeroDivisionError: planted",
    "shape": "loss `planted` must return one value per example",
    "dtype": "loss `planted` must return floating-point values, got int64",
    "detached": "no parameter of `network` gets a gradient from `planted`",
    "number": "loss `planted` must return one value per example",
    "nan": "loss `planted` is nan on the first 16 training examples",
    "inf": "loss `planted` is inf on the first 16 training examples",
    "sys_exit": "failed on the first 16 training examples: SystemExit: 0",
    "unprintable": "Unprintable: (its message cannot be made: its `__str__` raises ZeroDivisionError)",
    "surrogate": r"ValueError: half a \ud800 character",
}
RAISING_AT_PLAN = ("raise", "sys_exit", "unprintable", "surrogate")


@pytest.mark.parametrize("fault", AT_PLAN)
def test_what_shows_before_training_is_refused_with_its_place(
    genloss: Callable[..., Said], here: Path, fault: str
) -> None:
    said = genloss("run", support.write(experiment({"mine": objective(fault, in_plan=True)})))
    assert said.code == 2
    assert AT_PLAN[fault] in said.err
    assert "--> experiment.yaml:" in said.err
    assert ("Traceback" in said.err) == (fault in RAISING_AT_PLAN)
    assert not Path(".genloss").exists()
    assert not Path("mlflow.db").exists()


HOOK = "import genloss\n\n@genloss.hookimpl\ndef genloss_losses():\n"


@pytest.mark.parametrize(
    "source",
    [
        "raise ZeroDivisionError('planted')",
        "import no_such_module",
        "def (",
        "raise SystemExit(0)",
        f"{HOOK}    raise ZeroDivisionError('planted')\n",
        f"{HOOK}    yield 3\n",
    ],
    ids=["raises", "misses a module", "is not a Python", "exits", "raises in a hook", "offers no loss"],
)
def test_a_plugin_that_cannot_be_loaded_is_refused_by_name(
    genloss: Callable[..., Said], here: Path, source: str
) -> None:
    Path("broken.py").write_text(source)
    said = genloss("run", support.write(experiment({"mine": objective()})), "--plugin", "broken.py")
    assert said.code == 2
    assert "broken.py" in said.err.splitlines()[0]
    assert said.err.startswith("error: ")
    assert not Path(".genloss").exists()


@pytest.mark.slow
def test_a_plugin_that_breaks_after_it_was_planned_fails_the_runs(here: Path) -> None:
    """Each worker imports it again."""
    Path("import-fails-in-workers").touch()
    done = support.genloss("run", support.write(experiment({"mine": objective()}, seeds=2)))
    assert done.code == 1
    assert "planted.py" in done.err
    assert "planted at import" in done.err
    assert set(support.runs(here).values()) == {"FAILED"}
    Path("import-fails-in-workers").unlink()
    assert support.genloss("resume").code == 0
    assert support.runs(here) == {"mine-0": "FINISHED", "mine-1": "FINISHED"}
    assert set(support.rows(here).values()) == {1}
