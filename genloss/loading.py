"""`genloss.load`: the trained model of a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from genloss.errors import RecordError
from genloss.record.folder import ROOT, RunFolder

if TYPE_CHECKING:
    from genloss.comparison.table import RunResult
    from genloss.contracts.model import Model
    from genloss.experiment.schema import Run

FOLDER, WEIGHTS, CONFIG = "model", "weights.safetensors", "model.json"
MLFLOW_ID = re.compile(r"[0-9a-f]{32}")


def load(run: str | Path | RunResult | RunFolder, *, tracking_uri: str | None = None) -> Model:
    """The trained model of a run, on the CPU, in evaluation mode.

    Args:
        run: a run of a result (`result.runs[0]`); a run's folder; `STUDY/RUN`, a folder in `.genloss`; the id
            of an MLflow run; or a copy of the folder `model` of its artifacts.
        tracking_uri: where MLflow has it, for an id; MLflow's own setting by default.

    Raises:
        RecordError: there is no such run, or it has no weights.
    """
    import json

    from safetensors.torch import load_model

    from genloss.comparison.table import RunResult
    from genloss.contracts.dataset import DataSpec
    from genloss.registry import catalogue
    from genloss.training.networks import DTYPES

    if isinstance(run, RunResult):
        run = run.folder
    if isinstance(run, RunFolder):
        run = run.path
    folder = _folder(run, tracking_uri)
    weights = folder / WEIGHTS
    if not weights.exists():
        raise RecordError(f"the run `{run}` has no weights", hint="only a run that FINISHED has some")
    saved = json.loads((folder / CONFIG).read_text())
    spec = saved["data"]
    definition = catalogue(*saved["plugins"]).models[saved["model"]["name"]]
    model = definition.build(
        DataSpec(
            event_shape=tuple(spec["event_shape"]),
            kind=spec["kind"],
            size=spec["size"],
            value_range=spec["value_range"] and tuple(spec["value_range"]),
            vocabulary=spec["vocabulary"],
            alphabet=tuple(spec["alphabet"]) if spec.get("alphabet") else None,
        ),
        **definition.validated(saved["model"]["options"]),
    ).to(DTYPES[saved["precision"]])
    load_model(model, str(weights))
    return model.eval()


def save(model: Model, run: Run, artifacts: Path, plugins: list[str]) -> list[str]:
    """Writes what `load` needs; gives the files, relative to the artifacts.

    Args:
        model: trained.
        run: what it was trained by.
        artifacts: the run's folder of artifacts.
        plugins: the plugin file that offers the model, if one does.
    """
    import dataclasses
    import json

    from safetensors.torch import save_model

    folder = artifacts / FOLDER
    folder.mkdir(exist_ok=True)
    save_model(model, str(folder / WEIGHTS))
    saved = {
        "model": run.objective.model.model_dump(mode="json"),
        "data": dataclasses.asdict(model.data),
        "precision": run.objective.training.precision,
        "plugins": plugins,
    }
    (folder / CONFIG).write_text(json.dumps(saved, indent=1))
    return [f"{FOLDER}/{WEIGHTS}", f"{FOLDER}/{CONFIG}"]


def _folder(run: str | Path, tracking_uri: str | None) -> Path:
    for path in (Path(run), ROOT / run):
        if (path / "run.json").exists():
            return RunFolder(path).artifacts / FOLDER
        if (path / CONFIG).exists():
            return path
    if MLFLOW_ID.fullmatch(str(run)):
        from genloss.tracking import address, store

        return store.download(str(run), FOLDER, address.resolve(tracking_uri))
    raise RecordError(
        f"there is no run `{run}`",
        hint="name a run's folder, `STUDY/RUN` of the folder `.genloss` here, or the id of an MLflow run",
    )
