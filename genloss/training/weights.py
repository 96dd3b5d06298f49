"""A trained model on disk: its weights, and what it takes to build it again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import save_model

from genloss.contracts.dataset import DataSpec
from genloss.contracts.model import Model
from genloss.errors import RecordError
from genloss.experiment.schema import Choice, Run
from genloss.record.files import publish, published
from genloss.record.parsing import Fields, read_json
from genloss.registry.code import Code
from genloss.training.networks import DTYPES

FOLDER, WEIGHTS, CONFIG, PLUGIN = "model", "weights.safetensors", "model.json", "plugin"


@dataclass(frozen=True)
class Saved:
    """What `save` wrote besides the weights.

    Attributes:
        choice: the model.
        data: what it was built for.
        dtype: the run's precision.
        code: what the model is written in; see planning/provenance.py.
        plugin: the files of the plugin file that offers the model, its own first; none if none does.
        digest: of those.
    """

    choice: Choice
    data: DataSpec
    dtype: str
    code: str
    plugin: tuple[str, ...]
    digest: str


def save(model: Model, run: Run, artifacts: Path, *, written_in: str, plugin: Code | None) -> list[str]:
    """Write what `load` needs; return the files, relative to the artifacts.

    Args:
        model: trained.
        run: what it was trained by.
        artifacts: the run's folder of artifacts.
        written_in: the plugin that offers the model, with its version and the digest of its code.
        plugin: the code of a plugin file, which is kept beside the weights.

    Raises:
        OSError: they could not be written.
    """
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
        "code": written_in,
    }
    names = [WEIGHTS, CONFIG]
    if plugin is not None:
        written = plugin.write(folder / PLUGIN)
        names += [f"{PLUGIN}/{file}" for file in written]
        saved["plugin"] = {"source": str(plugin.path), "digest": plugin.digest, "files": written}
    publish(folder / CONFIG, json.dumps(saved, indent=1).encode())
    return [f"{FOLDER}/{file}" for file in names]


def read(path: Path) -> Saved:
    """What `save` wrote besides the weights."""
    try:
        saved = Fields(read_json(path))
        spec = saved.fields("data")
        shape = [Fields({"size": size}).count("size") for size in spec.list("event_shape")]
        bounds = tuple(map(float, spec.list("value_range"))) if "value_range" in spec else None
        if spec.text("kind") not in get_args(get_type_hints(DataSpec)["kind"]):
            raise ValueError(f"there is no kind {spec.text('kind')[:60]!r}")
        data = DataSpec(
            event_shape=tuple(shape),
            kind=spec.text("kind"),  # type: ignore[arg-type]  # as was looked at
            size=spec.count("size"),
            value_range=None if bounds is None else (bounds[0], bounds[1]),
            vocabulary=spec.count("vocabulary") if "vocabulary" in spec else None,
            alphabet=tuple(map(str, spec.list("alphabet"))) if "alphabet" in spec else None,
            source=spec.flag("source", False),
            classes=spec.count("classes") if "classes" in spec else None,
        )
        precision = saved.text("precision")
        if precision not in DTYPES:
            raise ValueError(f"there is no precision {precision[:60]!r}")
        plugin = saved.fields("plugin") if "plugin" in saved else None
        return Saved(
            choice=Choice.model_validate(saved.mapping("model")),
            data=data,
            dtype=precision,
            code=saved.text("code"),
            plugin=() if plugin is None else tuple(map(str, plugin.list("files"))),
            digest="" if plugin is None else plugin.text("digest"),
        )
    except RecordError as error:
        raise RecordError(f"the description of a model cannot be read: {error.message}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise RecordError(f"the description of a model in `{path}` cannot be read: {error!r}") from error


def digest(model: Model) -> str:
    """The SHA-256 over a model's weights and buffers: their names, types, shapes and bytes."""
    content = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        content.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        content.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return content.hexdigest()
