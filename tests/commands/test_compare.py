"""`genloss compare` prints what a comparison says, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Said
from tests.comparison.written import finish, study
from tests.tracking.studies import BEGAN

Genloss = Callable[..., Said]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def lines(text: str) -> list[list[str]]:
    """The words of each line."""
    return [line.split() for line in text.splitlines()]


def test_the_last_study_s_table_details_costs_and_answer(genloss: Genloss, here: Path) -> None:
    study(here)
    said = genloss("compare")
    assert said.code == 0, said.err
    assert said.out.startswith("objective")
    assert "frechet_distance ↓" in said.out
    assert "recall ↑: mean ± half-width of the 95% confidence interval" in said.out
    assert ["a", "20", "20", "0.0", "s", "0.0", "MiB", "test"] in lines(said.out)
    assert said.out.rstrip().splitlines()[-2].startswith("By frechet_distance (lower is better)")
    assert "sign-flip test" in said.err


def test_what_did_not_finish_is_told_and_why(genloss: Genloss, here: Path) -> None:
    made = study(here, train=False)
    finish(made, "a-0", {"frechet_distance": 1.0})
    finish(made, "b-0", {}, status="FAILED", message="planted", hint="do something")
    finish(made, "b-1", {}, status="INTERRUPTED", message="stopped at step 5")
    said = genloss("compare")
    assert said.code == 0
    assert "warning: `b-0` failed: planted\nhint: do something" in said.err
    assert "warning: `b-1`: INTERRUPTED: stopped at step 5\n" in said.err
    assert "warning: `a-1`, `a-2` and `b-2`: NOT STARTED" in said.err
    assert "1 of 3" in said.out


def test_of_several_studies_the_runs_are_named_with_theirs(genloss: Genloss, here: Path) -> None:
    for name, seeds, created in (("one", (0, 1, 2), BEGAN), ("two", (3, 4, 5), BEGAN + 1)):
        made = study(here, name=name, seeds=seeds, train=False, created=created)
        finish(made, f"a-{seeds[0]}", {"frechet_distance": 1.0, "recall": 0.5})
        finish(made, f"b-{seeds[0]}", {}, status="FAILED", message="planted")
        finish(made, f"b-{seeds[1]}", {}, status="INTERRUPTED", message="stopped at step 5")
    said = genloss("compare", "one", "two")
    assert said.code == 0, said.err
    assert "warning: `b-0` of `one` and `b-3` of `two` failed: planted\n" in said.err
    assert "warning: `b-1` of `one` and `b-4` of `two`: INTERRUPTED: stopped at step 5\n" in said.err


def test_json_is_for_programs(genloss: Genloss, here: Path) -> None:
    study(here)
    said = genloss("compare", "gan-losses", "--json", "--pairs", "--metric", "recall", "--baseline", "b")
    found = json.loads(said.out)
    assert (found["metric"], found["baseline"], len(found["pairs"])) == ("recall", "b", 2)
    assert [run["status"] for run in found["runs"]] == ["FINISHED"] * 6
    help_ = " ".join(genloss("compare", "--help").out.split())
    for key in found:
        assert key in help_


def test_csv_is_for_spreadsheets(genloss: Genloss, here: Path) -> None:
    study(here)
    rows = list(csv.DictReader(io.StringIO(genloss("compare", "--csv").out)))
    assert [(row["metric"], row["objective"], row["difference_mean"]) for row in rows[:2]] == [
        ("frechet_distance", "a", ""),
        ("frechet_distance", "b", "4.0"),
    ]


def test_the_report_is_written(genloss: Genloss, here: Path) -> None:
    study(here)
    said = genloss("compare", "--html", "report.html")
    assert said.code == 0, said.err
    assert said.out.rstrip().endswith("report.html")
    page = Path("report.html").read_text()
    assert "frechet_distance" in page
    assert "</html>" in page
    said = genloss("compare", "--html", "none/report.html")
    assert said.code == 2
    assert "error: `none/report.html` cannot be written: No such file or directory" in said.err


def test_studies_that_differ_are_refused_unless_that_is_allowed(genloss: Genloss, here: Path) -> None:
    study(here, name="one", created=BEGAN)
    study(
        here,
        name="two",
        created=BEGAN + 1,
        data={"name": "digits", "digest": "f" * 64, "source": "{}", "profile": {}},
    )
    said = genloss("compare", "one", "two")
    assert said.code == 2
    assert said.err == (
        "error: these runs cannot be compared: the data's digest is 0123456789ab in study `one` and "
        "ffffffffffff in study `two`\n"
        "hint: `genloss compare two` compares the objectives of the newest alone; `--allow-differences` "
        "compares them nevertheless, and names what differs\n"
    )
    said = genloss("compare", "one", "two", "--allow-differences")
    assert said.code == 0
    assert "b (two)" in said.out
    assert "compared although they differ: the data's digest is" in said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--html", ""], "error: `--html` has no name of a file\nhint: as in `--html report.html`\n"),
        (["--metric", "recal"], "error: there is no metric `recal`\nhint: did you mean `recall`?\n"),
        (["--baseline", "c"], "error: there is no objective `c`\nhint: known here: `a`, `b`\n"),
        (["--json", "--csv"], "error: `--json` and `--csv` are two forms of the same\nhint: leave one out\n"),
        (["gan-loses"], "error: there is no study `gan-loses` in this folder, and there is no MLflow store"),
        (["--tracking-uri", "file:x"], "error: MLflow no longer keeps its records in plain files"),
    ],
)
def test_mistakes_are_answered(genloss: Genloss, here: Path, arguments: list[str], said: str) -> None:
    study(here)
    found = genloss("compare", *arguments)
    assert found.code in (1, 2)
    assert found.err.startswith(said)
    assert found.out == ""


def test_where_there_is_nothing(genloss: Genloss, here: Path) -> None:
    said = genloss("compare")
    assert said.code == 2
    assert said.err.startswith("error: there is no study in this folder\nhint: `genloss run EXPERIMENT`")


def test_damaged_references_are_no_traceback(genloss: Genloss, here: Path) -> None:
    study(here).references.write_text("[")
    said = genloss("compare")
    assert said.code == 0
    assert "the references are not known" in said.err


def test_a_study_without_metrics_says_so(genloss: Genloss, here: Path) -> None:
    study(here, metrics={})
    said = genloss("compare")
    assert said.code == 0, said.err
    assert "No metric was computed" in said.out
