"""What a run left: `genloss.load`, its trained model, and `genloss.history`, its values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from genloss.errors import RecordError
from genloss.record.folder import ROOT, RunFolder

if TYPE_CHECKING:
    from genloss.comparison.runs import RunResult
    from genloss.contracts.dataset import DataSpec
    from genloss.contracts.model import Model
    from genloss.experiment.schema import Choice, Run
    from genloss.record.history import Series

FOLDER, WEIGHTS, CONFIG = "model", "weights.safetensors", "model.json"
JOURNAL = "journal.gz"
MLFLOW_ID = re.compile(r"[0-9a-f]{32}")


def load(run: str | Path | RunResult | RunFolder, *, tracking_uri: str | None = None) -> Model:
    """The trained model of a run, on the CPU, in evaluation mode.

    Of a run that failed because its values were no longer finite, it is the model that gave the last ones
    that were.

    Args:
        run: a run of a result (`result.runs[0]`); a run's folder; `STUDY/RUN`, a folder in `.genloss`; the id
            of an MLflow run; or a copy of the folder `model` of its artifacts.
        tracking_uri: where MLflow has it, for an id; MLflow's own setting by default.

    Raises:
        RecordError: there is no such run, it has no weights, or its model is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    from genloss.registry import catalogue
    from genloss.training.networks import DTYPES

    here = _here(run)
    if here is not None and (here / "run.json").exists():
        folder = RunFolder(here).artifacts / FOLDER
    elif here is not None and (here / CONFIG).exists():
        folder = here
    else:
        folder = _there(run, FOLDER, tracking_uri)
    weights = folder / WEIGHTS
    if not weights.exists():
        raise RecordError(f"the run `{run}` has no weights", hint="a run has some once it has FINISHED")
    choice, plugins, data, dtype = _saved(folder / CONFIG)
    definition = catalogue(*plugins).models[choice.name]
    model = definition.build(data, **definition.validated(choice.options)).to(DTYPES[dtype])
    try:
        load_model(model, str(weights))
    except (SafetensorError, RuntimeError) as error:
        raise RecordError(
            f"the weights of `{run}` are damaged, or of another model: {error}",
            hint=f"`{weights}` is what is read",
        ) from error
    return model.eval()


def history(run: str | Path | RunResult | RunFolder, *, tracking_uri: str | None = None) -> dict[str, Series]:
    """Every value of a run, exact, by MLflow's key: NaN and infinities are what they were.

    What is damaged of a record is left out with a warning.

    Args:
        run: as for `load`; or a copy of the artifact `journal.gz`.
        tracking_uri: where MLflow has it, for an id; MLflow's own setting by default.

    Raises:
        RecordError: there is no such run, or it has recorded nothing.
    """
    from genloss.record.history import read_history

    path = _here(run)
    if path is not None and (path / "run.json").exists():
        path = RunFolder(path).journal
        if not path.exists():
            raise RecordError(f"the run `{run}` has recorded nothing")
    elif path is None or path.is_dir():
        path = _there(run, JOURNAL, tracking_uri)
    return read_history(path)


def _saved(path: Path) -> tuple[Choice, list[str], DataSpec, str]:
    """What `save` wrote besides the weights: model, plugins, data and precision."""
    import json

    from genloss.contracts.dataset import DataSpec
    from genloss.experiment.schema import Choice
    from genloss.training.networks import DTYPES

    try:
        saved = json.loads(path.read_text())
        spec = saved["data"]
        data = DataSpec(
            event_shape=tuple(spec["event_shape"]),
            kind=spec["kind"],
            size=spec["size"],
            value_range=spec["value_range"] and tuple(spec["value_range"]),
            vocabulary=spec["vocabulary"],
            alphabet=tuple(spec["alphabet"]) if spec.get("alphabet") else None,
            source=bool(spec.get("source")),
        )
        if saved["precision"] not in DTYPES:
            raise ValueError(f"there is no precision {saved['precision']}")
        return Choice.model_validate(saved["model"]), list(saved["plugins"]), data, saved["precision"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise RecordError(f"the description of a model in `{path}` cannot be read: {error!r}") from error


def save(model: Model, run: Run, artifacts: Path, plugins: list[str]) -> list[str]:
    """Writes what `load` needs; gives the files, relative to the artifacts.

    Args:
        model: trained.
        run: what it was trained by.
        artifacts: the run's folder of artifacts.
        plugins: the plugin file that offers the model, if one does.

    Raises:
        OSError: they could not be written.
    """
    import dataclasses
    import json

    from safetensors import SafetensorError
    from safetensors.torch import save_model

    from genloss.record.files import publish, published

    folder = artifacts / FOLDER
    folder.mkdir(exist_ok=True)
    with published(folder / WEIGHTS) as part:
        try:
            save_model(model, str(part))
        except SafetensorError as error:  # what it makes of a disk that is full
            raise OSError(f"the weights could not be written: {error}") from error
    saved = {
        "model": run.objective.model.model_dump(mode="json"),
        "data": dataclasses.asdict(model.data),
        "precision": run.objective.training.precision,
        "plugins": plugins,
    }
    publish(folder / CONFIG, json.dumps(saved, indent=1).encode())
    return [f"{FOLDER}/{WEIGHTS}", f"{FOLDER}/{CONFIG}"]


def digest(model: Model) -> str:
    """The SHA-256 over a model's weights and buffers: their names, types, shapes and bytes."""
    import hashlib

    import torch

    content = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        content.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        content.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return content.hexdigest()


def _here(run: str | Path | RunResult | RunFolder) -> Path | None:
    """The folder or file that is meant, if it is here."""
    run = _where(run)
    if isinstance(run, RunFolder):
        run = run.path
    return next((path for path in (Path(run), ROOT / run) if path.exists()), None)


def _where(run: str | Path | RunResult | RunFolder) -> str | Path | RunFolder:
    """Where a result's run is: in its folder, or in MLflow."""
    from genloss.comparison.runs import RunResult

    return run.folder or run.run_id or run.name if isinstance(run, RunResult) else run


def _there(run: str | Path | RunResult | RunFolder, artifact: str, tracking_uri: str | None) -> Path:
    """A copy of an artifact that MLflow has."""
    run = _where(run)
    if MLFLOW_ID.fullmatch(str(run)):
        from genloss.tracking import address, store

        return store.download(str(run), artifact, address.resolve(tracking_uri))
    raise RecordError(
        f"there is no run `{run}`",
        hint="name a run's folder, `STUDY/RUN` of the folder `.genloss` here, or the id of an MLflow run",
    )
