"""Sampled text on its way from an evaluation to MLflow, and a language model that comes back."""

from __future__ import annotations

from pathlib import Path

import torch
from mlflow import MlflowClient

import genloss

EXPERIMENT = {
    "name": "texts",
    "data": {"name": "text", "path": "owls.txt", "length": 16},
    "model": {"name": "language", "width": 8, "layers": 1, "heads": 1},
    "objectives": {"nll": {"network": "categorical_nll"}},
    "training": {"steps": 4, "batch_size": 8},
    "seeds": 1,
    "devices": "cpu",
    "evaluation": {"every": 2, "samples": 3, "metrics": ["negative_log_likelihood"]},
}


def test_each_evaluation_has_its_text_in_mlflow(here: Path) -> None:
    (here / "owls.txt").write_text("Eulen 🦉 fliegen\n" * 40)
    result = genloss.run(EXPERIMENT)
    assert result.exit_code == 0, result.runs[0].message
    assert result.shipped
    client = MlflowClient(f"sqlite:///{here}/mlflow.db")
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    (run,) = client.search_runs(ids, "tags.`genloss.run` LIKE '%'")
    assert "genloss.rejected" not in run.data.tags
    shipped = {item.path for item in client.list_artifacts(run.info.run_id, "texts")}
    assert shipped == {"texts/step-0000002.txt", "texts/step-0000004.txt"}
    path = client.download_artifacts(run.info.run_id, "texts/step-0000004.txt")
    content = Path(path).read_text(encoding="utf-8")
    assert content.startswith("sample 1 of 3:\n")
    assert "sample 3 of 3:\n" in content
    assert client.list_artifacts(run.info.run_id, "images") == []

    model = genloss.load(result.runs[0].folder.path)
    assert model.data.classes is None
    assert model.data.alphabet == tuple(sorted(set("Eulen 🦉 fliegen\n")))
    assert model.sample(2).shape == (2, 16)
    assert torch.isfinite(model.log_likelihood(model.sample(2))).all()  # type: ignore[operator]
