"""What a run left: `genloss.load`, its trained model, and `genloss.history`, its values."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genloss.errors import RecordError, RequestError
from genloss.record.folder import ROOT, RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from genloss.code import Code
    from genloss.comparison.runs import RunResult
    from genloss.contracts.dataset import DataSpec
    from genloss.contracts.model import Model, ModelDefinition
    from genloss.experiment.schema import Choice, Run
    from genloss.record.history import Series
    from genloss.registry import Definitions

FOLDER, WEIGHTS, CONFIG, PLUGIN = "model", "weights.safetensors", "model.json", "plugin"
JOURNAL = "journal.gz"
MLFLOW_ID = re.compile(r"[0-9a-f]{32}")


class CodeWarning(UserWarning):
    """A model is built by other code than the one that its run was trained with."""


def load(
    run: str | Path | RunResult | RunFolder,
    *,
    plugins: Sequence[str | Path] = (),
    tracking_uri: str | None = None,
) -> Model:
    """The trained model of a run, on the CPU, in evaluation mode.

    The model of a plugin file is built by the copy that the run recorded, whatever the file says now; of an
    installed plugin, by what is installed, with a `CodeWarning` where that has changed. A copy is run only if
    you have run that very code before, or name it: a folder that somebody sent cannot run anything.

    Of a run that failed because its values were no longer finite, it is the model that gave the last ones
    that were.

    Args:
        run: a run of a result (`result.runs[0]`); a run's folder; `STUDY/RUN`, a folder in `.genloss`; the id
            of an MLflow run; or a copy of the folder `model` of its artifacts.
        plugins: plugin files that may be run.
        tracking_uri: where MLflow has it, for an id; MLflow's own setting by default.

    Raises:
        RecordError: there is no such run, it has no weights, its model is damaged, or needs what is gone.
        RequestError: its model is built by code that may not be run.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    from genloss.rebuilding import rebuild
    from genloss.training.networks import DTYPES

    if isinstance(plugins, str | Path):
        raise RequestError("`plugins` is a list", hint=f"write `plugins=[{str(plugins)!r}]`")

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
    saved = _saved(folder / CONFIG)
    definition = _definition(saved, folder, plugins)
    try:
        options = definition.validated(saved.choice.options)
        _check_size(lambda: definition.build(saved.data, **options), weights)
    except ValueError as error:
        raise RecordError(
            f"the model of `{run}` cannot be built as `{folder / CONFIG}` describes it: {error}"
        ) from error
    model = rebuild(definition, saved.data, options).to(DTYPES[saved.dtype])
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


@dataclass(frozen=True)
class Saved:
    """What `save` wrote besides the weights.

    Attributes:
        choice: the model.
        data: what it was built for.
        dtype: the run's precision.
        code: what the model is written in; see experiment/used.py. Empty where an older genloss wrote it.
        plugin: the files of the plugin file that offers the model, its own first; none if none does.
        digest: of those.
        source: where the plugin file lay.
    """

    choice: Choice
    data: DataSpec
    dtype: str
    code: str
    plugin: tuple[str, ...]
    digest: str
    source: str


def _definition(saved: Saved, folder: Path, plugins: Sequence[str | Path]) -> ModelDefinition:
    """The model's, of code that may be run.

    Raises:
        RequestError: there is none.
        RecordError: the recorded copy is damaged.
    """
    from genloss import code, trust
    from genloss.experiment.used import described
    from genloss.registry import of_code

    name = saved.choice.name
    given = [code.read(plugin) for plugin in plugins]
    trust.remember(given)
    chosen = given
    if saved.plugin:
        copy = code.stored(folder / PLUGIN, saved.plugin)
        if copy.digest != saved.digest:
            raise RecordError(f"the code in `{folder / PLUGIN}` is damaged: it is not what was recorded")
        if trust.knows(copy):
            for other in given:
                if other.path.name == copy.path.name and other.digest != copy.digest:
                    warnings.warn(
                        f"`{other.path}` is not what trained model `{name}`: "
                        f"it is built by the recorded copy, `{copy.path}`",
                        CodeWarning,
                        stacklevel=3,
                    )
            chosen, name = [copy], f"{copy.path.name}:{name.rpartition(':')[2]}"
        elif not given:
            raise _refusal(copy)
    elif saved.source and not given:
        copy = code.read(saved.source)
        if not trust.knows(copy):
            raise _refusal(copy)
        chosen = [copy]
    known = of_code(*chosen)
    definition = known.models[name]
    made = described(definition, known.models.provider(name))
    if saved.code and made != saved.code:
        warnings.warn(
            f"model `{definition.name}` is built by {made}, and was trained as {saved.code}: "
            "its values may differ",
            CodeWarning,
            stacklevel=3,
        )
    return definition


def _refusal(copy: Code) -> RequestError:
    return RequestError(
        f"the model is built by the code of `{copy.path.name}`, which you have not run before",
        hint=f"read `{copy.path}`; `genloss.load(…, plugins=[{str(copy.path)!r}])` runs it",
    )


def _check_size(build: Callable[[], Model], weights: Path) -> None:
    """Whether the weights can be those of the model, before there is memory for it.

    Raises:
        ValueError: it has more parameters than the file has bytes.
    """
    import torch

    try:
        # Weights that the constructor reads do not come to the meta device, and torch says so.
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            count = sum(parameter.numel() for parameter in build().parameters())
    except Exception:  # a model that needs a real device says so when it is built
        return
    if count > weights.stat().st_size:
        raise ValueError(f"it would have {count:,} parameters, and the file of its weights is smaller")


def _saved(path: Path) -> Saved:
    """What `save` wrote besides the weights."""
    from typing import get_args, get_type_hints

    from genloss.contracts.dataset import DataSpec
    from genloss.experiment.schema import Choice
    from genloss.record.parsing import Fields, read_json
    from genloss.training.networks import DTYPES

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
        before = saved.list("plugins", []) or [""]  # what an older genloss wrote
        return Saved(
            choice=Choice.model_validate(saved.mapping("model")),
            data=data,
            dtype=precision,
            code=saved.text("code", ""),
            plugin=() if plugin is None else tuple(map(str, plugin.list("files"))),
            digest="" if plugin is None else plugin.text("digest"),
            source=str(before[0]) if plugin is None else plugin.text("source"),
        )
    except RecordError as error:
        raise RecordError(f"the description of a model cannot be read: {error.message}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise RecordError(f"the description of a model in `{path}` cannot be read: {error!r}") from error


def save(model: Model, run: Run, artifacts: Path, known: Definitions[ModelDefinition]) -> list[str]:
    """Writes what `load` needs; gives the files, relative to the artifacts.

    Args:
        model: trained.
        run: what it was trained by.
        artifacts: the run's folder of artifacts.
        known: the models of the catalogue.

    Raises:
        OSError: they could not be written.
    """
    import dataclasses
    import json

    from safetensors import SafetensorError
    from safetensors.torch import save_model

    from genloss.experiment.used import described
    from genloss.record.files import publish, published

    folder = artifacts / FOLDER
    folder.mkdir(exist_ok=True)
    with published(folder / WEIGHTS) as part:
        try:
            save_model(model, str(part))
        except SafetensorError as error:  # what it makes of a disk that is full
            raise OSError(f"the weights could not be written: {error}") from error
    name = run.objective.model.name
    saved = {
        "model": run.objective.model.model_dump(mode="json"),
        "data": dataclasses.asdict(model.data),
        "precision": run.objective.training.precision,
        "code": described(known[name], known.provider(name)),
    }
    names = [WEIGHTS, CONFIG]
    if (code := known.provider(name).code) is not None:
        written = code.write(folder / PLUGIN)
        names += [f"{PLUGIN}/{file}" for file in written]
        saved["plugin"] = {"source": str(code.path), "digest": code.digest, "files": written}
    publish(folder / CONFIG, json.dumps(saved, indent=1).encode())
    return [f"{FOLDER}/{file}" for file in names]


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
