"""The check command: rows with their verdicts, sections that are replaced, and the experiments' files."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import genloss
from genloss.conformance import checks
from genloss.planning.plan import plan, runs
from tests.published.conftest import PUBLISHED

Import = Callable[[str], ModuleType]
NAMES = sorted(path.stem for path in PUBLISHED.glob("*.yaml"))
PLUGINS = sorted(path for path in PUBLISHED.glob("*.py") if path.name != "check.py")


def test_each_experiment_has_a_check_and_is_in_the_guide(module: Import) -> None:
    assert sorted(module("checks").all_checks()) == NAMES
    guide = (PUBLISHED.parent / "README.md").read_text()
    assert [name for name in NAMES if f"(published/{name}.yaml)" not in guide] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_is_right_with_its_default_and_its_full_budget(name: str, module: Import) -> None:
    planned = plan(PUBLISHED / f"{name}.yaml", overrides=module("checks").all_checks()[name].full)
    assert runs(planned, "study")


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_a_plugin_file_conforms(path: Path) -> None:
    catalogue = genloss.catalogue(path)
    built_in = genloss.catalogue()
    kinds = ("losses", "models", "datasets", "metrics")
    own = [
        definition
        for kind in kinds
        for name, definition in getattr(catalogue, kind).items()
        if name not in getattr(built_in, kind)
    ]
    assert own
    for definition in own:
        for check in checks(definition):
            check.run()


def test_an_interval_is_students_t(module: Import) -> None:
    interval = module("checks.frame").Interval.of([1.0, 2.0, 3.0])
    assert (interval.mean, interval.error) == (2.0, pytest.approx(1 / math.sqrt(3)))
    assert interval.half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert str(interval) == "2.0 [-0.5, 4.5]"
    assert 4.4 in interval
    assert 4.6 not in interval
    assert str(module("checks.frame").Interval.of([0.123456])) == "0.1235"


def test_an_interval_ends_where_there_can_be_nothing(module: Import) -> None:
    frame = module("checks.frame")
    ours = [8.0, 8.0, 7.0, 8.0, 8.0]
    assert str(frame.Interval.of(ours)) == "7.80 [7.24, 8.36]"
    assert frame.seen("modes", ours, (0, 8)).ours == "7.80 [7.24, 8.00]"
    assert frame.seen("modes", [0.0, 1.0, 0.0], (0, 8)).ours == "0.3 [0.0, 1.8]"
    row = frame.measured("modes", 7.5, 0.1, ours, spread_of="error", possible=(0, 8))
    assert (row.ours, row.verdict) == ("7.80 [7.24, 8.00]", "theirs is within our interval")


def test_what_is_exact_must_be_within_monte_carlo_error(module: Import) -> None:
    exact = module("checks.frame").exact
    row = exact("x", 2.0, [1.9, 2.0, 2.2])
    assert (row.expected, row.difference, row.missed) == ("2.0000", "+0.033", False)
    assert row.verdict == "within Monte Carlo error: +0.4 standard errors"
    assert exact("x", 1.0, [1.9, 2.0, 2.2]).missed
    assert exact("x", 1.0, [2.0, 2.0]).missed
    assert not exact("x", 2.0, [2.0, 2.0]).missed
    assert exact("x", 2.0, []).missed
    assert exact("x", 2.0, [2.0]).missed, "a single seed has no error to compare with"


def test_an_ordering_is_shown_by_paired_seeds_alone(module: Import) -> None:
    ordering = module("checks.frame").ordering
    worse = {0: 1.0, 1: 5.0, 2: 9.0}
    assert not ordering("x", {seed: value - 1 - seed / 10 for seed, value in worse.items()}, worse).missed
    assert ordering("x", {seed: value + 1 + seed / 10 for seed, value in worse.items()}, worse).missed
    assert ordering("x", {0: 0.0, 1: 6.0, 2: 8.0}, worse).verdict == "**inconclusive** with this many seeds"
    assert ordering("x", {0: 0.0}, worse).missed


def test_somebodys_measurement_is_beside_ours_and_nothing_is_claimed(module: Import) -> None:
    measured = module("checks.frame").measured
    said = [
        measured("x", 6.3, 0.5, ours, spread_of="error")
        for ours in ([6.0, 6.5, 6.6], [6.1, 6.1, 6.1], [8.0, 8.0, 7.9])
    ]
    assert [row.verdict for row in said] == [
        "theirs is within our interval",
        "ours is within their error",
        "above theirs by 26%",
    ]
    assert not any(row.missed for row in said)


def test_a_section_replaces_the_one_of_its_name(module: Import) -> None:
    check = module("check")
    full, default, other = "## mode_collapse_ring --full", "## mode_collapse_ring", "## dirac_gan"
    text = ""
    for section in (f"{full}\n\nfull", f"{default}\n\nold", f"{other}\n\nother", f"{default}\n\nnew\n"):
        text = check.merged(text, section)
    assert text.startswith("# genloss compared with")
    assert text.endswith(f"{other}\n\nother\n\n{default}\n\nnew\n\n{full}\n\nfull\n")
    assert "old" not in text


def test_an_unknown_check_is_a_mistake_with_the_names() -> None:
    done = subprocess.run(
        [sys.executable, str(PUBLISHED / "check.py"), "dirak"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 2
    assert "unknown check dirak; known checks: dirac_gan" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dirac_gan", "iwae_linear_gaussian"])
def test_what_is_exact_comes_out(name: str, tmp_path: Path, module: Import) -> None:
    result, rows = module("check").run(module("checks").all_checks()[name], keep=tmp_path)
    assert result.exit_code == 0, result.summary()
    print(module("checks.frame").table(rows))
    assert [row for row in rows if row.missed] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ring", "grid"])
def test_modes_are_counted_beside_the_papers(kind: str, tmp_path: Path, module: Import) -> None:
    check = module("check")
    of = module("checks").all_checks()[f"mode_collapse_{kind}"]
    tiny = ["training.steps=4", "evaluation.every=4", "evaluation.samples=50", "seeds=2"]
    result, rows = check.run(of, tiny, tmp_path)
    assert result.exit_code == 0, result.summary()
    assert len(rows) == 14
    assert rows[0].expected == {"ring": "6.3 ± 0.5", "grid": "17.3 ± 0.8"}[kind]
    text = check.section(f"mode_collapse_{kind}", of, rows, result, "said")
    assert text.startswith(f"## mode_collapse_{kind}\n")
    assert "arXiv:1712.04086, Table 1" in text
