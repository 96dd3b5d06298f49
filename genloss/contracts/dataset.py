"""A dataset: a function of options that returns `Data`."""

from __future__ import annotations

import hashlib
import inspect
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, ParamSpec, overload

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from genloss.contracts.definition import NO_EXEMPTION, Definition, check_name, read_options
from genloss.contracts.stored import SMALL, Stored, pieces
from genloss.errors import DefinitionError

P = ParamSpec("P")
Fields = Mapping[str, Tensor]
"""Named tensors of equal length: `x` is the data, others (such as `label`) go with it."""

Example = Callable[[Path], Mapping[str, Any]]
"""Writes a small file into a folder, where the options name one, and gives options as YAML would."""


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
        alphabet: the text of each token, so that sequences of them can be shown; of tokens that have one.
        source: whether there is a field `source` besides `x`: examples of the distribution that a flow
            carries to the data, in the place of noise.
        classes: how many classes the field `label` tells apart, 0 … classes - 1; of data that have labels.

    Raises:
        DefinitionError: the alphabet is not one text for each token of the vocabulary.
    """

    event_shape: tuple[int, ...]
    kind: Literal["points", "image", "tokens"]
    size: int
    value_range: tuple[float, float] | None = None
    vocabulary: int | None = None
    alphabet: tuple[str, ...] | None = None
    source: bool = False
    classes: int | None = None

    def __post_init__(self) -> None:
        if self.alphabet is None:
            return
        if self.kind != "tokens":
            raise DefinitionError(
                f"the data's spec has an `alphabet`, and its kind is `{self.kind}`",
                hint="an alphabet is the text of each token: leave it out for data of another kind",
            )
        if len(self.alphabet) != self.vocabulary:
            raise DefinitionError(
                f"the data's spec has an `alphabet` of {len(self.alphabet)} texts, and its `vocabulary` is "
                f"{self.vocabulary}",
                hint="an alphabet has one text for each token, 0 … vocabulary - 1",
            )


class _Digest:
    """The digest that was given, or that of the content, computed when it is first asked for."""

    @overload
    def __get__(self, data: None, owner: type) -> _Given: ...
    @overload
    def __get__(self, data: Data, owner: type) -> str: ...
    def __get__(self, data: Data | None, owner: type) -> _Given:
        if data is None:
            return ""
        given = data.__dict__["digest"]
        if not isinstance(given, str):
            data.__dict__["digest"] = given = given()
        elif not given:
            # No part lacks a digest but those of which it can be computed.
            parts = [part for part in (data.train, data.held_out) if isinstance(part, Mapping | Stored)]
            data.__dict__["digest"] = given = digest(*parts)
        return str(given)

    def __set__(self, data: Data, value: _Given) -> None:
        data.__dict__["digest"] = value


_Given = str | Callable[[], str]


@dataclass(frozen=True)
class Data:
    """Training and held-out data, and what is known about where they come from.

    Attributes:
        spec: see `DataSpec`.
        train: named tensors with the examples first (`x`, and what goes with it); or a torch map-style
            Dataset whose items are such mappings for one example, such as `Stored`, which is for large data.
            A `Stored` that is small becomes the tensors that it gives. A Dataset with labels may have them as
            an attribute `labels`, int64 `[examples]`, so that none has to be read for its label. An item may
            draw (a flip, a crop) from torch's, NumPy's or Python's own generator: each has a random stream of
            its own.
        held_out: the same, of examples that are not trained on.
        truth: what is known exactly, by name, for metrics to ask for: `modes` `[modes, *event]` and
            `mode_scale` (standard deviation of a mode, in the data's unit), `log_density` (a function from
            `[batch, *event]` to nats), `entropy_rate` (nats per token).
        digest: identifies the content, or a function that gives what does, called when it is first needed;
            computed for tensors and for `Stored`.
        notes: what `genloss plan` says of how it was read, a line each: what was counted, what was left out.
    """

    spec: DataSpec
    train: Fields | Dataset[Any]
    held_out: Fields | Dataset[Any]
    truth: Mapping[str, Any] = field(default_factory=dict)
    digest: _Digest = _Digest()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if _size(self.train, "train", self.spec) != self.spec.size:
            raise DefinitionError(
                f"the data's spec says that there are {self.spec.size} training examples, and there are "
                f"{_size(self.train, 'train', self.spec)}"
            )
        _size(self.held_out, "held_out", self.spec)
        for name in ("train", "held_out"):
            part = getattr(self, name)
            if isinstance(part, Stored):
                if part.nbytes <= SMALL:
                    object.__setattr__(self, name, part.whole())
            elif isinstance(part, Dataset) and not self.__dict__["digest"]:
                raise DefinitionError("a dataset that is not a tensor must give its `digest`")


@contextmanager
def _generators_kept() -> Iterator[None]:
    """The generators that a process shares are afterwards as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _size(part: Fields | Dataset[Any], name: str, spec: DataSpec) -> int:
    """The number of examples in a part of the data, which is checked against the spec."""
    if isinstance(part, Dataset):
        size = len(part)  # type: ignore[arg-type]
        with _generators_kept():  # it may draw for each example
            item = part[0] if size else {}
        if not isinstance(item, Mapping):
            raise DefinitionError(
                f"an item of the data's `{name}` is a {type(item).__name__}",
                hint="it is a mapping of tensors by name, such as {'x': …, 'label': …}",
            )
        fields = {field: torch.as_tensor(value)[None] for field, value in item.items()}
    else:
        if not isinstance(part, Mapping):
            raise DefinitionError(
                f"the data's `{name}` is a {type(part).__name__}",
                hint="it maps names to tensors, such as {'x': …}, or is a torch Dataset of such mappings",
            )
        for field, value in part.items():
            if not isinstance(value, Tensor):
                raise DefinitionError(
                    f"`{field}` of the data's `{name}` is a {type(value).__name__}, not a tensor",
                    hint="`torch.as_tensor` makes one of numpy's arrays",
                )
        size, fields = len(next(iter(part.values()), ())), dict(part)
    if not size or "x" not in fields:
        raise DefinitionError(f"the data's `{name}` has no `x`", hint="it names tensors, the examples first")
    if tuple(fields["x"].shape[1:]) != spec.event_shape:
        shape = list(fields["x"].shape[1:])
        raise DefinitionError(
            f"an example of the data's `{name}` has the shape {shape}, "
            f"and its spec says {list(spec.event_shape)}"
        )
    if spec.source and ("source" not in fields or fields["source"].shape[1:] != fields["x"].shape[1:]):
        raise DefinitionError(
            f"the data's spec says that there is a `source`, and the data's `{name}` has none of the shape "
            f"[{name}, {', '.join(map(str, spec.event_shape))}]",
            hint="a field `source` has the shape of `x`",
        )
    label = fields.get("label")
    if spec.classes is not None and label is not None:
        least, greatest = label.min().item(), label.max().item()
        if least < 0 or greatest >= spec.classes:
            raise DefinitionError(
                f"the data's spec says that there are {spec.classes} classes, and the labels of its `{name}` "
                f"lie in {least} … {greatest}",
                hint="labels are 0 … classes - 1",
            )
    lengths = {field: len(tensor) for field, tensor in fields.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"`{field}` {length}" for field, length in lengths.items())
        raise DefinitionError(f"the fields of the data's `{name}` differ in length: {said}")
    return size


def digest(*parts: Fields | Stored) -> str:
    """SHA-256 of names, shapes, dtypes and bytes, in hexadecimal: those of the converted examples."""
    sha = hashlib.sha256()
    for part in parts:
        for name, tensor in sorted((part.fields if isinstance(part, Stored) else part).items()):
            if isinstance(part, Stored):
                field = part.only(name)
                example = field.read(slice(0, 1))[name]
                shape, dtype = (len(part), *example.shape[1:]), example.dtype
                chunks: Iterable[Tensor] = (chunk[name] for chunk in field.chunks())
            else:
                shape, dtype, chunks = tuple(tensor.shape), tensor.dtype, [tensor]
            sha.update(f"{name} {shape} {dtype}".encode())
            for chunk in chunks:
                for piece in pieces(chunk.detach()):
                    sha.update(piece.cpu().view(torch.uint8).numpy().data)
    return sha.hexdigest()


class DatasetDefinition(Definition, Generic[P]):
    """A dataset as the catalogue holds it; calling it loads the data.

    Attributes:
        example: gives the conformance suite options for small data, where the defaults are not enough.
        unavailable: why it cannot be used here, if it cannot.
    """

    kind = "dataset"

    def __init__(
        self,
        function: Callable[P, Data],
        *,
        name: str | None = None,
        example: Example | None = None,
        exempt: Mapping[str, str] = NO_EXEMPTION,
        unavailable: str | None = None,
    ) -> None:
        self._function = function
        self.name = name or function.__name__
        check_name("dataset", self.name)
        self.doc = inspect.getdoc(function) or ""
        self.options = read_options(function, what=f"dataset `{self.name}`", reserved=("name",), positional=0)
        self.example = example
        self.exempt = exempt
        self.unavailable = unavailable

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Data:
        return self._function(*args, **kwargs)


class _Decorator:
    def __init__(self, **facts: Any) -> None:
        self._facts = facts

    def __call__(self, function: Callable[P, Data]) -> DatasetDefinition[P]:
        return DatasetDefinition(function, **self._facts)


@overload
def dataset(function: Callable[P, Data], /) -> DatasetDefinition[P]: ...
@overload
def dataset(
    *,
    example: Example | None = None,
    exempt: Mapping[str, str] = NO_EXEMPTION,
    unavailable: str | None = None,
) -> _Decorator: ...
def dataset(
    function: Callable[P, Data] | None = None,
    /,
    *,
    example: Example | None = None,
    exempt: Mapping[str, str] = NO_EXEMPTION,
    unavailable: str | None = None,
) -> DatasetDefinition[P] | _Decorator:
    """Create a dataset of a function whose keyword-only parameters are the YAML's options.

    Written as `@genloss.dataset`, or with arguments. An option annotated as `pathlib.Path` is read relative
    to the YAML file.

    Args:
        function: what loads the data.
        example: gives the conformance suite options for small data; it gets a folder for what it writes.
            Needed where an option has no default.
        exempt: the checks of the conformance suite that cannot hold for it, each with its reason.
        unavailable: why it cannot be used here, such as a library that is not installed, if it cannot.

    Raises:
        DefinitionError: the signature breaks the contract.
    """
    decorator = _Decorator(example=example, exempt=exempt, unavailable=unavailable)
    return decorator if function is None else decorator(function)
