from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from genloss.errors import DefinitionError, ExperimentError
from genloss.experiment import source
from genloss.planning import metrics
from genloss.planning.plan import Plan, plan, runs
from genloss.planning.remarks import Remark
from genloss.training.devices import Device

from .conftest import VALID

Planned = Callable[..., Plan]
Refused = Callable[..., str]


def test_runs_go_by_seed_so_that_a_part_of_a_study_can_be_compared(planned: Planned) -> None:
    planned_runs = runs(planned(), "toys-1")
    assert [run.name for run in planned_runs] == ["first-3", "second-3", "first-1", "second-1"]
    assert [run.seed for run in planned_runs] == [3, 3, 1, 1]
    assert {run.device for run in planned_runs} == {"cpu"}
    first = planned_runs[1]
    assert (first.study, first.experiment) == ("toys-1", "toys")
    assert first.objective.name == "second"
    assert first.data.name == "dots"
    assert first.evaluation is not None
    assert first.parameters()["critic.pull.weight"] == "2.0"


def test_runs_are_dealt_to_the_workers_of_devices(planned: Planned) -> None:
    devices = (Device("cuda:0", "as asked for", 1, 3), Device("cpu", "as asked for", 2, 1))
    planned_runs = runs(replace(planned(), devices=devices), "s")
    assert [run.device for run in planned_runs] == ["cuda:0", "cpu", "cpu", "cuda:0"]
    assert [run.threads for run in planned_runs] == [3, 1, 1, 3]


def test_a_run_survives_json(planned: Planned) -> None:
    (run, *_) = runs(planned(), "s")
    assert type(run).model_validate_json(run.model_dump_json(by_alias=True)) == run


def test_the_line_that_reproduces_a_run_does_so(planned: Planned, toys: Path) -> None:
    first = planned(overrides=["training.steps=7", "seeds=[9, 8]", "description=it's"])
    run = runs(first, "s")[3]
    assert run.reproduce == (
        "genloss run toys.yaml --objective second --set 'seeds=[8]' "
        f"--set threads={first.devices[0].threads} --set training.steps=7 "
        f"""--set 'description=it'"'"'s' --plugin {shlex.quote(str(toys))}"""
    )
    words = shlex.split(run.reproduce)
    again = plan(
        words[2],
        objectives=[words[4]],
        overrides=[word for flag, word in pairwise(words) if flag == "--set"],
        plugins=[Path(word) for flag, word in pairwise(words) if flag == "--plugin"],
    )
    (same,) = runs(again, "s")
    assert same.model_copy(update={"reproduce": run.reproduce}) == run


def test_only_the_chosen_objectives_are_planned(planned: Planned) -> None:
    chosen = planned(objectives=["second"]).experiment
    assert [objective.name for objective in chosen.objectives] == ["second"]
    assert chosen.baseline == "second"
    assert " --objective second" in source.command(chosen.model_dump(), "")
    both = planned(objectives=["second", "first"]).experiment
    assert [objective.name for objective in both.objectives] == ["first", "second"]
    assert both.baseline == "first"


def test_an_objective_that_is_not_chosen_is_not_checked(planned: Planned) -> None:
    assert planned(("critic: push", "critic: unheard_of"), objectives=["second"])


def test_a_wrong_objective_is_refused(refused: Refused) -> None:
    assert refused(objectives=["secnd"]) == (
        "there is no objective `secnd` in `toys.yaml`\n  --> --objective secnd\nhint: did you mean `second`?"
    )


def test_a_mapping_is_planned(planned: Planned, toys: Path) -> None:
    mapping = {
        "name": "toys",
        "data": "dots",
        "model": "toy_gan",
        "objectives": {"only": {"critic": ["push"], "actor": {"pull": {"weight": 2}}}},
        "training": {"steps": 3, "batch_size": 4},
        "seeds": range(2),
    }
    planned_mapping = plan(mapping, plugins=[toys], overrides=["training.steps=2"])
    assert planned_mapping.experiment.objectives[0].training.steps == 2
    assert planned_mapping.experiment.source == "a Python mapping"
    assert runs(planned_mapping, "toys-1")[1].reproduce.startswith(
        "genloss run .genloss/toys-1/experiment.yaml --objective only --set 'seeds=[1]'"
    )
    Path("saved.yaml").write_text(planned_mapping.experiment.text)
    again = plan("saved.yaml", plugins=[toys], overrides=["training.steps=2"])
    assert again.experiment.objectives == planned_mapping.experiment.objectives
    with pytest.raises(ExperimentError) as caught:
        plan(
            {**mapping, "objectives": {"only": {"critic": "push", "actor": ["pull", "plul"]}}}, plugins=[toys]
        )
    assert str(caught.value) == (
        "no plugin offers a loss named `plul`\n  --> experiment: objectives.only.actor.1\n"
        "hint: did you mean `pull`? `genloss list losses` shows all"
    )


def test_plugins_of_the_file_and_of_the_command_come_together(
    planned: Planned, refused: Refused, toys: Path, tmp_path: Path
) -> None:
    planned()
    with pytest.raises(ExperimentError) as caught:
        plan("toys.yaml", plugins=[Path("none.py")])
    assert str(caught.value).startswith("there is no plugin file `none.py`\n  --> --plugin none.py\nhint: ")
    planned_both = planned(("name: toys", f"name: toys\nplugins: [{toys}]"))
    assert planned_both.experiment.plugins == (str(toys),)

    with pytest.raises(ExperimentError) as caught:
        plan("toys.yaml", plugins=[tmp_path])
    assert f"\n  --> --plugin {tmp_path}" in str(caught.value)

    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0\n")
    message = refused(("name: toys", "name: toys\nplugins: [broken.py]"))
    assert "could not be loaded: ZeroDivisionError: division by zero" in message
    assert "\n  --> toys.yaml:2:11" in message


def test_a_plugin_beside_the_file_is_found_from_elsewhere(
    toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genloss.registry import catalogue

    monkeypatch.setattr(catalogue, "installed_plugins", list)
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "mine.py").write_text(toys.read_text())
    (folder / "toys.yaml").write_text(VALID.replace("name: toys", "name: toys\nplugins: [./mine.py]"))
    monkeypatch.chdir(tmp_path)
    planned_there = plan(Path("there/toys.yaml"))
    assert planned_there.experiment.plugins == (str(folder / "mine.py"),)
    assert planned_there.experiment.source == "there/toys.yaml"
    assert "--plugin" not in runs(planned_there, "s")[0].reproduce


def test_an_error_of_a_plugin_file_is_a_definition_error(planned: Planned, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("def genloss_losess():\n    return []\n")
    with pytest.raises(DefinitionError, match="did you mean `genloss_losses`"):
        planned(("name: toys", "name: toys\nplugins: [wrong.py]"))


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (
            "htp://localhost:5000",
            "MLflow knows no store whose address begins with `htp://`\n  --> --set tracking.uri={uri}\n"
            "hint: did you mean `http` or `https`?",
        ),
        ("./mlruns", "MLflow no longer keeps its records in plain files, as `./mlruns` asks\n"),
        (
            "file:///tmp/mlruns",
            "MLflow no longer keeps its records in plain files, as `file:///tmp/mlruns` asks",
        ),
        ("sqlite://", "`sqlite://` is a store in memory, which no other process can see\n"),
        ("sqlite:///:memory:", "`sqlite:///:memory:` is a store in memory, which no other process can see\n"),
    ],
)
def test_a_store_that_mlflow_does_not_know_is_refused(refused: Refused, uri: str, message: str) -> None:
    assert refused(overrides=[f"tracking.uri='{uri}'"]).startswith(message.replace("{uri}", f"'{uri}'"))


@pytest.mark.parametrize(
    "uri",
    ["sqlite:////tmp/x.db", "postgresql+psycopg://me@host/db", "https://127.0.0.1:9/mlflow", "databricks"],
)
def test_a_store_that_mlflow_knows_is_not_looked_for_yet(planned: Planned, uri: str) -> None:
    assert planned(overrides=[f"tracking.uri={uri}"]).experiment.tracking.uri == uri


@pytest.mark.parametrize(
    "uri",
    [
        *("https://me:secret@host/mlflow", "https://secret@host", "postgresql://me:secret@host/db"),
        *("postgresql://host/db?password=secret", "mssql+pyodbc:///?odbc_connect=PWD=secret"),
    ],
)
def test_an_experiment_bears_no_password(refused: Refused, uri: str) -> None:
    """Its text is copied into the records and to MLflow."""
    said = refused(overrides=[f"tracking.uri={uri}"])
    assert "`tracking.uri` bears a user's password or token" in said.splitlines()[0]
    assert "MLFLOW_TRACKING_PASSWORD" in said


def test_a_store_of_the_environment_is_named_as_such(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlruns")
    assert "\n  --> MLFLOW_TRACKING_URI\n" in refused()


def test_overrides_may_be_a_mapping(planned: Planned) -> None:
    overrides = {"training.steps": 7, "description": "it's", "objectives.second.actor.push.scale": 0.25}
    experiment = planned(overrides=overrides).experiment
    assert experiment.overrides == (
        "training.steps=7",
        'description="it\'s"',
        "objectives.second.actor.push.scale=0.25",
    )
    first, second = experiment.objectives
    assert (first.training.steps, experiment.description) == (7, "it's")
    assert second.players["actor"][0].options["scale"] == 0.25


@pytest.mark.parametrize("name", ["overrides", "objectives", "plugins"])
def test_a_text_is_no_list(planned: Planned, toys: Path, name: str) -> None:
    planned()
    with pytest.raises(ExperimentError) as caught:
        plan("toys.yaml", **{name: "seeds=1"})
    assert str(caught.value) == (
        f"`{name}` is a list, not the text `seeds=1`\nhint: write `{name}=['seeds=1']`"
    )


def test_a_catalogue_shows_itself_in_few_words(planned: Planned) -> None:
    catalogue = planned().catalogue
    assert repr(catalogue.datasets) == "<2 datasets: dots, stored>"
    assert repr(catalogue).startswith(f"<catalogue of toys.py {catalogue.plugins[0].version}: ")
    assert repr(catalogue).endswith(f" models, 2 datasets, {len(catalogue.metrics)} metrics>")


def test_a_metric_that_takes_a_large_part_of_the_data_whole_is_remarked(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that read it in parts are not."""
    Path("gaps.py").write_text(GAPS)
    asked = [("name: toys", "plugins: [./gaps.py]\nname: toys"), ("[spread]", "[gap, streamed_gap]")]

    def told() -> list[Remark]:
        """Those of metrics; the toys have traps of scale, too."""
        remarks = planned(*asked, overrides=["seeds=1"]).remarks
        return [remark for remark in remarks if remark.message.startswith("metric ")]

    assert told() == []
    monkeypatch.setattr(metrics, "TOLD", 2**8)
    (remark,) = told()
    assert str(remark).splitlines() == [
        "metric `gap` asks for `held_out` as one tensor, which takes 0.0 GiB in each worker",
        "  --> toys.yaml:19:34",
        "hint: hold less data out, leave the metric out, or let it ask for `genloss.Examples`",
    ]


GAPS = """
import genloss
from torch import Tensor


@genloss.metric(unit="1", higher_is_better=False)
def gap(samples: Tensor, held_out: Tensor) -> float:
    return float(samples.mean() - held_out.mean())


@genloss.metric(unit="1", higher_is_better=False)
def streamed_gap(samples: Tensor, held_out: genloss.Examples, train: genloss.Examples) -> float:
    return float(samples.mean()) - sum(float(x.mean()) for x in held_out.batches(5))


@genloss.hookimpl
def genloss_metrics():
    return [gap, streamed_gap]
"""
