"""A dataset: a function of options that returns `Data`."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, ParamSpec

from torch import Tensor
from torch.utils.data import Dataset

from genloss.contracts.definition import NAME, Definition, read_options
from genloss.errors import DefinitionError

P = ParamSpec("P")
Fields = Mapping[str, Tensor]
"""Named tensors of equal length: `x` is the data, others (such as `label`) go with it."""


@dataclass(frozen=True)
class DataSpec:
    """What is known about the data before any of it is seen.

    Attributes:
        event_shape: shape of one example; `(C, H, W)` for an image, `(D,)` for a point, `(T,)` for tokens.
        kind: what an example is.
        value_range: least and greatest value of an element, where it is bounded.
        vocabulary: how many values an element can take, where they are discrete: evenly spaced over
            `value_range` for images, `0 … vocabulary - 1` for tokens.
        size: examples in the training set.
    """

    event_shape: tuple[int, ...]
    kind: Literal["points", "image", "tokens"]
    size: int
    value_range: tuple[float, float] | None = None
    vocabulary: int | None = None


@dataclass(frozen=True)
class Data:
    """Training and held-out data, and what is known about where they come from.

    Attributes:
        spec: see `DataSpec`.
        train: named tensors with the examples first (`x`, and what goes with it), or a torch map-style
            Dataset whose items are such mappings for one example.
        held_out: the same, of examples that are not trained on.
        truth: what is known exactly, by name, for metrics to ask for: `modes` `[modes, *event]` and
            `mode_scale` (standard deviation of a mode, in the data's unit), `log_density` (a function from
            `[batch, *event]` to nats), `entropy_rate` (nats per token).
        digest: identifies the content; computed for tensors.
    """

    spec: DataSpec
    train: Fields | Dataset[Any]
    held_out: Fields | Dataset[Any]
    truth: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    def __post_init__(self) -> None:
        if _size(self.train, "train", self.spec) != self.spec.size:
            raise DefinitionError(
                f"the data's spec says that there are {self.spec.size} training examples, and there are "
                f"{_size(self.train, 'train', self.spec)}"
            )
        _size(self.held_out, "held_out", self.spec)
        if not self.digest:
            if isinstance(self.train, Dataset) or isinstance(self.held_out, Dataset):
                raise DefinitionError("a dataset that is no tensor must give its `digest`")
            object.__setattr__(self, "digest", digest(self.train, self.held_out))


def _size(part: Fields | Dataset[Any], name: str, spec: DataSpec) -> int:
    """The number of examples in a part of the data, which is checked against the spec."""
    if isinstance(part, Dataset):
        size = len(part)  # type: ignore[arg-type]
        item = part[0] if size else {}
        if not isinstance(item, Mapping):
            raise DefinitionError(
                f"an item of the data's `{name}` is a {type(item).__name__}",
                hint="it is a mapping of tensors by name, such as {'x': …, 'label': …}",
            )
        fields = {field: tensor[None] for field, tensor in item.items()}
    else:
        size, fields = len(next(iter(part.values()), ())), dict(part)
    if not size or "x" not in fields:
        raise DefinitionError(f"the data's `{name}` has no `x`", hint="it names tensors, the examples first")
    if tuple(fields["x"].shape[1:]) != spec.event_shape:
        shape = list(fields["x"].shape[1:])
        raise DefinitionError(
            f"an example of the data's `{name}` has the shape {shape}, "
            f"and its spec says {list(spec.event_shape)}"
        )
    lengths = {field: len(tensor) for field, tensor in fields.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"`{field}` {length}" for field, length in lengths.items())
        raise DefinitionError(f"the fields of the data's `{name}` differ in length: {said}")
    return size


def digest(*parts: Fields) -> str:
    """SHA-256 of names, shapes, dtypes and bytes, in hexadecimal."""
    sha = hashlib.sha256()
    for fields in parts:
        for name, tensor in sorted(fields.items()):
            sha.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            sha.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()


class DatasetDefinition(Definition, Generic[P]):
    """A dataset as the catalogue holds it; calling it loads the data."""

    kind = "dataset"

    def __init__(self, function: Callable[P, Data], *, name: str | None = None) -> None:
        self._function = function
        self.name = name or function.__name__
        if not NAME.fullmatch(self.name):
            raise DefinitionError(f"dataset `{self.name}` cannot bear that name")
        self.doc = inspect.getdoc(function) or ""
        self.options = read_options(function, what=f"dataset `{self.name}`", reserved=("name",), positional=0)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Data:
        return self._function(*args, **kwargs)


def dataset(function: Callable[P, Data]) -> DatasetDefinition[P]:
    """Makes a dataset of a function whose keyword-only parameters are the YAML's options.

    An option annotated as `pathlib.Path` is read relative to the YAML file.

    Raises:
        DefinitionError: the signature breaks the contract.
    """
    return DatasetDefinition(function)
