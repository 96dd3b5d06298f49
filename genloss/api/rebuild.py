"""Rebuilding a model for recorded weights, without the weights it was initialized from."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from genloss.errors import RecordError

if TYPE_CHECKING:
    from genloss.contracts.dataset import DataSpec
    from genloss.contracts.model import Model, ModelDefinition

_lock = Lock()


class Gone:
    """What `torch.load` gives in place of a file that is gone: it can be handed on, and nothing else.

    It is not a mapping that could be unpacked: a constructor that takes sizes or settings from the file, and
    not only weights, fails rather than build another model.
    """

    def __getitem__(self, _: object) -> Gone:
        return self

    def get(self, *_: object) -> Gone:
        """Nothing, either."""
        return self

    def items(self) -> list[Any]:
        """Nothing, for whoever renames keys."""
        return []

    def __contains__(self, _: object) -> bool:
        return True


def rebuild(definition: ModelDefinition, data: DataSpec, build: functools.partial[Model]) -> Model:
    """A model whose weights will be loaded next: all of them.

    Where its constructor reads weights that are gone, it is built without.

    Raises:
        RecordError: it cannot be built.
    """
    try:
        return build(data)
    except Exception as error:
        first = error
    try:
        with _lock, _without_weights():
            return build(data)
    except Exception:  # whatever a constructor raises: the first error is told
        paths = [value for value in build.keywords.values() if isinstance(value, Path)]
        missing = [str(path) for path in paths if not path.exists()]
        named = " and ".join(f"`{path}`" for path in missing)
        raise RecordError(
            f"model `{definition.name}` cannot be built again: {type(first).__name__}: {first}",
            hint=f"its constructor needs {named}, which is not there: put it back"
            if missing
            else "its constructor needs more than its options and the recorded weights, or its code has "
            "changed",
        ) from first


@contextmanager
def _without_weights() -> Iterator[None]:
    """Files of weights that are gone may be read, and weights be loaded, to no effect."""
    import safetensors
    import safetensors.torch
    import torch
    from torch.nn.modules.module import _IncompatibleKeys

    load, open_ = torch.load, safetensors.safe_open

    def load_or_not(f: Any, *args: Any, **kwargs: Any) -> Any:
        return Gone() if _is_gone(f) else load(f, *args, **kwargs)

    @contextmanager
    def nothing(*_: Any, **__: Any) -> Iterator[_Empty]:
        yield _Empty()

    def open_or_not(filename: Any, *args: Any, **kwargs: Any) -> Any:
        return nothing() if _is_gone(filename) else open_(filename, *args, **kwargs)

    def ignore(*_: Any, **__: Any) -> _IncompatibleKeys:
        return _IncompatibleKeys([], [])

    places: list[tuple[Any, str, Any]] = [
        (torch, "load", load_or_not),
        (torch.hub, "download_url_to_file", ignore),
        (safetensors.torch, "safe_open", open_or_not),
        (torch.nn.Module, "load_state_dict", ignore),
    ]
    before = [getattr(owner, name) for owner, name, _ in places]
    for owner, name, value in places:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for (owner, name, _), value in zip(places, before, strict=True):
            setattr(owner, name, value)


class _Empty:
    """A safetensors file without tensors, for what `load_file` asks of one, in older versions too."""

    def keys(self) -> list[str]:
        return []

    offset_keys = keys

    def get_tensors(self) -> dict[str, Any]:
        return {}

    def metadata(self) -> None:
        """None."""


def _is_gone(file: Any) -> bool:
    return isinstance(file, str | os.PathLike) and not Path(file).exists()
