"""MLflow stores of any size, in no time: a schema that MLflow made, filled by SQL."""

from __future__ import annotations

import json
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import numpy as np
from mlflow.entities import Dataset, DatasetInput, InputTag

from genloss.experiment.schema import Run
from genloss.tracking import store
from genloss.tracking.tags import CREATED, REFERENCES, RUN, STEPS, STUDY, comparison_tags
from tests.tracking.studies import BEGAN, MILLISECONDS_A_STEP, objective, write_study

LOSSES = ("minimax_discriminator", "non_saturating_generator")
KEYS = (
    *(f"discriminator/{LOSSES[0]}", "discriminator/total"),
    *(f"generator/{LOSSES[1]}", "generator/total"),
)
METRICS = ("frechet_distance", "precision", "recall")
EVALUATIONS = 3
STUDY_NAME, EXPERIMENT = "gan-losses", "gan-losses"


def fill(folder: Path, *, objectives: int, seeds: int, steps: int) -> int:
    """Makes `mlflow.db` of one study of so many objectives and seeds; gives the rows of its metrics.

    Each run has four values a step, evaluations, params, tags and a dataset, as genloss writes them.
    """
    uri = f"sqlite:///{folder}/mlflow.db"
    client = store.connect(uri)
    experiment = store.experiment(client, EXPERIMENT)
    own = [
        objective(f"objective_{number:03d}", steps, discriminator=LOSSES[:1], generator=LOSSES[1:])
        for number in range(objectives)
    ]
    study = write_study(folder / "records", objectives=own, seeds=range(seeds), experiment=EXPERIMENT)
    content = study.read()
    first = client.create_run(experiment, BEGAN, run_name="template")
    data = content["data"]
    dataset = Dataset(
        data["name"], data["digest"][:36], "genloss", data["source"], profile=json.dumps(data["profile"])
    )
    context = [InputTag("mlflow.data.context", "training")]
    client.log_inputs(first.info.run_id, [DatasetInput(dataset, context)])
    client.create_run(
        experiment,
        BEGAN,
        {"genloss.comparison": STUDY_NAME, REFERENCES: json.dumps({"recall": 0.9})},
        "comparison",
    )
    runs = [Run.model_validate_json(json.dumps(run)) for run in content["runs"]]
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.execute("PRAGMA synchronous=OFF")
        database.execute("PRAGMA cache_size=-400000")
        _runs(database, content, runs, steps, first.info.run_id)
        rows = _metrics(database, steps)
        database.commit()
    client.delete_run(first.info.run_id)
    return rows


def _runs(
    database: sqlite3.Connection, content: dict[str, object], runs: list[Run], steps: int, template: str
) -> None:
    """What each run is: its row, tags, params and dataset."""
    random = np.random.default_rng(0)
    for number, run in enumerate(runs):
        run_id = uuid.UUID(int=number + 1).hex
        began = BEGAN + number * 1000
        ended = began + steps * MILLISECONDS_A_STEP
        database.execute(
            "INSERT INTO runs SELECT ?, ?, source_type, source_name, entry_point_name, user_id, 'FINISHED', "
            "?, ?, source_version, lifecycle_stage, replace(artifact_uri, run_uuid, ?), experiment_id, NULL "
            "FROM runs WHERE run_uuid = ?",
            [run_id, run.name, began, ended, run_id, template],
        )
        tags = {
            **content["tags"],  # type: ignore[dict-item]
            **comparison_tags(content, run),
            STUDY: STUDY_NAME,
            CREATED: str(content["created"]),
            RUN: f"{STUDY_NAME}/{run.name}",
            STEPS: str(steps),
            "mlflow.runName": run.name,
            "genloss.reproduce": run.reproduce,
            "genloss.device_name": "cpu",
            "genloss.journal": run_id,
            "genloss.attempt": "1",
            "genloss.weights": run_id * 2,
        }
        database.executemany(
            "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)",
            [(key, value, run_id) for key, value in tags.items()],
        )
        database.executemany(
            "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
            [(key, value, run_id) for key, value in run.parameters().items()],
        )
        given = uuid.UUID(int=10**6 + number).hex
        database.execute(
            "INSERT INTO inputs SELECT ?, source_type, source_id, destination_type, ?, step FROM inputs "
            "WHERE destination_id = ?",
            [given, run_id, template],
        )
        database.execute("INSERT INTO input_tags VALUES (?, 'mlflow.data.context', 'training')", [given])
        level = 1 + int(run.objective.name.rpartition("_")[2]) / 10
        judged = level * np.exp(random.normal(0, 0.2, (EVALUATIONS, len(METRICS))))
        rows = [
            (f"eval/{metric}", float(value), ended, (turn + 1) * steps // EVALUATIONS, 0, run_id)
            for turn, values in enumerate(judged)
            for metric, value in zip(METRICS, values, strict=True)
        ]
        rows.append(("cost/seconds", steps * MILLISECONDS_A_STEP / 1000, ended, steps, 0, run_id))
        rows.append(("cost/peak_memory", 3.0e8 + number, ended, steps, 0, run_id))
        database.executemany(
            "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )
        latest = {row[0]: row for row in rows}
        database.executemany(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            list(latest.values()),
        )


def _metrics(database: sqlite3.Connection, steps: int) -> int:
    """The values of the steps, of all runs; gives all rows that there are."""
    database.execute("CREATE TEMP TABLE keys (key)")
    database.executemany("INSERT INTO keys VALUES (?)", [(key,) for key in KEYS])
    indices = database.execute(
        "SELECT name, sql FROM sqlite_master "
        "WHERE type = 'index' AND tbl_name = 'metrics' AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indices:  # made again once the rows are there, which is quicker
        database.execute(f"DROP INDEX {name}")
    values = (
        "SELECT k.key, s.step / 1000.0, r.start_time + s.step * :pause, r.run_uuid, s.step, 0 "
        "FROM keys k, runs r, s WHERE r.status = 'FINISHED' "
        # In the order of the primary key, whose pages are filled one after the other then.
        "ORDER BY 1, 3, 5, 4"
    )
    columns = "(key, value, timestamp, run_uuid, step, is_nan)"
    numbers = {"last": steps - 1, "pause": MILLISECONDS_A_STEP}
    every = "RECURSIVE s(step) AS (SELECT 0 UNION ALL SELECT step + 1 FROM s WHERE step < :last)"
    database.execute(f"INSERT INTO metrics {columns} WITH {every} {values}", numbers)
    database.execute(f"INSERT INTO latest_metrics {columns} WITH s(step) AS (SELECT :last) {values}", numbers)
    for _, sql in indices:
        database.execute(sql)
    ((rows,),) = database.execute("SELECT count(*) FROM metrics").fetchall()
    return int(rows)
