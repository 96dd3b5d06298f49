"""What a dataset must do."""

from __future__ import annotations

import functools
import math
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, get_args

import torch
from torch import Tensor

from genloss.conformance import generators
from genloss.conformance.docstrings import check_docstring
from genloss.conformance.options import check_defaults, check_given
from genloss.conformance.running import check
from genloss.conformance.suite import Check, Nonconformity
from genloss.conformance.values import same
from genloss.contracts.dataset import Data, DatasetDefinition, DataSpec, Fields
from genloss.contracts.definition import without_none
from genloss.contracts.docstrings import sections
from genloss.contracts.shapes import describe_value
from genloss.errors import RequestError, told
from genloss.training.batches import length, whole

LIMIT = 50_000
"""Examples of a part that are looked at."""

AT_ONCE = 1000

DIMENSIONS = {"image": 3, "points": 1, "tokens": 1}
WHAT = {"image": "(channels, height, width)", "points": "(dimensions,)", "tokens": "(length,)"}


def checks_of_dataset(definition: DatasetDefinition[Any]) -> Iterable[Check]:
    """The checks of a dataset; none of one that is unavailable. Nothing is loaded before one of them runs."""
    if definition.unavailable is not None:
        return
    loader = Loader(definition)
    for function in CHECKS:
        yield check(definition, function, functools.partial(function, loader), fundamental=function is loads)


class Loader:
    """A dataset with the options that its example gives.

    Args:
        definition: of the dataset.
    """

    def __init__(self, definition: DatasetDefinition[Any]) -> None:
        self.definition = definition

    @cached_property
    def options(self) -> dict[str, Any]:
        """The example's options, as the function wants them.

        Raises:
            Nonconformity: they are not valid, or lack one that has no default.
        """
        example = self.definition.example
        given: Mapping[str, Any] = {}
        if example is not None:
            folder = tempfile.mkdtemp(prefix="genloss-")
            # Some data sets read a file when an example is asked for.
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            given = example(Path(folder))
        check_given(self.definition, given, by="its `example`")
        return self.definition.validated(given)

    def load(self, **changed: Any) -> Data:
        """The data, loaded again."""
        data = self.definition(**{**self.options, **changed})
        if not isinstance(data, Data):
            self.fail(f"it returns {type(data).__name__}", hint="return `genloss.Data(…)`")
        return data

    @cached_property
    def data(self) -> Data:
        """The data, loaded once for all checks that only look at it."""
        return self.load()

    @cached_property
    def parts(self) -> dict[str, dict[str, Tensor]]:
        """The first examples of `train` and of `held_out`, as a run gets them."""
        return {"train": _first(self.data.train), "held_out": _first(self.data.held_out)}

    def fail(self, message: str, *, hint: str | None = None) -> NoReturn:
        """Raise Nonconformity, which names the dataset."""
        raise Nonconformity(f"dataset `{self.definition.name}`: {message}", hint=hint)


def _first(part: Fields | Any) -> dict[str, Tensor]:
    batches = []
    for batch in whole(part, min(AT_ONCE, length(part)), device=torch.device("cpu"), dtype=torch.float32):
        batches.append(batch)
        if len(batches) * AT_ONCE >= LIMIT:
            break
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def docstring(loader: Loader) -> None:
    """The docstring has a summary and explains each option, each field, and what is known of the truth."""
    check_docstring(loader.definition, "Fields")
    found = sections(loader.definition.doc)
    for section, names in (("Fields", loader.parts["train"]), ("Truth", loader.data.truth)):
        text = "".join(value for name, value in found.items() if name in ("Fields", "Truth"))
        for name in names:
            if f"`{name}`" not in text:
                loader.fail(
                    f"its docstring does not name `{name}`",
                    hint=f"name it under `{section}:`, with shape or unit",
                )


def defaults(loader: Loader) -> None:
    """Each option's default is one of its values."""
    check_defaults(loader.definition)


def loads(loader: Loader) -> None:
    """With the options of its example, or its defaults, it returns `Data`."""
    _ = loader.parts


def spec(loader: Loader) -> None:
    """The spec says what an example is, in the terms that models read."""
    data = loader.data.spec
    if data.kind not in DIMENSIONS:
        loader.fail(f"its spec has the kind {data.kind!r}", hint="write " + _kinds())
    if len(data.event_shape) != DIMENSIONS[data.kind] or not all(
        type(size) is int for size in data.event_shape
    ):
        loader.fail(
            f"its kind is `{data.kind}`, and the event shape {data.event_shape} is none of {WHAT[data.kind]}",
            hint="images have their channels first; points and tokens have one dimension",
        )
    if data.kind == "tokens" and (data.vocabulary is None or data.vocabulary < 1):
        loader.fail("its spec has tokens without a `vocabulary`", hint="models size their last layer by it")
    if data.kind == "tokens" and data.value_range is not None:
        loader.fail("its spec has tokens with a `value_range`", hint="they lie in 0 … vocabulary - 1")
    if data.value_range is not None and not data.value_range[0] < data.value_range[1]:
        loader.fail(f"its spec has the value range {data.value_range}", hint="the least value comes first")


def values(loader: Loader) -> None:
    """Examples are finite float32, or int64 for tokens, and within the spec's range, levels or vocabulary."""
    data = loader.data.spec
    expected = torch.int64 if data.kind == "tokens" else torch.float32
    for name, given in (("train", loader.data.train), ("held_out", loader.data.held_out)):
        fields = given if isinstance(given, Mapping) else loader.parts[name]
        for field in ("x", "source") if data.source else ("x",):
            what, x = f"`{field}` of `{name}`", fields[field][:LIMIT]
            if x.dtype != expected or x.device.type != "cpu":
                loader.fail(
                    f"{what} is {describe_value(x)} on {x.device}, and must be "
                    f"{str(expected).removeprefix('torch.')} on the CPU",
                    hint="the trainer moves it to its device, in its precision",
                )
            if x.requires_grad or not x.isfinite().all():
                loader.fail(f"{what} is not finite" if not x.requires_grad else f"{what} is tracked")
            _check_bounds(loader, what, x, data)


def _check_bounds(loader: Loader, what: str, x: Tensor, data: DataSpec) -> None:
    bounds: tuple[float, float] | None = data.value_range
    if data.kind == "tokens" and data.vocabulary is not None:
        bounds = (0, data.vocabulary - 1)
    if bounds is None:
        return
    low, high = bounds
    least, greatest = float(x.min()), float(x.max())
    if least < low or greatest > high:
        loader.fail(
            f"{what} must lie in [{low:g}, {high:g}] by its spec, and lies in [{least:g}, {greatest:g}]",
            hint="models end in an activation of that range",
        )
    if data.kind == "image" and data.vocabulary is not None:
        levels = (x - low) * ((data.vocabulary - 1) / (high - low))
        if not torch.isclose(levels, levels.round(), rtol=0, atol=0.01).all():
            loader.fail(
                f"by its spec there are {data.vocabulary} levels from {low:g} to {high:g}, and {what} has "
                "values between them",
                hint="leave `vocabulary` out where values are continuous",
            )


def labels(loader: Loader) -> None:
    """Labels are integers, one an example, and those of held-out data occur in training."""
    for name, part in loader.parts.items():
        if "label" not in part:
            continue
        label = part["label"]
        if label.dtype != torch.int64 or label.ndim != 1:
            loader.fail(
                f"`label` of `{name}` is {describe_value(label)}, and must be int64 [{len(part['x'])}]",
                hint="one integer an example; other facts get other names",
            )
    if ("label" in loader.parts["train"]) != ("label" in loader.parts["held_out"]):
        loader.fail("one of `train` and `held_out` has labels, the other none")
    if "label" in loader.parts["held_out"]:
        unknown = set(loader.parts["held_out"]["label"].tolist()) - set(
            loader.parts["train"]["label"].tolist()
        )
        if unknown and length(loader.data.train) <= LIMIT:
            loader.fail(f"held-out examples have the label {min(unknown)}, which no training example has")


def unseen(loader: Loader) -> None:
    """No held-out example is in the training set; where examples repeat anyway, no more than by chance.

    Among independent draws, a held-out example is in the training set about as often as a training example is
    there a second time.
    """
    train, held_out = (_rows(part["x"]) for part in (loader.parts["train"], loader.parts["held_out"]))
    counts: dict[bytes, int] = {}
    for row in train:
        counts[row] = counts.get(row, 0) + 1
    found = sum(row in counts for row in held_out)
    repeated = sum(counts[row] > 1 for row in train) / len(train)
    expected = repeated * len(held_out)
    if found > expected + 4 * math.sqrt(expected):
        loader.fail(
            f"{found} of {len(held_out)} held-out examples are also in the training set, where "
            + (f"{expected:.0f} would be by chance" if repeated else "none is there twice"),
            hint="divide the examples: what was trained on says nothing about what was not",
        )


def _rows(x: Tensor) -> list[bytes]:
    array = x.flatten(1).contiguous().numpy()
    return [row.tobytes() for row in array]


def same_again(loader: Loader) -> None:
    """Loading it twice, or reading it twice, gives the same data, the same digest, and tensors of its own."""
    first = {
        name: {field: tensor.clone() for field, tensor in part.items()} for name, part in loader.parts.items()
    }
    with generators.seeded(1):
        again = loader.load()
    own = "draw from a generator of its own: `torch.Generator().manual_seed(seed)`"
    shared = "draw for an example from torch's, NumPy's or Python's own generator: each has a seed then"
    for verb, data, hint in (("loaded", again, own), ("read", loader.data, shared)):
        for name, part in (("train", data.train), ("held_out", data.held_out)):
            for field, tensor in _first(part).items():
                if not same(tensor, first[name].get(field)):
                    loader.fail(f"`{field}` of `{name}` differs when it is {verb} again", hint=hint)
    if again.digest != loader.data.digest:
        loader.fail("its digest differs when the same data is loaded again")
    if again.spec != loader.data.spec:
        loader.fail("its spec differs when the same data is loaded again")


def random_state(loader: Loader) -> None:
    """Loading leaves the global generators of torch, NumPy and Python as they are."""
    with generators.seeded(0):
        before = {"torch": generators.torch_state(), **generators.other_states()}
        _first(loader.load().train)
        after = {"torch": generators.torch_state(), **generators.other_states()}
    for name, state in before.items():
        if after[name] != state:
            loader.fail(
                f"it uses {name}'s global generator",
                hint="draw from one of its own: `torch.Generator().manual_seed(seed)`, "
                "`numpy.random.default_rng(seed)`",
            )


def truth(loader: Loader) -> None:
    """What is known of the truth has the types that metrics rely on, and densities fit the data."""
    known, event = loader.data.truth, loader.data.spec.event_shape
    modes = known.get("modes")
    if modes is not None and (
        not isinstance(modes, Tensor) or tuple(modes.shape[1:]) != event or not len(modes)
    ):
        loader.fail(f"its truth's `modes` must be [modes, {_listed(event)}], got {describe_value(modes)}")
    for name in ("mode_scale", "entropy_rate"):
        value = known.get(name)
        if value is not None and not (isinstance(value, float | int) and math.isfinite(value) and value >= 0):
            loader.fail(f"its truth's `{name}` must be a float, at least 0, got {describe_value(value)}")
    if "log_density" in known:
        _check_density(loader, known["log_density"])


def _check_density(loader: Loader, log_density: Any) -> None:
    x = loader.parts["held_out"]["x"][:AT_ONCE]
    values = log_density(x)
    if not isinstance(values, Tensor) or list(values.shape) != [len(x)] or not values.is_floating_point():
        loader.fail(
            f"its truth's `log_density` must give float [{len(x)}], got {describe_value(values)}",
            hint="one value an example, in nats",
        )
    if not values.isfinite().all():
        loader.fail("its truth's `log_density` is not finite at held-out examples")
    elsewhere = log_density(displaced(x, loader.data.spec))
    if float(elsewhere.mean()) >= float(values.mean()):
        loader.fail(
            f"its truth's `log_density` is {float(values.mean()):.3g} nats in the mean of held-out examples, "
            f"and {float(elsewhere.mean()):.3g} of examples with noise",
            hint="it is the logarithm of the density, not its negative",
        )


def displaced(x: Tensor, data: DataSpec) -> Tensor:
    """Examples that are no longer like the data: tokens drawn at random, anything else with much noise."""
    generator = torch.Generator().manual_seed(0)
    if data.kind == "tokens":
        return torch.randint(data.vocabulary or 2, x.shape, generator=generator)
    return x + 3 * x.std() * torch.randn(x.shape, generator=generator, dtype=x.dtype)


def missing_file(loader: Loader) -> None:
    """A file that is not there is a RequestError that says so, and no traceback."""
    for name, option in loader.definition.options.items():
        annotation = without_none(option.annotation)
        if (annotation is not Path and Path not in get_args(annotation)) or name not in loader.options:
            continue
        path = Path("missing") / loader.options[name].name
        try:
            loader.load(**{name: path})
        except RequestError as error:
            if path.name not in str(error):
                loader.fail(f"where `{name}` names no file, its error does not say which: {error.message}")
        except Exception as error:
            raise Nonconformity(
                f"dataset `{loader.definition.name}`: where `{name}` names no file, it raises {told(error)}",
                hint="raise genloss.errors.RequestError, with the path",
            ) from error
        else:
            loader.fail(f"where `{name}` names no file, it gives data")


def _kinds() -> str:
    return " or ".join(f"`{kind}`" for kind in DIMENSIONS)


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


CHECKS: tuple[Callable[[Loader], None], ...] = (
    defaults,
    loads,
    docstring,
    spec,
    values,
    labels,
    unseen,
    same_again,
    random_state,
    truth,
    missing_file,
)
