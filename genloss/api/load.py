"""`genloss.load` and `genloss.history`: the trained model of a run, and its recorded values."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genloss.errors import RecordError, RequestError
from genloss.record.folder import ROOT, RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from genloss.comparison.runs import RunResult
    from genloss.contracts.model import Model, ModelDefinition
    from genloss.record.frame import Series
    from genloss.registry.code import Code
    from genloss.training.weights import Saved

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

    from genloss.api.rebuild import rebuild
    from genloss.training import weights
    from genloss.training.networks import DTYPES
    from genloss.training.weights import CONFIG, FOLDER, WEIGHTS

    if isinstance(plugins, str | Path):
        raise RequestError("`plugins` is a list", hint=f"write `plugins=[{str(plugins)!r}]`")

    here = _here(run)
    if here is not None and (here / "run.json").exists():
        folder = RunFolder(here).artifacts / FOLDER
    elif here is not None and (here / CONFIG).exists():
        folder = here
    else:
        folder = _there(run, FOLDER, tracking_uri)
    file = folder / WEIGHTS
    if not file.exists():
        raise RecordError(f"the run `{run}` has no weights", hint="a run has some once it has FINISHED")
    saved = weights.read(folder / CONFIG)
    definition = _definition(saved, folder, plugins)
    try:
        build = definition.configured(saved.choice.options)
        _check_size(lambda: build(saved.data), file)
    except ValueError as error:
        raise RecordError(
            f"the model of `{run}` cannot be built as `{folder / CONFIG}` describes it: {error}"
        ) from error
    model = rebuild(definition, saved.data, build).to(DTYPES[saved.dtype])
    try:
        load_model(model, str(file))
    except (SafetensorError, RuntimeError) as error:
        raise RecordError(
            f"the weights of `{run}` are damaged, or of another model: {error}",
            hint=f"`{file}` is what is read",
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


def _definition(saved: Saved, folder: Path, plugins: Sequence[str | Path]) -> ModelDefinition:
    """The model's, of code that may be run.

    Raises:
        RequestError: there is none.
        RecordError: the recorded copy is damaged.
    """
    from genloss.planning.provenance import described
    from genloss.registry import code, trust
    from genloss.registry.catalogue import of_code
    from genloss.training.weights import PLUGIN

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
    known = of_code(*chosen)
    definition = known.models[name]
    made = described(definition, known.models.provider(name))
    if made != saved.code:
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
    """Return whether the weights can be those of the model, before there is memory for it.

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
